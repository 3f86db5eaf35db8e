//! The outside through a real Neutron: uplinks on two hosts towards a router that runs FRR, floating
//! IPs, source NAT, IPv6, and what is refused. One OpenStack for all of it: starting one is most of
//! the cost.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fip64;
mod floating;
mod interface_fip;
mod refusals;
mod routed;
mod snat;
mod uplinks;
mod world;

use world::World;

#[test]
fn the_outside_is_reached_and_reaches_in() {
    let mut world = World::new();
    snat::sources_are_translated(&world);
    snat::errors_come_back(&world);
    snat::it_can_be_switched_off(&world);
    routed::ipv6_is_routed(&world);
    routed::tenants_reach_each_other_by_a_route(&world);
    floating::addresses_come_move_and_go(&world);
    floating::tenants_meet_by_their_addresses(&world);
    floating::ports_are_forwarded(&world);
    interface_fip::router_interface_fip(&world);
    fip64::fip64(&world);
    uplinks::vlan(&mut world);
    uplinks::one_goes_down(&world);
    refusals::bad_input(&world);
}
