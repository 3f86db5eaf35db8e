//! Bad input: refused where it can be known, DOWN with a reason where it cannot.

use crate::{uplinks::status_says, world::World};
use e2e::text;
use serde_json::{Value, json};

pub fn bad_input(world: &World) {
    an_uplink_is_somewhere(world);
    an_uplink_is_not_there(world);
    addresses_are_of_their_pools(world);
}

/// An uplink port that is to be an interface needs a host and an interface, and a VLAN that is one.
fn an_uplink_is_somewhere(world: &World) {
    let cloud = &world.cloud;
    let network = json!({"name": "bad", "provider:network_type": "uplink"});
    let network = text(&cloud.create("network", network), "id");
    let subnet = json!({
        "network_id": network, "ip_version": 4, "cidr": "172.20.200.0/24", "enable_dhcp": false,
    });
    let subnet = text(&cloud.create("subnet", subnet), "id");
    let host = cloud.hosts[2].name();
    let wrong = [
        json!({"binding:profile": {"interface_name": "eth7"}}),
        json!({"binding:host_id": host}),
        json!({"binding:host_id": host, "binding:profile": {"interface_name": "eth7", "vlan": 4095}}),
    ];
    let path = format!("/v2.0/routers/{}/add_router_interface", world.edge);
    for mut body in wrong {
        body["network_id"] = json!(network);
        body["fixed_ips"] = json!([{"subnet_id": subnet}]);
        let asked = json!({"port": body});
        let reply = cloud
            .neutron
            .send("POST", "/v2.0/ports", Some(&asked))
            .unwrap();
        if reply.status == 201 {
            let port = text(&reply.body["port"], "id");
            assert_error(&cloud.refused("PUT", &path, &json!({"port_id": port})), 400);
            cloud.delete("port", &port);
        } else {
            assert_error(&(reply.status, reply.body), 400);
        }
    }
}

/// An interface that the host does not have is an uplink that is DOWN; one that another port has
/// taken is refused.
fn an_uplink_is_not_there(world: &World) {
    let cloud = &world.cloud;
    let network = json!({"name": "lost", "provider:network_type": "uplink"});
    let network = text(&cloud.create("network", network), "id");
    let subnet = json!({
        "network_id": network, "ip_version": 4, "cidr": "172.20.210.0/24", "enable_dhcp": false,
    });
    cloud.create("subnet", subnet);
    let port = |host: &str, interface: &str| {
        json!({
            "network_id": network, "binding:host_id": host,
            "binding:profile": {"interface_name": interface},
        })
    };
    let taken = port("h1", world.uplinks[0].interface());
    let said = cloud.refused("POST", "/v2.0/ports", &json!({"port": taken}));
    assert_error(&said, 409);

    let lost = text(&cloud.create("port", port("h3", "nothere0")), "id");
    cloud.add_interface(&world.edge, json!({"port_id": lost}));
    cloud.settle();
    status_says(world, "nothere0");
    cloud.wait_status("port", &lost, "DOWN");
    cloud.remove_interface(&world.edge, json!({"port_id": lost}));
}

fn addresses_are_of_their_pools(world: &World) {
    let cloud = &world.cloud;
    let ask =
        |body: Value| cloud.refused("POST", "/v2.0/floatingips", &json!({"floatingip": body}));
    let outside = json!({
        "floating_network_id": world.public.id, "floating_ip_address": "192.0.2.250",
    });
    assert_error(&ask(outside), 400);
    // an IPv6 address leads to an IPv4 one, never to an IPv6 one
    let to_v6 = json!({
        "floating_network_id": world.public.id, "subnet_id": world.public.v6,
        "port_id": world.web.vm.port(), "fixed_ip_address": world.web.v6,
    });
    assert_error(&ask(to_v6), 400);
    // both families are there and nobody chose: IPv4
    let (fip, address) = world.floating_ip(json!({}));
    assert!(address.is_ipv4());
    cloud.delete("floatingip", &fip);
    let overlap = json!({"subnet": {
        "network_id": world.public.id, "ip_version": 4, "cidr": "198.51.100.128/25",
    }});
    assert_error(&cloud.refused("POST", "/v2.0/subnets", &overlap), 400);
}

/// Neutron's own error class, not a failure of the server.
fn assert_error((status, body): &(u16, Value), wanted: u16) {
    assert_eq!(*status, wanted, "{body}");
    assert!(body["NeutronError"]["type"].is_string(), "{body}");
}
