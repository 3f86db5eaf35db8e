//! Gateways, floating IPs, port forwardings and uplinks.

use super::*;
use std::net::IpAddr;
use topology::{
    BridgeId, FloatingIp, FloatingIpId, Gateway, Link, Nexthop, Port, PortId, PortRange, Router,
    RouterId, SubnetId,
};

/// The town, with an external network 50 that has subnets 51 and 52.
fn coast() -> State {
    let mut state = town();
    let bodies = [
        (
            Kind::Network,
            json!({"id": id(50), "name": "public", "router:external": true}),
        ),
        (
            Kind::Subnet,
            json!({"id": id(51), "network_id": id(50), "cidr": "203.0.113.0/24",
                   "gateway_ip": "203.0.113.1", "enable_dhcp": false}),
        ),
        (
            Kind::Subnet,
            json!({"id": id(52), "network_id": id(50), "cidr": "2001:db8::/64",
                   "gateway_ip": "2001:db8::1", "enable_dhcp": false}),
        ),
    ];
    for (kind, body) in bodies {
        create(&mut state, kind, body).unwrap();
    }
    state
}

/// The gateway of router 5.
fn gateway_port() -> Value {
    json!({"id": id(53), "network_id": id(50), "mac_address": "fa:16:3e:00:00:53",
           "device_owner": "network:router_gateway", "device_id": id(5),
           "fixed_ips": [{"subnet_id": id(51), "ip_address": "203.0.113.5"},
                         {"subnet_id": id(52), "ip_address": "2001:db8::5"}]})
}

fn router(snat: bool, routes: Value) -> Value {
    json!({"id": id(5), "gw_port_id": id(53), "routes": routes,
           "external_gateway_info": {"network_id": id(50), "enable_snat": snat}})
}

fn router_of(state: &State) -> Router {
    Router::clone(state.topology.router(RouterId(id(5))).unwrap())
}

fn port_of(state: &State, id: Uuid) -> Option<Port> {
    state.topology.port(PortId(id)).map(|p| Port::clone(p))
}

fn fip_of(state: &State, n: u128) -> Option<FloatingIp> {
    let fip = state.topology.floating_ip(FloatingIpId(id(n)));
    fip.map(|fip| FloatingIp::clone(fip))
}

fn routes_of(state: &State) -> Vec<(String, Nexthop)> {
    let router = router_of(state);
    let routes = router.routes.iter();
    routes
        .map(|r| (r.destination.to_string(), r.nexthop))
        .collect()
}

fn via(destination: &str, nexthop: &str) -> (String, Nexthop) {
    (destination.to_owned(), nexthop.parse().unwrap())
}

#[test]
fn a_gateway_is_outside_and_the_way_to_everywhere() {
    let mut state = coast();
    let key = router_of(&state).key;
    assert_ne!(key, 0);
    // the port comes first, as Neutron makes it
    create(&mut state, Kind::Port, gateway_port()).unwrap();
    let port = port_of(&state, id(53)).unwrap();
    assert_eq!(
        (port.link, port.outside, port.bridge, port.security),
        (
            Link::Router(RouterId(id(5))),
            true,
            Some(BridgeId(id(50))),
            None
        )
    );
    assert_eq!(router_of(&state).gateway, None);
    update(&mut state, Kind::Router, router(true, json!([]))).unwrap();
    let gateway = |snat| {
        Some(Gateway {
            port: PortId(id(53)),
            snat,
        })
    };
    assert_eq!(router_of(&state).gateway, gateway(true));
    let both = [via("0.0.0.0/0", "203.0.113.1"), via("::/0", "2001:db8::1")];
    assert_eq!(routes_of(&state), both);
    update(&mut state, Kind::Router, router(false, json!([]))).unwrap();
    assert_eq!(router_of(&state).gateway, gateway(false));
    assert_eq!(router_of(&state).key, key);

    // the network's own router moves, then goes
    let subnet = |gateway| {
        json!({"id": id(51), "network_id": id(50), "cidr": "203.0.113.0/24",
               "gateway_ip": gateway, "enable_dhcp": false})
    };
    update(&mut state, Kind::Subnet, subnet(json!("203.0.113.254"))).unwrap();
    assert_eq!(routes_of(&state)[0], via("0.0.0.0/0", "203.0.113.254"));
    update(&mut state, Kind::Subnet, subnet(Value::Null)).unwrap();
    assert_eq!(routes_of(&state), both[1..]);

    // the gateway loses an address, then everything
    let mut port = gateway_port();
    port["fixed_ips"].as_array_mut().unwrap().pop();
    update(&mut state, Kind::Port, port).unwrap();
    assert_eq!(routes_of(&state), []);
    delete(&mut state, Kind::Port, 53).unwrap();
    let left = router_of(&state);
    assert_eq!((left.gateway, left.key), (None, key));
}

#[test]
fn an_extra_route_for_everything_is_instead_of_the_gateway_s() {
    let mut state = coast();
    create(&mut state, Kind::Port, gateway_port()).unwrap();
    let routes = json!([{"destination": "0.0.0.0/0", "nexthop": "10.0.0.8"},
                        {"destination": "0.0.0.0/0", "nexthop": "10.0.0.9"}]);
    update(&mut state, Kind::Router, router(true, routes)).unwrap();
    let wanted = [
        via("0.0.0.0/0", "10.0.0.8"),
        via("0.0.0.0/0", "10.0.0.9"),
        via("::/0", "2001:db8::1"),
    ];
    assert_eq!(routes_of(&state), wanted);
}

/// A floating IP of the external network on port 20.
fn fip(extra: Value) -> Value {
    let mut body = json!({"id": id(60), "floating_network_id": id(50), "router_id": id(5),
        "floating_ip_address": "203.0.113.9", "port_id": id(20), "fixed_ip_address": "10.0.0.20"});
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    body
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_floating_ip_is_there_while_it_leads_somewhere() {
    let mut state = coast();
    create(&mut state, Kind::Port, port(20, json!({}))).unwrap();
    let free = json!({"port_id": null, "router_id": null, "fixed_ip_address": null});
    create(&mut state, Kind::FloatingIp, fip(free.clone())).unwrap();
    assert_eq!(fip_of(&state, 60), None);
    update(&mut state, Kind::FloatingIp, fip(json!({}))).unwrap();
    let wanted = FloatingIp {
        id: FloatingIpId(id(60)),
        address: ip("203.0.113.9"),
        bridge: BridgeId(id(50)),
        router: RouterId(id(5)),
        port: PortId(id(20)),
        fixed: ip("10.0.0.20"),
        forwarded: None,
        policy: None,
    };
    assert_eq!(fip_of(&state, 60), Some(wanted.clone()));
    // an IPv6 address for an IPv4 one
    let six = json!({"floating_ip_address": "2001:db8::9"});
    update(&mut state, Kind::FloatingIp, fip(six)).unwrap();
    let address = ip("2001:db8::9");
    assert_eq!(fip_of(&state, 60), Some(FloatingIp { address, ..wanted }));
    update(&mut state, Kind::FloatingIp, fip(free)).unwrap();
    assert_eq!(fip_of(&state, 60), None);
    update(&mut state, Kind::FloatingIp, fip(json!({}))).unwrap();
    delete(&mut state, Kind::Port, 20).unwrap();
    assert_eq!(fip_of(&state, 60), None);
    assert_eq!(state.neutron.floating_ip(id(60)).unwrap().port_id, None);
    delete(&mut state, Kind::FloatingIp, 60).unwrap();
    assert_eq!(state.neutron.count(Kind::FloatingIp), 0);
}

#[test]
fn a_floating_ip_has_its_policy_which_stays_while_it_does() {
    let mut state = coast();
    create(&mut state, Kind::QosPolicy, json!({"id": id(70)})).unwrap();
    create(&mut state, Kind::Port, port(20, json!({}))).unwrap();
    let limited = json!({"qos_policy_id": id(70)});
    create(&mut state, Kind::FloatingIp, fip(limited)).unwrap();
    let policy = fip_of(&state, 60).unwrap().policy;
    assert_eq!(policy, Some(topology::PolicyId(id(70))));
    assert!(matches!(
        delete(&mut state, Kind::QosPolicy, 70),
        Err(Refusal::InUse { .. })
    ));
}

fn forwarding(n: u128, extra: Value) -> Value {
    let mut body = json!({"id": id(n), "floatingip_id": id(60), "protocol": "tcp",
        "internal_port_id": id(20), "internal_ip_address": "10.0.0.20",
        "external_port": 2222, "internal_port": 22});
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    body
}

#[test]
fn a_port_forwarding_is_a_floating_ip_of_some_ports() {
    let mut state = coast();
    create(&mut state, Kind::Port, port(20, json!({}))).unwrap();
    let free = json!({"port_id": null, "fixed_ip_address": null});
    create(&mut state, Kind::FloatingIp, fip(free.clone())).unwrap();
    create(&mut state, Kind::PortForwarding, forwarding(61, json!({}))).unwrap();
    let many = json!({"protocol": "udp", "external_port": null, "internal_port": null,
                      "external_port_range": "5000:5009", "internal_port_range": "6000:6009"});
    create(&mut state, Kind::PortForwarding, forwarding(62, many)).unwrap();
    let range = |first, last| PortRange { first, last };
    let said = |n| {
        let made = fip_of(&state, n).unwrap();
        let forwarded = made.forwarded.unwrap();
        assert_eq!(
            (made.address, made.port, made.fixed),
            (ip("203.0.113.9"), PortId(id(20)), ip("10.0.0.20"))
        );
        (forwarded.protocol, forwarded.external, forwarded.internal)
    };
    assert_eq!(said(61), (6, range(2222, 2222), range(22, 22)));
    assert_eq!(said(62), (17, range(5000, 5009), range(6000, 6009)));

    // no router, no forwarding
    let mut lost = free.clone();
    lost["router_id"] = Value::Null;
    update(&mut state, Kind::FloatingIp, fip(lost)).unwrap();
    assert_eq!((fip_of(&state, 61), fip_of(&state, 62)), (None, None));
    update(&mut state, Kind::FloatingIp, fip(free.clone())).unwrap();
    assert!(fip_of(&state, 61).is_some());
    delete(&mut state, Kind::PortForwarding, 61).unwrap();
    assert!(fip_of(&state, 61).is_none());
    // they go with their port, and with their floating IP
    delete(&mut state, Kind::Port, 20).unwrap();
    assert_eq!(state.neutron.count(Kind::PortForwarding), 0);
    assert!(fip_of(&state, 62).is_none());
    create(&mut state, Kind::Port, port(20, json!({}))).unwrap();
    create(&mut state, Kind::PortForwarding, forwarding(61, json!({}))).unwrap();
    delete(&mut state, Kind::FloatingIp, 60).unwrap();
    assert_eq!(state.neutron.count(Kind::PortForwarding), 0);
    assert!(fip_of(&state, 61).is_none());
}

/// The town, with an uplink network 80 and its subnet 81.
fn harbour() -> State {
    let mut state = coast();
    let network = json!({"id": id(80), "provider:network_type": "uplink", "mtu": 1500});
    create(&mut state, Kind::Network, network).unwrap();
    for (n, cidr) in [(81, "192.0.2.0/30"), (82, "2001:db8:f::/64")] {
        let subnet = json!({"id": id(n), "network_id": id(80), "cidr": cidr});
        create(&mut state, Kind::Subnet, subnet).unwrap();
    }
    state
}

/// Port 83 on the uplink network, an interface of router 5.
fn uplink(extra: Value) -> Value {
    let mut body = json!({"id": id(83), "network_id": id(80), "name": "to ISP",
        "mac_address": "fa:16:3e:00:00:83", "device_owner": "network:router_interface",
        "device_id": id(5), "binding:host_id": "gw1",
        "binding:profile": {"interface_name": "eth1", "vlan": "100"},
        "fixed_ips": [{"subnet_id": id(81), "ip_address": "192.0.2.1"}]});
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    body
}

fn plug(state: &State) -> Option<Port> {
    let ports = state.topology.bridge_ports(BridgeId(id(83)));
    ports
        .map(|p| Port::clone(p))
        .find(|p| p.id != PortId(id(83)))
}

#[test]
fn an_uplink_is_a_bridge_of_its_own_with_a_router_s_port_and_a_plug() {
    let mut state = harbour();
    create(&mut state, Kind::Port, uplink(json!({}))).unwrap();
    let bridge = state.topology.bridge(BridgeId(id(83))).unwrap();
    assert_eq!((bridge.mtu, bridge.admin_up), (1500, true));
    let inside = port_of(&state, id(83)).unwrap();
    assert_eq!(
        (&inside.link, inside.outside, inside.bridge),
        (&Link::Router(RouterId(id(5))), true, Some(BridgeId(id(83))))
    );
    let address = inside.addresses[0];
    let subnet = state.topology.subnet(address.subnet).unwrap();
    assert_eq!(
        (address.ip, subnet.cidr.to_string(), subnet.bridge),
        (ip("192.0.2.1"), "192.0.2.0/30".into(), BridgeId(id(83)))
    );
    assert!(!subnet.dhcp && subnet.gateway.is_none());
    let plugged = plug(&state).unwrap();
    let link = Link::Host {
        host: "gw1".to_owned(),
        interface: Some("eth1".to_owned()),
        trunk: None,
        vlan: Some(100),
    };
    assert_eq!(
        (&plugged.link, plugged.outside, plugged.security.is_none()),
        (&link, true, true)
    );
    assert_ne!(plugged.mac, inside.mac);
    let keys = [bridge.flood_key, inside.key, plugged.key];
    assert_eq!(std::collections::BTreeSet::from(keys).len(), 3);

    // what it is made of changes
    let network = json!({"id": id(80), "provider:network_type": "uplink", "mtu": 9000});
    update(&mut state, Kind::Network, network).unwrap();
    let bridge = state.topology.bridge(BridgeId(id(83))).unwrap();
    assert_eq!((bridge.mtu, bridge.flood_key), (9000, keys[0]));
    let moved = json!({"binding:host_id": "gw2", "fixed_ips": [
        {"subnet_id": id(82), "ip_address": "2001:db8:f::1"}]});
    update(&mut state, Kind::Port, uplink(moved)).unwrap();
    let again = plug(&state).unwrap();
    assert_eq!((again.host(), again.key), (Some("gw2"), keys[2]));
    let subnets = state.topology.bridge_subnets(BridgeId(id(83)));
    let cidrs: Vec<String> = subnets.map(|s| s.cidr.to_string()).collect();
    assert_eq!(cidrs, ["2001:db8:f::/64"]);

    // and it goes
    let remove = Request::RemoveInterface {
        router: id(5),
        port: id(83),
    };
    run(&mut state, &remove).unwrap();
    assert!(state.topology.bridge(BridgeId(id(83))).is_none());
    assert!(plug(&state).is_none() && port_of(&state, id(83)).is_none());
    let add = Request::AddInterface {
        router: id(5),
        port: id(83),
    };
    run(&mut state, &add).unwrap();
    assert!(plug(&state).is_some());
    delete(&mut state, Kind::Port, 83).unwrap();
    assert!(plug(&state).is_none());
    assert_eq!(
        without_keys(&state.topology),
        without_keys(&harbour().topology)
    );
}

#[test]
fn two_uplinks_of_one_network_are_apart() {
    let mut state = harbour();
    create(&mut state, Kind::Port, uplink(json!({}))).unwrap();
    let other = json!({"id": id(84), "mac_address": "fa:16:3e:00:00:84",
        "binding:host_id": "gw2", "binding:profile": {"interface_name": "eth1"},
        "fixed_ips": [{"subnet_id": id(81), "ip_address": "192.0.2.2"}]});
    create(&mut state, Kind::Port, uplink(other)).unwrap();
    let subnet_of = |n| port_of(&state, id(n)).unwrap().addresses[0].subnet;
    assert_ne!(subnet_of(83), subnet_of(84));
    for n in [83, 84] {
        assert_eq!(state.topology.bridge_ports(BridgeId(id(n))).count(), 2);
    }
    assert!(state.topology.bridge(BridgeId(id(80))).is_none());
    assert!(state.topology.subnet(SubnetId(id(81))).is_none());
}

#[test]
fn what_cannot_be_outside_is_refused_by_field() {
    let field = |result: Result<Vec<Op>, Refusal>| match result {
        Err(Refusal::Invalid { property, .. }) => property,
        other => panic!("{other:?}"),
    };
    let mut state = harbour();
    create(&mut state, Kind::Port, port(20, json!({}))).unwrap();
    create(&mut state, Kind::FloatingIp, fip(json!({}))).unwrap();
    let uplinks = [
        (json!({"binding:host_id": ""}), "binding:host_id"),
        (
            json!({"binding:profile": {}}),
            "binding:profile.interface_name",
        ),
        (
            json!({"binding:profile": {"interface_name": ""}}),
            "binding:profile.interface_name",
        ),
        (
            json!({"binding:profile": {"interface_name": "eth1", "vlan": 4095}}),
            "binding:profile.vlan",
        ),
    ];
    for (extra, wanted) in uplinks {
        let created = create(&mut state, Kind::Port, uplink(extra));
        assert_eq!(field(created), wanted);
    }
    let fips = [
        (json!({"fixed_ip_address": "fd00::20"}), "fixed_ip_address"),
        (
            json!({"id": id(65), "floating_network_id": id(80)}),
            "floating_network_id",
        ),
        (json!({"floating_network_id": id(1)}), "floating_network_id"),
    ];
    for (extra, wanted) in fips {
        let id = fip(extra);
        let put = match id["id"] == json!(self::id(60)) {
            true => update(&mut state, Kind::FloatingIp, id),
            false => create(&mut state, Kind::FloatingIp, id),
        };
        assert_eq!(field(put), wanted);
    }
    let forwardings = [
        (json!({"protocol": "icmp"}), "protocol"),
        (json!({"external_port": null}), "external_port"),
        (json!({"internal_port": 0}), "internal_port"),
        (
            json!({"internal_port_range": "10:12"}),
            "internal_port_range",
        ),
        (
            json!({"internal_ip_address": "fd00::20"}),
            "internal_ip_address",
        ),
    ];
    for (extra, wanted) in forwardings {
        let created = create(&mut state, Kind::PortForwarding, forwarding(61, extra));
        assert_eq!(field(created), wanted);
    }
    assert_eq!(state.neutron.count(Kind::PortForwarding), 0);
    assert!(plug(&state).is_none());
}
