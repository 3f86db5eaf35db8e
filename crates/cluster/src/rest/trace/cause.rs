//! The Neutron resource behind an id, for people.

use api::{
    Cause,
    neutron::{Direction, Ethertype, Kind, PortForwarding, PortRange, Resource, SecurityGroupRule},
};
use neutron_model::State;
use std::fmt::Write;
use uuid::Uuid;

/// What an id that decided something stands for.
pub fn cause(id: Uuid, model: &State) -> Cause {
    let found = Kind::ALL
        .into_iter()
        .find_map(|kind| model.neutron.get(kind, id));
    let Some(resource) = found else {
        return Cause {
            kind: "unknown".to_owned(),
            id,
            name: String::new(),
            detail: String::new(),
        };
    };
    let kind = resource.kind().name().to_owned();
    let (name, detail) = match resource {
        Resource::QosPolicy(r) => (r.name, String::new()),
        Resource::Network(r) => (r.name, String::new()),
        Resource::Subnet(r) => (r.name, r.cidr.to_string()),
        Resource::AddressGroup(r) => (r.name, r.addresses.join(", ")),
        Resource::SecurityGroup(r) => (r.name, String::new()),
        Resource::SecurityGroupRule(r) => (String::new(), says(&r)),
        Resource::Router(r) => (r.name, String::new()),
        Resource::Port(r) => (r.name, r.device_owner),
        Resource::FloatingIp(r) => (r.floating_ip_address.to_string(), String::new()),
        Resource::PortForwarding(r) => (String::new(), forwards(&r)),
    };
    Cause {
        kind,
        id,
        name,
        detail,
    }
}

/// A port forwarding in one line, for instance `tcp 2222:2222 to 10.0.0.5 22:22`.
fn forwards(forwarding: &PortForwarding) -> String {
    let range = |range: Option<PortRange>| range.map(|r| r.to_string()).unwrap_or_default();
    format!(
        "{} {} to {} {}",
        forwarding.protocol,
        range(forwarding.external()),
        forwarding.internal_ip_address,
        range(forwarding.internal()),
    )
}

/// A rule in one line, for instance `ingress IPv4 tcp 22 from 10.0.0.0/8`.
fn says(rule: &SecurityGroupRule) -> String {
    let (direction, preposition) = match rule.direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let family = match rule.ethertype {
        Ethertype::IPv4 => "IPv4",
        Ethertype::IPv6 => "IPv6",
    };
    let mut text = format!("{direction} {family}");
    let mut add = |part: String| {
        // writing to a String cannot fail
        let _ = write!(text, " {part}");
    };
    match &rule.protocol {
        Some(protocol) => add(protocol.to_string()),
        None => add("any protocol".to_owned()),
    }
    match (rule.port_range_min, rule.port_range_max) {
        (Some(min), Some(max)) if min != max => add(format!("{min}-{max}")),
        (Some(min), _) => add(min.to_string()),
        _ => {}
    }
    if let Some(prefix) = &rule.remote_ip_prefix {
        add(format!("{preposition} {prefix}"));
    }
    if let Some(group) = rule.remote_group_id {
        add(format!("{preposition} members of group {group}"));
    }
    if let Some(addresses) = rule.remote_address_group_id {
        add(format!("{preposition} address group {addresses}"));
    }
    text
}
