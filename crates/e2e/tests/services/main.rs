//! What a network itself answers, through a real Neutron: DHCP, router advertisements, metadata.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dhcp;
mod lease;
mod metadata;
mod modes;
mod options;
mod v6;

use e2e::{Cloud, CloudNetwork, Guest, text};
use lab::Nova;
use serde_json::{Value, json};

/// A network behind a router, with everything that a subnet can say, and VMs on it whose security
/// group allows nothing at all.
struct Scene {
    guests: [Guest; 3],
    network: CloudNetwork,
    /// A group without any rule.
    closed: String,
    nova: Nova,
    cloud: Cloud,
}

/// One OpenStack for all of it: starting one is most of the cost.
#[test]
fn a_network_answers_its_vms() {
    let mut scene = scene();
    scene.three_programs_are_told_the_same();
    scene.a_lease_is_renewed_rebound_and_released();
    scene.what_is_declined_or_released_is_still_the_ports();
    scene.who_has_an_address_is_told_the_rest();
    scene.relayed_requests_are_refused();
    scene.extra_options_are_told_by_name_and_by_number();
    scene.options_change_while_a_vm_runs();
    scene.options_that_cannot_be_are_refused_before_they_are_stored();
    scene.dhcpv6_gives_addresses_or_the_rest();
    scene.each_pair_of_modes_is_as_neutron_says();
    scene.a_subnet_without_dhcp_is_silent();
    scene.metadata_is_the_servers_own();
    scene.metadata_is_streamed_to_many_at_a_time_within_bounds();
    scene.all_of_it_goes_on_without_the_cluster();
    scene.without_nova_it_says_so();
}

fn scene() -> Scene {
    let cloud = Cloud::new(2);
    let nova = cloud.lab.start_nova().unwrap();
    let closed = cloud.bare_group("closed");
    let network = network(&cloud, "net", 1, json!({}));
    cloud.router("router", &[&network]);
    let guests = ["one", "two", "three"].map(|name| {
        let body = json!({"security_groups": [closed]});
        cloud.plug(name, 0, &cloud.port(0, &network, body))
    });
    cloud.settle();
    Scene {
        guests,
        network,
        closed,
        nova,
        cloud,
    }
}

/// A network with a subnet of each family that says everything: name servers, a route, an MTU.
fn network(cloud: &Cloud, name: &str, n: u8, of_v6: Value) -> CloudNetwork {
    let body = json!({"name": name, "mtu": 1400});
    let id = text(&cloud.create("network", body), "id");
    let v4 = json!({
        "network_id": id, "ip_version": 4, "cidr": format!("10.{n}.0.0/24"),
        "dns_nameservers": ["192.0.2.53", "192.0.2.54"],
        "host_routes": [
            {"destination": "198.51.100.0/24", "nexthop": format!("10.{n}.0.5")},
        ],
    });
    let mut v6 = json!({
        "network_id": id, "ip_version": 6, "cidr": format!("fd10:{n}::/64"),
        "dns_nameservers": ["2001:db8::53"],
        "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac",
    });
    for (key, value) in of_v6.as_object().into_iter().flatten() {
        v6[key] = value.clone();
    }
    let [v4, v6] = [v4, v6].map(|body| text(&cloud.create("subnet", body), "id"));
    CloudNetwork { id, v4, v6 }
}
