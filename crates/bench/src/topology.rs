//! What Neutron's driver would have told the cluster, in its words.

use crate::error::BenchError;
use lab::Http;
use serde_json::{Value, json};
use std::net::IpAddr;
use uuid::Uuid;

/// The project everything belongs to.
const PROJECT: &str = "bench";

/// A network with a subnet of each family, by their ids.
pub struct Network {
    /// The network.
    pub id: Uuid,
    /// Its subnets, IPv4 first.
    pub subnets: [Uuid; 2],
}

/// Creates a resource; its id.
pub fn post(http: &Http, collection: &str, mut body: Value) -> Result<Uuid, BenchError> {
    body["tenant_id"] = json!(PROJECT);
    body["revision_number"] = json!(1);
    http.post(&format!("/neutron/{collection}"), &body)?;
    let id = body["id"].as_str().and_then(|id| id.parse().ok());
    Ok(id.expect("every body here has an id"))
}

/// Creates a network with whatever else `more` says, and its subnets, each given by its prefix and
/// its gateway, IPv4 first.
pub fn network(
    http: &Http,
    name: &str,
    more: Value,
    subnets: [(String, IpAddr); 2],
) -> Result<Network, BenchError> {
    let mut body = json!({
        "id": Uuid::new_v4(), "name": name, "admin_state_up": true, "shared": false,
        "router:external": false, "provider:network_type": "midonet",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    let id = post(http, "networks", body)?;
    let subnet = |(cidr, gateway): &(String, IpAddr)| {
        let body = json!({
            "id": Uuid::new_v4(), "name": "", "network_id": id,
            "ip_version": if gateway.is_ipv4() { 4 } else { 6 },
            "cidr": cidr, "gateway_ip": gateway, "enable_dhcp": false, "dns_nameservers": [],
            "host_routes": [], "allocation_pools": [], "shared": false,
        });
        post(http, "subnets", body)
    };
    Ok(Network {
        id,
        subnets: [subnet(&subnets[0])?, subnet(&subnets[1])?],
    })
}

/// A port as Neutron would tell it, not yet created.
pub fn port(
    network: &Network,
    mac: &str,
    addresses: [IpAddr; 2],
    owner: &str,
    device: &str,
) -> Value {
    let fixed = network.subnets.iter().zip(addresses);
    let fixed: Vec<Value> = fixed
        .map(|(subnet, ip)| json!({"subnet_id": subnet, "ip_address": ip}))
        .collect();
    json!({
        "id": Uuid::new_v4(), "name": "", "network_id": network.id, "admin_state_up": true,
        "mac_address": mac, "fixed_ips": fixed, "device_owner": owner, "device_id": device,
        "security_groups": [], "port_security_enabled": false,
    })
}

/// Creates a group: everything out; in from its members, as Neutron's default group, or from
/// anyone.
pub fn group(http: &Http, anyone: bool) -> Result<Uuid, BenchError> {
    let id = Uuid::new_v4();
    let rule = |direction: &str, family: &str, remote: Option<Uuid>| {
        json!({
            "id": Uuid::new_v4(), "security_group_id": id, "direction": direction,
            "ethertype": family, "protocol": null, "port_range_min": null,
            "port_range_max": null, "remote_ip_prefix": null, "remote_group_id": remote,
            "tenant_id": PROJECT, "revision_number": 1,
        })
    };
    let from = (!anyone).then_some(id);
    let rules = [
        rule("egress", "IPv4", None),
        rule("egress", "IPv6", None),
        rule("ingress", "IPv4", from),
        rule("ingress", "IPv6", from),
    ];
    let body = json!({
        "id": id, "name": "bench", "description": "", "stateful": true,
        "security_group_rules": rules,
    });
    post(http, "security_groups", body)
}
