//! What is routed and not translated.

use crate::world::{PASS, SILENCE, World, gateway, seen};
use lab::OUTSIDE;
use serde_json::json;

/// IPv6 has no NAT: both ends see each other as they are.
pub fn ipv6_is_routed(world: &World) {
    let [_, outside] = OUTSIDE;
    for guest in [&world.plain, &world.near] {
        guest.vm.ping_until(outside, PASS).unwrap();
        let (vm, v6) = (guest.vm.netns(), guest.v6.into());
        assert_eq!(seen(vm, world.outside(), outside), v6);
        assert_eq!(seen(world.outside(), vm, v6), outside);
    }
    // the first one tells the outside host how large packets may be
    let large = format!("ping -n -c 5 -i 0.2 -W 2 -s 4000 {}", world.plain.v6);
    world.outside().run(&large).unwrap();
}

/// The steps of the scenario test `test_simple_bgp` without its speakers, whose part a static route
/// plays: two tenants' routers on one external network, the right one without SNAT. From left to
/// right nothing passes until somebody tells the left router the way.
pub fn tenants_reach_each_other_by_a_route(world: &World) {
    let cloud = &world.cloud;
    let right = cloud.network("right", 4);
    let router = cloud.router("right", &[&right]);
    let [v4, _] = gateway(cloud, &router, &world.public, false);
    let body = json!({"security_groups": [world.open]});
    let guest = cloud.guest("right", 0, &right, body);
    let left = &world.plain.vm;
    assert!(left.ping(guest.v4.into(), SILENCE).is_err());
    let routes = json!([{"destination": "10.4.0.0/24", "nexthop": v4}]);
    cloud.update("router", &world.tenant, json!({"routes": routes}));
    left.ping_until(guest.v4.into(), PASS).unwrap();
    cloud.update("router", &world.tenant, json!({"routes": []}));
}
