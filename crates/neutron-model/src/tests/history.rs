//! The topology follows from the resources, not from how they came to be.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

/// Few ids, so that requests meet.
const SMALL: u128 = 3;

fn small() -> impl Strategy<Value = u128> {
    0..SMALL
}

fn network(n: u128) -> Uuid {
    id(100 + n)
}
fn subnet(n: u128) -> Uuid {
    id(200 + n)
}
fn group(n: u128) -> Uuid {
    id(300 + n)
}
fn rule_id(n: u128) -> Uuid {
    id(400 + n)
}
fn addresses(n: u128) -> Uuid {
    id(700 + n)
}
fn router(n: u128) -> Uuid {
    id(500 + n)
}
fn port_id(n: u128) -> Uuid {
    id(600 + n)
}
fn fip(n: u128) -> Uuid {
    id(800 + n)
}
fn forwarding(n: u128) -> Uuid {
    id(900 + n)
}

/// Any resource with any content, some of it refused.
fn any_resource() -> impl Strategy<Value = Resource> {
    prop_oneof![
        (small(), any::<bool>(), any::<bool>()).prop_map(|(n, up, uplink)| {
            let kind = if uplink && n == 2 {
                "uplink"
            } else {
                "midonet"
            };
            let body = json!({"id": network(n), "admin_state_up": up,
                              "provider:network_type": kind});
            resource(Kind::Network, body)
        }),
        (small(), small(), any::<bool>()).prop_map(|(n, on, dhcp)| {
            let body = json!({"id": subnet(n), "network_id": network(on),
                              "cidr": format!("10.{n}.0.0/24"), "enable_dhcp": dhcp,
                              "gateway_ip": dhcp.then(|| format!("10.{n}.0.1"))});
            resource(Kind::Subnet, body)
        }),
        (
            small(),
            any::<bool>(),
            proptest::collection::vec(small(), 0..2)
        )
            .prop_map(|(n, stateful, rules)| {
                let rules: HashSet<u128> = rules.into_iter().collect();
                let rules: Vec<Value> = rules
                    .into_iter()
                    .map(|r| {
                        json!({"id": rule_id(r), "security_group_id": group(n),
                               "direction": "ingress"})
                    })
                    .collect();
                let body = json!({"id": group(n), "stateful": stateful,
                                  "security_group_rules": rules});
                resource(Kind::SecurityGroup, body)
            }),
        (small(), small(), small(), 1..4u16).prop_map(|(n, on, remote, port)| {
            let body = json!({"id": rule_id(n), "security_group_id": group(on),
                              "direction": "egress", "remote_group_id": group(remote),
                              "protocol": "tcp", "port_range_min": port, "port_range_max": 3});
            resource(Kind::SecurityGroupRule, body)
        }),
        (small(), small()).prop_map(|(n, net)| {
            let nets = [format!("10.{net}.0.0/16"), format!("fd00:{net}::/64")];
            let body = json!({"id": addresses(n), "addresses": nets});
            resource(Kind::AddressGroup, body)
        }),
        (small(), small(), small()).prop_map(|(n, on, remote)| {
            let body = json!({"id": rule_id(n), "security_group_id": group(on),
                              "direction": "ingress",
                              "remote_address_group_id": addresses(remote)});
            resource(Kind::SecurityGroupRule, body)
        }),
        (small(), any::<bool>(), small()).prop_map(|(n, snat, gateway)| {
            let info = json!({"network_id": network(0), "enable_snat": snat});
            let body = json!({"id": router(n), "gw_port_id": port_id(gateway),
                              "external_gateway_info": info});
            resource(Kind::Router, body)
        }),
        (small(), small(), proptest::option::of((small(), small()))).prop_map(|(n, on, at)| {
            let mut body = json!({"id": fip(n), "floating_network_id": network(on),
                                  "floating_ip_address": format!("10.{on}.0.9")});
            if let Some((device, port)) = at {
                body["router_id"] = json!(router(device));
                body["port_id"] = json!(port_id(port));
                body["fixed_ip_address"] = json!(format!("10.0.0.{}", port + 2));
            }
            resource(Kind::FloatingIp, body)
        }),
        (small(), small(), small(), 1..9u16).prop_map(|(n, of, port, external)| {
            let body = json!({"id": forwarding(n), "floatingip_id": fip(of), "protocol": "udp",
                              "internal_port_id": port_id(port), "internal_ip_address": "10.0.0.2",
                              "external_port": external, "internal_port": 9});
            resource(Kind::PortForwarding, body)
        }),
        (small(), small(), small(), small(), small(), 0..7usize).prop_map(
            |(n, on, from, of, device, owner)| {
                let owner = [
                    "compute:nova",
                    "",
                    "network:router_interface",
                    "network:router_interface",
                    "network:router_gateway",
                    "network:dhcp",
                    "network:floatingip",
                ][owner];
                let body = json!({"id": port_id(n), "network_id": network(on),
                    "mac_address": format!("fa:16:3e:00:00:0{n}"),
                    "fixed_ips": [{"subnet_id": subnet(from),
                                   "ip_address": format!("10.{from}.0.{}", n + 2)}],
                    "security_groups": [group(of)], "device_owner": owner,
                    "device_id": router(device), "binding:host_id": "h",
                    "binding:profile": {"interface_name": format!("eth{of}")}});
                resource(Kind::Port, body)
            }
        ),
    ]
}

fn any_request() -> impl Strategy<Value = Request> {
    let kinds = proptest::sample::select(vec![
        (Kind::Network, 100),
        (Kind::Subnet, 200),
        (Kind::SecurityGroup, 300),
        (Kind::AddressGroup, 700),
        (Kind::SecurityGroupRule, 400),
        (Kind::Router, 500),
        (Kind::Port, 600),
        (Kind::FloatingIp, 800),
        (Kind::PortForwarding, 900),
    ]);
    prop_oneof![
        6 => any_resource().prop_map(Request::Create),
        3 => any_resource().prop_map(Request::Update),
        2 => (kinds, small()).prop_map(|((kind, base), n)| Request::Delete(kind, id(base + n))),
        1 => (small(), small()).prop_map(|(r, p)| {
            Request::AddInterface { router: router(r), port: port_id(p) }
        }),
        1 => (small(), small()).prop_map(|(r, p)| {
            Request::RemoveInterface { router: router(r), port: port_id(p) }
        }),
    ]
}

/// A state made from nothing out of the resources of another.
fn anew(state: &State) -> State {
    let mut fresh = State::default();
    for kind in Kind::ALL {
        for mut resource in state.neutron.list(kind) {
            if let Resource::SecurityGroup(group) = &mut resource {
                // rules follow as resources of their own
                group.security_group_rules.clear();
            }
            run(&mut fresh, &Request::Create(resource)).unwrap();
        }
    }
    fresh
}

fn keys_in_use(topology: &Snapshot) -> Vec<u32> {
    let bridges = topology.bridges().map(|b| b.flood_key);
    let ports = topology.ports().map(|p| p.key);
    let routers = topology.routers().map(|r| r.key);
    bridges.chain(ports).chain(routers).collect()
}

proptest! {
    #[test]
    fn any_way_leads_to_the_same_topology(
        requests in proptest::collection::vec(any_request(), 0..60)
    ) {
        let mut state = State::default();
        for request in &requests {
            let before = state.clone();
            if run(&mut state, request).is_err() {
                prop_assert_eq!(&state, &before);
            }
        }
        let fresh = anew(&state);
        prop_assert_eq!(without_keys(&fresh.topology), without_keys(&state.topology));
        prop_assert_eq!(&fresh.neutron, &state.neutron);
    }

    #[test]
    fn tunnel_keys_are_unique_and_never_nought(
        requests in proptest::collection::vec(any_request(), 0..60)
    ) {
        let mut state = State::default();
        for request in &requests {
            let _ = run(&mut state, request);
            let keys = keys_in_use(&state.topology);
            let unique: HashSet<u32> = keys.iter().copied().collect();
            prop_assert_eq!(unique.len(), keys.len());
            prop_assert!(!unique.contains(&0));
        }
    }

    #[test]
    fn a_request_carried_out_is_not_needed_again(
        requests in proptest::collection::vec(any_request(), 0..40), last in any_resource()
    ) {
        let mut state = State::default();
        for request in &requests {
            let _ = run(&mut state, request);
        }
        let _ = run(&mut state, &Request::Create(last.clone()));
        let again = Request::Update(last);
        if run(&mut state, &again).is_ok() {
            prop_assert_eq!(run(&mut state, &again), Ok(vec![]));
        }
    }
}
