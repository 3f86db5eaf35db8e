//! Bodies as Neutron writes them, and bodies that are wrong.

use super::*;
use crate::Shape;
use serde_json::{Value, json};

const ID: &str = "11111111-1111-4111-8111-111111111111";

fn refused(kind: Kind, body: Value) -> (String, String) {
    match Resource::decode(kind, body) {
        Err(Shape::Field(v)) => (v.property, v.message),
        other => panic!("not refused by field: {other:?}"),
    }
}

fn rule(extra: Value) -> Value {
    let mut rule = json!({"id": ID, "security_group_id": ID, "direction": "ingress"});
    rule.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    rule
}

#[test]
fn a_route_leads_to_a_prefix_or_to_an_address_as_one() {
    let routes = json!([
        {"destination": "9.9.9.9", "nexthop": "10.0.0.9"},
        {"destination": "fd09::9", "nexthop": "fd00::9"},
        {"destination": "fd09::/64", "nexthop": "fd00::9"},
    ]);
    let body = |routes: &Value| json!({"id": ID, "routes": routes});
    let Resource::Router(router) = Resource::decode(Kind::Router, body(&routes)).unwrap() else {
        panic!()
    };
    let read: Vec<String> = router
        .routes
        .iter()
        .map(|r| r.destination.to_string())
        .collect();
    assert_eq!(read, ["9.9.9.9/32", "fd09::9/128", "fd09::/64"]);
    let wrong = json!([{"destination": "9.9.9", "nexthop": "10.0.0.9"}]);
    let (property, _) = refused(Kind::Router, body(&wrong));
    assert_eq!(property, "routes[0].destination");
}

#[test]
fn a_port_with_nulls_and_unknown_fields_is_read() {
    let body = json!({
        "id": ID, "network_id": ID, "mac_address": "fa:16:3e:00:00:01", "name": null,
        "fixed_ips": null, "security_groups": null, "binding:host_id": null,
        "binding:profile": null, "binding:vnic_type": "normal", "dns_name": "", "tags": [],
        "tenant_id": "t", "project_id": "t", "port_security_enabled": null, "status": "DOWN",
        "revision_number": 3
    });
    let Resource::Port(port) = Resource::decode(Kind::Port, body).unwrap() else {
        panic!()
    };
    assert!(port.port_security_enabled && port.admin_state_up && port.host_id.is_empty());
    assert_eq!(port.revision_number, Some(3));
}

#[test]
fn the_field_at_fault_is_named() {
    let cases = [
        (Kind::Network, json!({}), "id"),
        (Kind::Network, json!({"id": "x"}), "id"),
        (
            Kind::Network,
            json!({"id": ID, "provider:network_type": "carrier"}),
            "provider:network_type",
        ),
        (Kind::Network, json!({"id": ID, "mtu": "big"}), "mtu"),
        (Kind::Network, json!({"id": ID, "mtu": 70000}), "mtu"),
        (
            Kind::Network,
            json!({"id": ID, "revision_number": -1}),
            "revision_number",
        ),
        (Kind::Network, json!([]), "body"),
        (
            Kind::Subnet,
            json!({"id": ID, "network_id": ID, "cidr": "10.0.0.0/33"}),
            "cidr",
        ),
        (
            Kind::Port,
            json!({"id": ID, "network_id": ID, "mac_address": "fa:16:3e:00:00:01",
                   "fixed_ips": [{"subnet_id": ID, "ip_address": "10.0.0"}]}),
            "fixed_ips[0].ip_address",
        ),
        (
            Kind::Port,
            json!({"id": ID, "network_id": ID, "mac_address": "fa:16:3e:00:00:01",
                   "fixed_ips": [{"ip_address": "10.0.0.1"}]}),
            "fixed_ips[0].subnet_id",
        ),
        (
            Kind::SecurityGroupRule,
            rule(json!({"direction": "sideways"})),
            "direction",
        ),
        (
            Kind::SecurityGroupRule,
            rule(json!({"ethertype": "IPX"})),
            "ethertype",
        ),
        (
            Kind::SecurityGroupRule,
            rule(json!({"protocol": "tpc"})),
            "protocol",
        ),
        (
            Kind::SecurityGroupRule,
            rule(json!({"protocol": 256})),
            "protocol",
        ),
        (
            Kind::SecurityGroup,
            json!({"id": ID, "security_group_rules": [rule(json!({"port_range_min": []}))]}),
            "security_group_rules[0].port_range_min",
        ),
    ];
    for (kind, body, property) in cases {
        let (found, message) = refused(kind, body.clone());
        assert_eq!(found, property, "{body}: {message}");
    }
}

#[test]
fn protocols_by_name_and_number_are_written_as_they_were_read() {
    let known = [
        (json!("tcp"), Some(6)),
        (json!("ipv6-icmp"), Some(58)),
        (json!("icmpv6"), Some(58)),
        (json!("ipip"), Some(4)),
        (json!("udplite"), Some(136)),
        (json!("TCP"), Some(6)),
        (json!("255"), Some(255)),
        (json!("any"), None),
    ];
    for (text, number) in known {
        let protocol: Protocol = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(protocol.number(), number, "{text}");
        assert_eq!(serde_json::to_value(&protocol).unwrap(), text);
    }
    let protocol: Protocol = serde_json::from_value(json!(17)).unwrap();
    assert_eq!(serde_json::to_value(protocol).unwrap(), json!("17"));
}

#[test]
fn what_is_not_json_is_malformed() {
    for body in [&b"{"[..], b"", b"{\"id\":", b"\xff", b"{} x"] {
        assert!(
            matches!(crate::parse(body), Err(Shape::Malformed(_))),
            "{body:?}"
        );
    }
}
