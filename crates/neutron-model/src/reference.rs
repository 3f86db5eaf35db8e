//! Which fields of a resource name another.

use crate::{router, router_interface};
use api::neutron::{Kind, Resource};
use uuid::Uuid;

/// A field that names a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The field.
    pub property: String,
    /// Kind of what it names.
    pub kind: Kind,
    /// Id of what it names.
    pub id: Uuid,
}

impl Reference {
    fn new(property: impl Into<String>, kind: Kind, id: Uuid) -> Self {
        Self {
            property: property.into(),
            kind,
            id,
        }
    }

    /// What it names.
    pub fn target(&self) -> (Kind, Uuid) {
        (self.kind, self.id)
    }
}

/// Every reference of a resource that must lead somewhere. A router's gateway is none: the port names
/// the router, and comes after it.
pub(crate) fn references(resource: &Resource) -> Vec<Reference> {
    match resource {
        Resource::Network(network) => policy(network.qos_policy_id).into_iter().collect(),
        Resource::QosPolicy(_)
        | Resource::AddressGroup(_)
        | Resource::SecurityGroup(_)
        | Resource::Router(_) => Vec::new(),
        Resource::Subnet(subnet) => {
            vec![Reference::new(
                "network_id",
                Kind::Network,
                subnet.network_id,
            )]
        }
        Resource::SecurityGroupRule(rule) => {
            let own = Reference::new(
                "security_group_id",
                Kind::SecurityGroup,
                rule.security_group_id,
            );
            let remote = rule
                .remote_group_id
                .map(|id| Reference::new("remote_group_id", Kind::SecurityGroup, id));
            let addresses = rule
                .remote_address_group_id
                .map(|id| Reference::new("remote_address_group_id", Kind::AddressGroup, id));
            [own].into_iter().chain(remote).chain(addresses).collect()
        }
        Resource::Port(port) => {
            let mut all = vec![Reference::new("network_id", Kind::Network, port.network_id)];
            all.extend(policy(port.qos_policy_id));
            all.extend(port.fixed_ips.iter().enumerate().map(|(i, ip)| {
                Reference::new(
                    format!("fixed_ips[{i}].subnet_id"),
                    Kind::Subnet,
                    ip.subnet_id,
                )
            }));
            all.extend(port.security_groups.iter().enumerate().map(|(i, id)| {
                Reference::new(format!("security_groups[{i}]"), Kind::SecurityGroup, *id)
            }));
            all.extend(
                router_interface::router_of(port)
                    .or(router::of_gateway(port))
                    .map(|id| Reference::new("device_id", Kind::Router, id)),
            );
            all
        }
        Resource::FloatingIp(fip) => {
            let network = fip.floating_network_id;
            let mut all = vec![Reference::new(
                "floating_network_id",
                Kind::Network,
                network,
            )];
            all.extend(
                fip.router_id
                    .map(|id| Reference::new("router_id", Kind::Router, id)),
            );
            all.extend(
                fip.port_id
                    .map(|id| Reference::new("port_id", Kind::Port, id)),
            );
            all.extend(policy(fip.qos_policy_id));
            all
        }
        Resource::PortForwarding(forwarding) => vec![
            Reference::new("floatingip_id", Kind::FloatingIp, forwarding.floatingip_id),
            Reference::new("internal_port_id", Kind::Port, forwarding.internal_port_id),
        ],
    }
}

fn policy(id: Option<Uuid>) -> Option<Reference> {
    id.map(|id| Reference::new("qos_policy_id", Kind::QosPolicy, id))
}
