//! What each resource becomes.

use super::*;
use topology::*;

fn port_of(state: &State, n: u128) -> Option<Port> {
    state.topology.port(PortId(id(n))).map(|p| Port::clone(p))
}

fn rules(state: &State) -> Vec<Rule> {
    state.topology.group(GroupId(id(4))).unwrap().rules.clone()
}

#[test]
fn a_network_is_a_bridge_unless_it_is_an_uplink() {
    let mut state = town();
    let bridge = state.topology.bridge(BridgeId(id(1))).unwrap();
    assert_eq!(
        (bridge.name.as_str(), bridge.mtu, bridge.admin_up),
        ("blue", 1400, true)
    );
    assert_ne!(bridge.flood_key, 0);
    let body = json!({"id": id(9), "provider:network_type": "uplink"});
    create(&mut state, Kind::Network, body).unwrap();
    let body = json!({"id": id(10), "network_id": id(9), "cidr": "192.0.2.0/24"});
    create(&mut state, Kind::Subnet, body).unwrap();
    let body = port(
        11,
        json!({"network_id": id(9), "fixed_ips": [], "security_groups": []}),
    );
    create(&mut state, Kind::Port, body).unwrap();
    assert!(state.topology.bridge(BridgeId(id(9))).is_none());
    assert!(state.topology.subnet(SubnetId(id(10))).is_none());
    assert!(port_of(&state, 11).is_none());
}

#[test]
fn an_update_keeps_the_tunnel_key() {
    let mut state = town();
    let key = state.topology.bridge(BridgeId(id(1))).unwrap().flood_key;
    update(
        &mut state,
        Kind::Network,
        json!({"id": id(1), "admin_state_up": false}),
    )
    .unwrap();
    let bridge = state.topology.bridge(BridgeId(id(1))).unwrap();
    assert_eq!(
        (bridge.flood_key, bridge.admin_up, bridge.mtu),
        (key, false, 1450)
    );
}

#[test]
fn a_subnet_is_what_dhcp_and_advertisements_say() {
    let mut state = town();
    let body = json!({
        "id": id(2), "network_id": id(1), "cidr": "10.0.0.0/24", "enable_dhcp": false,
        "gateway_ip": null, "dns_nameservers": ["8.8.8.8"],
        "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}]
    });
    update(&mut state, Kind::Subnet, body).unwrap();
    let subnet = state.topology.subnet(SubnetId(id(2))).unwrap();
    assert_eq!(
        (subnet.gateway, subnet.dhcp, subnet.ipv6_mode),
        (None, false, None)
    );
    assert_eq!(subnet.dns, ["8.8.8.8".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(subnet.host_routes[0].destination.to_string(), "10.9.0.0/16");
}

#[test]
fn an_outside_router_advertises_when_only_the_address_mode_is_set() {
    use topology::Ipv6Mode::*;
    let cases = [
        (json!({}), None),
        (json!({"ipv6_address_mode": "slaac"}), None),
        (
            json!({"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}),
            Some(Slaac),
        ),
        (
            json!({"ipv6_ra_mode": "dhcpv6-stateless"}),
            Some(Dhcpv6Stateless),
        ),
        (
            json!({"ipv6_ra_mode": "dhcpv6-stateful"}),
            Some(Dhcpv6Stateful),
        ),
    ];
    for (extra, mode) in cases {
        let mut state = town();
        let mut body = json!({"id": id(6), "network_id": id(1), "cidr": "fd01::/64"});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        create(&mut state, Kind::Subnet, body).unwrap();
        let subnet = state.topology.subnet(SubnetId(id(6))).unwrap();
        assert_eq!(subnet.ipv6_mode, mode, "{extra}");
    }
}

#[test]
fn what_is_plugged_and_who_is_trusted_follow_from_the_owner() {
    let host = || Link::Host {
        host: "h1".to_owned(),
        interface: None,
        trunk: None,
        vlan: None,
    };
    let router = || Link::Router(RouterId(id(5)));
    // owner, link, filtered
    let cases = [
        ("compute:nova", host(), true),
        ("", host(), true),
        ("neutron:LOADBALANCERV2", host(), true),
        ("baremetal:none", host(), true),
        ("network:dhcp", host(), false),
        ("network:local_ip", host(), false),
        ("network:router_interface", router(), false),
        ("network:router_interface_distributed", router(), false),
        ("network:ha_router_replicated_interface", router(), false),
        ("network:router_gateway", router(), false),
    ];
    for (owner, link, filtered) in cases {
        let mut state = town();
        let extra = json!({"device_owner": owner, "device_id": id(5), "binding:host_id": "h1"});
        create(&mut state, Kind::Port, port(20, extra)).unwrap();
        let port = port_of(&state, 20).unwrap();
        assert_eq!(
            (port.link, port.security.is_some()),
            (link, filtered),
            "{owner:?}"
        );
    }
}

#[test]
fn a_floating_ip_port_is_not_in_the_topology() {
    let mut state = town();
    create(&mut state, Kind::Port, port(20, json!({}))).unwrap();
    assert!(port_of(&state, 20).is_some());
    let extra = json!({"device_owner": "network:floatingip"});
    update(&mut state, Kind::Port, port(20, extra)).unwrap();
    assert!(port_of(&state, 20).is_none());
}

#[test]
fn port_security_has_groups_and_pairs() {
    let mut state = town();
    let pairs = json!({"allowed_address_pairs": [
        {"ip_address": "10.0.0.7/24", "mac_address": "fa:16:3e:ff:ff:ff"},
        {"ip_address": "fd00::5"}
    ]});
    create(&mut state, Kind::Port, port(20, pairs)).unwrap();
    let port20 = port_of(&state, 20).unwrap();
    let security = port20.security.unwrap();
    assert_eq!(security.groups, [GroupId(id(4))]);
    let nets: Vec<String> = security.pairs.iter().map(|p| p.net.to_string()).collect();
    assert_eq!(nets, ["10.0.0.0/24", "fd00::5/128"]);
    assert_eq!(security.pairs[1].mac, port20.mac);
    let off = json!({"port_security_enabled": false});
    update(&mut state, Kind::Port, port(20, off)).unwrap();
    assert_eq!(port_of(&state, 20).unwrap().security, None);
}

#[test]
fn the_interface_name_of_the_profile_counts() {
    let mut state = town();
    let extra = json!({"binding:host_id": "h1", "binding:profile": {"interface_name": "eth3"}});
    create(&mut state, Kind::Port, port(20, extra)).unwrap();
    let link = Link::Host {
        host: "h1".to_owned(),
        interface: Some("eth3".to_owned()),
        trunk: None,
        vlan: None,
    };
    assert_eq!(port_of(&state, 20).unwrap().link, link);
}

#[test]
fn a_sub_port_is_a_vlan_of_its_parent() {
    let mut state = town();
    create(&mut state, Kind::Port, port(20, json!({}))).unwrap();
    let place = |vlan: u16| {
        json!({
            "device_owner": "trunk:subport", "binding:host_id": "h1",
            "binding:profile": {"parent_name": id(20), "tag": vlan},
        })
    };
    create(&mut state, Kind::Port, port(21, place(100))).unwrap();
    let sub_port = port_of(&state, 21).unwrap();
    let trunk = topology::Trunk {
        parent: PortId(id(20)),
        vlan: 100,
    };
    assert_eq!(
        (sub_port.trunk(), sub_port.host()),
        (Some(trunk), Some("h1"))
    );
    assert!(sub_port.security.is_some());
    // while two sub-ports swap their VLANs, for a moment both have one
    create(&mut state, Kind::Port, port(22, place(100))).unwrap();
    update(&mut state, Kind::Port, port(21, json!({}))).unwrap();
    assert_eq!(port_of(&state, 21).unwrap().link, Link::None);
}

#[test]
fn router_interfaces_come_by_port_or_by_request_and_go() {
    let mut state = town();
    create(
        &mut state,
        Kind::Port,
        port(20, json!({"security_groups": []})),
    )
    .unwrap();
    let add = Request::AddInterface {
        router: id(5),
        port: id(20),
    };
    run(&mut state, &add).unwrap();
    assert_eq!(state.topology.router_ports(RouterId(id(5))).count(), 1);
    assert_eq!(run(&mut state, &add), Ok(vec![]), "again is nothing");
    let remove = Request::RemoveInterface {
        router: id(5),
        port: id(20),
    };
    run(&mut state, &remove).unwrap();
    assert_eq!(port_of(&state, 20).unwrap().link, Link::None);
    delete(&mut state, Kind::Port, 20).unwrap();
    assert_eq!(
        run(&mut state, &remove),
        Ok(vec![]),
        "after the port is fine"
    );
}

#[test]
fn a_router_has_its_routes() {
    let mut state = town();
    let routes = json!([{"destination": "0.0.0.0/0", "nexthop": "10.0.0.254"}]);
    let body = json!({"id": id(5), "admin_state_up": false, "routes": routes,
                      "external_gateway_info": null, "gw_port_id": null});
    update(&mut state, Kind::Router, body).unwrap();
    let router = state.topology.router(RouterId(id(5))).unwrap();
    assert!(!router.admin_up);
    assert_eq!(router.routes[0].destination.to_string(), "0.0.0.0/0");
}

#[test]
fn rules_become_what_the_simulation_asks() {
    let ports = |min, max| Layer4::Ports { min, max };
    let icmp = |kind, code| Layer4::Icmp { kind, code };
    let cases = [
        (json!({}), Family::V4, None, Layer4::Any, Remote::Any),
        (
            json!({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22,
                   "remote_ip_prefix": "10.1.2.3/8"}),
            Family::V4,
            Some(6),
            ports(22, 22),
            Remote::Prefix("10.0.0.0/8".parse().unwrap()),
        ),
        (
            json!({"protocol": "136", "port_range_min": 1, "port_range_max": 9}),
            Family::V4,
            Some(136),
            ports(1, 9),
            Remote::Any,
        ),
        (
            json!({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}),
            Family::V4,
            Some(1),
            icmp(8, Some(0)),
            Remote::Any,
        ),
        (
            json!({"protocol": "icmp", "ethertype": "IPv6", "port_range_min": 128}),
            Family::V6,
            Some(58),
            icmp(128, None),
            Remote::Any,
        ),
        (
            json!({"protocol": "ipv6-icmp", "ethertype": "IPv6", "remote_group_id": id(4)}),
            Family::V6,
            Some(58),
            Layer4::Any,
            Remote::Group(GroupId(id(4))),
        ),
        (
            json!({"protocol": "vrrp"}),
            Family::V4,
            Some(112),
            Layer4::Any,
            Remote::Any,
        ),
        (
            json!({"protocol": "any"}),
            Family::V4,
            None,
            Layer4::Any,
            Remote::Any,
        ),
    ];
    // Neutron's API: "The string any (or integer 0) means all IP protocols."
    let every = ["0", "ip", "hopopt"].map(|protocol| {
        let body = json!({ "protocol": protocol });
        (body, Family::V4, None, Layer4::Any, Remote::Any)
    });
    for (extra, family, protocol, layer4, remote) in cases.into_iter().chain(every) {
        let mut state = town();
        create(&mut state, Kind::SecurityGroupRule, rule(30, extra.clone())).unwrap();
        let (id, direction) = (RuleId(id(30)), Direction::Ingress);
        let wanted = Rule {
            id,
            direction,
            family,
            protocol,
            layer4,
            remote,
        };
        assert_eq!(rules(&state), [wanted], "{extra}");
        delete(&mut state, Kind::SecurityGroupRule, 30).unwrap();
        assert_eq!(rules(&state), []);
    }
}

#[test]
fn embedded_rules_count_once_and_an_update_does_not_bring_them_back() {
    let mut state = State::default();
    let with = json!({"id": id(4), "security_group_rules": [
        rule(30, json!({"direction": "egress"})),
        rule(31, json!({"remote_group_id": id(4)})),
        rule(32, json!({"remote_group_id": id(77)})),
    ]});
    create(&mut state, Kind::SecurityGroup, with.clone()).unwrap();
    assert_eq!(rules(&state).len(), 3);
    delete(&mut state, Kind::SecurityGroupRule, 31).unwrap();
    update(&mut state, Kind::SecurityGroup, with).unwrap();
    assert_eq!(rules(&state).len(), 2);
    let Some(Resource::SecurityGroup(shown)) = state.neutron.get(Kind::SecurityGroup, id(4)) else {
        panic!()
    };
    assert_eq!(shown.security_group_rules.len(), 2);
}

#[test]
fn rules_that_name_a_deleted_group_go_with_it() {
    let mut state = town();
    create(&mut state, Kind::SecurityGroup, json!({"id": id(6)})).unwrap();
    create(
        &mut state,
        Kind::SecurityGroupRule,
        rule(30, json!({"remote_group_id": id(6)})),
    )
    .unwrap();
    create(&mut state, Kind::SecurityGroupRule, rule(31, json!({}))).unwrap();
    delete(&mut state, Kind::SecurityGroup, 6).unwrap();
    let left: Vec<RuleId> = rules(&state).iter().map(|r| r.id).collect();
    assert_eq!(left, [RuleId(id(31))]);
    assert_eq!(state.neutron.count(Kind::SecurityGroupRule), 1);
}

#[test]
fn a_deleted_port_takes_itself_off_floating_ips() {
    let mut state = town();
    create(&mut state, Kind::Port, port(20, json!({}))).unwrap();
    let body = json!({"id": id(40), "floating_network_id": id(1), "router_id": id(5),
                      "floating_ip_address": "10.0.0.99", "port_id": id(20),
                      "fixed_ip_address": "10.0.0.20"});
    create(&mut state, Kind::FloatingIp, body).unwrap();
    delete(&mut state, Kind::Port, 20).unwrap();
    let fip = state.neutron.floating_ip(id(40)).unwrap();
    assert_eq!(
        (fip.port_id, fip.router_id, fip.fixed_ip_address),
        (None, None, None)
    );
}

#[test]
fn deleting_everything_leaves_nothing() {
    let mut state = town();
    create(&mut state, Kind::Port, port(20, json!({}))).unwrap();
    for (kind, n) in [
        (Kind::Port, 20),
        (Kind::Router, 5),
        (Kind::SecurityGroup, 4),
        (Kind::Network, 1),
        (Kind::Network, 1),
    ] {
        delete(&mut state, kind, n).unwrap();
    }
    assert_eq!(state.topology, Snapshot::default());
    assert_eq!(state.neutron, crate::Model::default());
}

#[test]
fn extra_dhcp_options_have_a_name_or_a_number_a_family_and_perhaps_a_tag() {
    let mut state = town();
    let options = json!([
        {"opt_name": "mtu", "opt_value": "1400", "ip_version": 4},
        {"opt_name": "tag:!ipxe,67", "opt_value": "loader.efi"},
        {"opt_name": "router", "opt_value": "", "ip_version": 4},
        {"opt_name": "23", "opt_value": "fd00::53", "ip_version": 6},
    ]);
    let body = port(20, json!({"extra_dhcp_opts": options}));
    create(&mut state, Kind::Port, body).unwrap();
    let option = |family, code, data: &[u8], ipxe| DhcpOption {
        family,
        code,
        data: data.to_vec(),
        ipxe,
    };
    let dns: std::net::Ipv6Addr = "fd00::53".parse().unwrap();
    let wanted = [
        option(Family::V4, 26, &1400_u16.to_be_bytes(), None),
        option(Family::V4, 67, b"loader.efi", Some(false)),
        option(Family::V4, 3, &[], None),
        option(Family::V6, 23, &dns.octets(), None),
    ];
    assert_eq!(port_of(&state, 20).unwrap().dhcp_options, wanted);
}
