//! The comparison by itself.

use super::*;
use serde_json::json;

const ID: &str = "11111111-0000-0000-0000-000000000000";
const OTHER: &str = "22222222-0000-0000-0000-000000000000";

fn compare_one(kind: Kind, neutron: Value, cluster: Value) -> Vec<String> {
    let found = compare::compare(kind, &[neutron], &[cluster]);
    found.iter().map(Difference::to_string).collect()
}

/// A port with one more field.
fn port(field: &str, value: Value) -> Value {
    json!({"id": ID, "network_id": OTHER, "mac_address": "fa:16:3e:00:00:01", field: value})
}

/// A subnet with one more field.
fn subnet(cidr: &str, field: &str, value: Value) -> Value {
    json!({"id": ID, "network_id": OTHER, "cidr": cidr, field: value})
}

#[test]
fn what_one_side_lacks_is_named() {
    let (here, there) = (json!({"id": ID, "name": "blue"}), json!({"id": OTHER}));
    assert_eq!(
        compare_one(Kind::Network, here, there),
        [
            format!("network {ID} (blue): only in Neutron"),
            format!("network {OTHER}: only in the cluster")
        ]
    );
}

#[test]
fn a_field_that_differs_is_shown_with_both_values() {
    let network = |mtu: u16| json!({"id": ID, "name": "blue", "mtu": mtu});
    assert_eq!(
        compare_one(Kind::Network, network(1450), network(1500)),
        [format!(
            "network {ID} (blue): mtu: Neutron 1450, cluster 1500"
        )]
    );
}

#[test]
fn fields_that_the_cluster_does_not_read_are_not_compared() {
    let neutron = json!({"id": ID, "status": "ACTIVE", "tags": ["x"], "revision_number": 9});
    assert!(compare_one(Kind::Network, neutron, json!({"id": ID})).is_empty());
}

#[test]
fn nothing_has_many_spellings() {
    let none = port("binding:host_id", Value::Null);
    for (field, value) in [("device_id", json!("")), ("fixed_ips", json!([]))] {
        assert!(compare_one(Kind::Port, port(field, value), none.clone()).is_empty());
    }
}

#[test]
fn a_project_has_two_names() {
    let (one, other) = (
        port("tenant_id", json!("p")),
        port("project_id", json!("p")),
    );
    assert!(compare_one(Kind::Port, one, other).is_empty());
}

#[test]
fn the_order_of_groups_means_nothing_but_that_of_name_servers_does() {
    let groups = |a: &str, b: &str| port("security_groups", json!([a, b]));
    assert!(compare_one(Kind::Port, groups(ID, OTHER), groups(OTHER, ID)).is_empty());
    let servers = |a: &str, b: &str| subnet("10.0.0.0/24", "dns_nameservers", json!([a, b]));
    let (one, other) = (
        servers("10.0.0.1", "10.0.0.2"),
        servers("10.0.0.2", "10.0.0.1"),
    );
    assert_eq!(compare_one(Kind::Subnet, one, other).len(), 1);
}

#[test]
fn addresses_are_compared_by_meaning() {
    let one = subnet("fd00:0::/64", "gateway_ip", json!("fd00::0001"));
    let other = subnet("fd00::/64", "gateway_ip", json!("fd00::1"));
    assert!(compare_one(Kind::Subnet, one, other).is_empty());
}

#[test]
fn what_cannot_be_read_is_a_difference() {
    let neutron = port("mac_address", json!("nonsense"));
    let found = compare_one(Kind::Port, neutron, port("name", json!("")));
    assert!(found[0].contains("not understood"), "{found:?}");
}

#[test]
fn the_report_ends_with_a_count() {
    let compared = |kind, neutron, cluster| Compared {
        kind,
        neutron,
        cluster,
    };
    let report = Report {
        compared: vec![compared(Kind::Network, 2, 2), compared(Kind::Port, 3, 2)],
        differences: compare::compare(Kind::Port, &[json!({"id": ID})], &[]),
    };
    assert_eq!(
        render(&report),
        format!("port {ID}: only in Neutron\n1 difference in 2 networks, 3 ports (cluster 2)\n")
    );
}
