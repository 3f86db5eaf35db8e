//! What is refused, why, and that nothing changes then.

use super::*;

fn refused(state: &mut State, request: Request) -> Refusal {
    let before = state.clone();
    let refusal = run(state, &request).expect_err("is refused");
    assert_eq!(*state, before);
    refusal
}

fn property(refusal: Refusal) -> String {
    match refusal {
        Refusal::Invalid { property, .. } | Refusal::UnknownReference { property, .. } => property,
        other => panic!("{other}"),
    }
}

fn new(kind: Kind, body: Value) -> Request {
    Request::Create(resource(kind, body))
}

#[test]
fn references_must_lead_somewhere() {
    let cases = [
        (
            Kind::Subnet,
            json!({"id": id(9), "network_id": id(8), "cidr": "10.0.0.0/8"}),
            "network_id",
        ),
        (
            Kind::Port,
            port(20, json!({"network_id": id(8)})),
            "network_id",
        ),
        (
            Kind::Port,
            port(
                20,
                json!({"fixed_ips": [{"subnet_id": id(8), "ip_address": "10.0.0.1"}]}),
            ),
            "fixed_ips[0].subnet_id",
        ),
        (
            Kind::Port,
            port(20, json!({"security_groups": [id(4), id(8)]})),
            "security_groups[1]",
        ),
        (
            Kind::Port,
            port(
                20,
                json!({"device_owner": "network:router_interface", "device_id": id(8)}),
            ),
            "device_id",
        ),
        (
            Kind::SecurityGroupRule,
            rule(30, json!({"security_group_id": id(8)})),
            "security_group_id",
        ),
        (
            Kind::SecurityGroupRule,
            rule(30, json!({"remote_group_id": id(8)})),
            "remote_group_id",
        ),
        (
            Kind::FloatingIp,
            json!({"id": id(40), "floating_network_id": id(1), "port_id": id(8),
                   "floating_ip_address": "10.0.0.99"}),
            "port_id",
        ),
    ];
    for (kind, body, field) in cases {
        let refusal = refused(&mut town(), new(kind, body.clone()));
        assert!(
            matches!(refusal, Refusal::UnknownReference { .. }),
            "{body}: {refusal}"
        );
        assert_eq!(property(refusal), field, "{body}");
    }
}

#[test]
fn values_that_cannot_be_are_refused_by_field() {
    let subnet = |extra: Value| {
        let mut body = json!({"id": id(9), "network_id": id(1), "cidr": "10.9.0.0/24"});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        body
    };
    let rule_with = |extra: Value| rule(30, extra);
    let cases = [
        (Kind::Network, json!({"id": id(9), "mtu": 60}), "mtu"),
        (Kind::Subnet, subnet(json!({"ip_version": 6})), "ip_version"),
        (Kind::Subnet, subnet(json!({"cidr": "10.9.0.1/24"})), "cidr"),
        (
            Kind::Subnet,
            subnet(json!({"gateway_ip": "fd00::1"})),
            "gateway_ip",
        ),
        (
            Kind::Subnet,
            subnet(json!({"ipv6_ra_mode": "slaac"})),
            "ipv6_ra_mode",
        ),
        (
            Kind::Subnet,
            subnet(json!({"host_routes": [{"destination": "::/0", "nexthop": "10.9.0.1"}]})),
            "host_routes[0].destination",
        ),
        (
            Kind::Port,
            port(20, json!({"mac_address": "01:00:5e:00:00:01"})),
            "mac_address",
        ),
        (
            Kind::Port,
            port(20, json!({"mac_address": "00:00:00:00:00:00"})),
            "mac_address",
        ),
        (
            Kind::Port,
            port(
                20,
                json!({"fixed_ips": [{"subnet_id": id(2), "ip_address": "10.0.1.1"}]}),
            ),
            "fixed_ips[0].ip_address",
        ),
        (
            Kind::Port,
            port(
                20,
                json!({"allowed_address_pairs": [{"ip_address": "10.0.0"}]}),
            ),
            "allowed_address_pairs[0].ip_address",
        ),
        (
            Kind::Port,
            port(
                20,
                json!({"extra_dhcp_opts": [
                    {"opt_name": "mtu", "opt_value": "1400"},
                    {"opt_name": "nosuch", "opt_value": "1"},
                ]}),
            ),
            "extra_dhcp_opts[1].opt_name",
        ),
        (
            Kind::Port,
            port(
                20,
                json!({"extra_dhcp_opts": [{"opt_name": "tag:red,67", "opt_value": "x"}]}),
            ),
            "extra_dhcp_opts[0].opt_name",
        ),
        (
            Kind::Port,
            port(
                20,
                json!({"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "large"}]}),
            ),
            "extra_dhcp_opts[0].opt_value",
        ),
        (
            Kind::Port,
            port(
                20,
                json!({"extra_dhcp_opts": [
                    {"opt_name": "3", "opt_value": "10.0.0.1", "ip_version": 5},
                ]}),
            ),
            "extra_dhcp_opts[0].ip_version",
        ),
        (
            Kind::Port,
            port(
                20,
                json!({"device_owner": "network:router_interface", "device_id": "x"}),
            ),
            "device_id",
        ),
        (
            Kind::Router,
            json!({"id": id(9), "routes": [{"destination": "::/0", "nexthop": "10.0.0.1"}]}),
            "routes[0].nexthop",
        ),
        (
            Kind::SecurityGroupRule,
            rule_with(json!({"protocol": "tcp", "port_range_min": 5})),
            "port_range_max",
        ),
        (
            Kind::SecurityGroupRule,
            rule_with(json!({"protocol": "tcp", "port_range_min": 5, "port_range_max": 4})),
            "port_range_max",
        ),
        (
            Kind::SecurityGroupRule,
            rule_with(json!({"port_range_min": 5})),
            "port_range_min",
        ),
        (
            Kind::SecurityGroupRule,
            rule_with(json!({"protocol": "icmp", "port_range_min": 256})),
            "port_range_min",
        ),
        (
            Kind::SecurityGroupRule,
            rule_with(json!({"protocol": "icmp", "port_range_max": 1})),
            "port_range_min",
        ),
        (
            Kind::SecurityGroupRule,
            rule_with(json!({"remote_ip_prefix": "fd00::/8"})),
            "remote_ip_prefix",
        ),
        (
            Kind::SecurityGroupRule,
            rule_with(json!({"remote_ip_prefix": "all"})),
            "remote_ip_prefix",
        ),
        (
            Kind::SecurityGroupRule,
            rule_with(json!({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": id(4)})),
            "remote_group_id",
        ),
        (
            Kind::SecurityGroup,
            json!({"id": id(9), "security_group_rules": [rule_with(json!({}))]}),
            "security_group_rules[0].security_group_id",
        ),
    ];
    for (kind, body, field) in cases {
        let refusal = refused(&mut town(), new(kind, body.clone()));
        assert!(
            matches!(refusal, Refusal::Invalid { .. }),
            "{body}: {refusal}"
        );
        assert_eq!(property(refusal), field, "{body}");
    }
}

#[test]
fn an_id_is_used_once() {
    let mut state = town();
    let refusal = refused(&mut state, new(Kind::Network, json!({"id": id(1)})));
    assert_eq!(
        refusal,
        Refusal::Exists {
            kind: Kind::Network,
            id: id(1)
        }
    );
    create(&mut state, Kind::SecurityGroupRule, rule(30, json!({}))).unwrap();
    let mut embedded = rule(30, json!({}));
    embedded["security_group_id"] = json!(id(9));
    let group = json!({"id": id(9), "security_group_rules": [embedded]});
    let refusal = refused(&mut state, new(Kind::SecurityGroup, group));
    assert_eq!(
        refusal,
        Refusal::Exists {
            kind: Kind::SecurityGroupRule,
            id: id(30)
        }
    );
}

#[test]
fn an_older_revision_is_refused_the_same_is_not() {
    let mut state = town();
    let body = |revision: u64, name: &str| {
        resource(
            Kind::Router,
            json!({"id": id(5), "name": name, "revision_number": revision}),
        )
    };
    run(&mut state, &Request::Update(body(7, "a"))).unwrap();
    assert_eq!(run(&mut state, &Request::Update(body(7, "a"))), Ok(vec![]));
    let refusal = refused(&mut state, Request::Update(body(6, "b")));
    let (kind, id) = (Kind::Router, id(5));
    assert_eq!(
        refusal,
        Refusal::Stale {
            kind,
            id,
            given: 6,
            stored: 7
        }
    );
    assert_eq!(
        run(&mut state, &Request::Update(body(8, "a")))
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn what_is_in_use_stays() {
    let mut state = town();
    let interface = json!({"device_owner": "network:router_interface", "device_id": id(5)});
    create(&mut state, Kind::Port, port(20, interface)).unwrap();
    for (kind, n) in [
        (Kind::Network, 1),
        (Kind::Subnet, 2),
        (Kind::SecurityGroup, 4),
        (Kind::Router, 5),
    ] {
        let refusal = refused(&mut state, Request::Delete(kind, id(n)));
        let (user_kind, user) = (Kind::Port, id(20));
        assert_eq!(
            refusal,
            Refusal::InUse {
                kind,
                id: id(n),
                user_kind,
                user
            }
        );
    }
    let body = json!({"id": id(6)});
    create(&mut state, Kind::Router, body).unwrap();
    let refusal = refused(
        &mut state,
        Request::AddInterface {
            router: id(6),
            port: id(20),
        },
    );
    assert_eq!(
        refusal,
        Refusal::OtherRouter {
            port: id(20),
            router: id(5)
        }
    );
}

#[test]
fn what_is_fixed_does_not_change() {
    let mut state = town();
    create(&mut state, Kind::Network, json!({"id": id(9)})).unwrap();
    create(&mut state, Kind::Port, port(20, json!({}))).unwrap();
    let moved = port(20, json!({"network_id": id(9), "fixed_ips": []}));
    let uplink = json!({"id": id(1), "provider:network_type": "uplink"});
    let cases = [
        (Kind::Port, moved, "network_id"),
        (Kind::Network, uplink, "provider:network_type"),
    ];
    for (kind, body, field) in cases {
        let refusal = refused(&mut state, Request::Update(resource(kind, body)));
        assert_eq!(property(refusal), field);
    }
}

#[test]
fn what_is_not_there_cannot_be_updated_but_deleted() {
    let mut state = town();
    let request = Request::Update(resource(Kind::Router, json!({"id": id(9)})));
    let refusal = refused(&mut state, request);
    assert_eq!(
        refusal,
        Refusal::NotFound {
            kind: Kind::Router,
            id: id(9)
        }
    );
    for kind in Kind::ALL {
        assert_eq!(delete(&mut state, kind, 99), Ok(vec![]));
    }
}

#[test]
fn a_sub_port_has_a_parent_and_a_vlan_that_can_be() {
    let cases = [
        (json!({"parent_name": id(7)}), "binding:profile.tag"),
        (json!({"tag": 100}), "binding:profile.parent_name"),
        (
            json!({"parent_name": id(7), "tag": 0}),
            "binding:profile.tag",
        ),
        (
            json!({"parent_name": id(7), "tag": 4095}),
            "binding:profile.tag",
        ),
        (
            json!({"parent_name": id(20), "tag": 1}),
            "binding:profile.parent_name",
        ),
    ];
    for (profile, wanted) in cases {
        let mut state = town();
        let body = port(20, json!({"binding:profile": profile}));
        assert_eq!(property(refused(&mut state, new(Kind::Port, body))), wanted);
    }
}
