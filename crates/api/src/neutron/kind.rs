//! Kinds of Neutron resources and their names.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A kind of Neutron resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are Neutron's own words")]
pub enum Kind {
    QosPolicy,
    Network,
    Subnet,
    AddressGroup,
    SecurityGroup,
    SecurityGroupRule,
    Router,
    Port,
    FloatingIp,
    PortForwarding,
}

impl Kind {
    /// All of them, each after those it refers to.
    pub const ALL: [Kind; 10] = [
        Kind::QosPolicy,
        Kind::Network,
        Kind::Subnet,
        Kind::AddressGroup,
        Kind::SecurityGroup,
        Kind::SecurityGroupRule,
        Kind::Router,
        Kind::Port,
        Kind::FloatingIp,
        Kind::PortForwarding,
    ];

    /// One of it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::QosPolicy => "qos_policy",
            Kind::Network => "network",
            Kind::Subnet => "subnet",
            Kind::AddressGroup => "address_group",
            Kind::SecurityGroup => "security_group",
            Kind::SecurityGroupRule => "security_group_rule",
            Kind::Router => "router",
            Kind::Port => "port",
            Kind::FloatingIp => "floating_ip",
            Kind::PortForwarding => "port_forwarding",
        }
    }

    /// Many of it; also the last part of the collection's path.
    pub fn collection(self) -> &'static str {
        match self {
            Kind::QosPolicy => "qos_policies",
            Kind::Network => "networks",
            Kind::Subnet => "subnets",
            Kind::AddressGroup => "address_groups",
            Kind::SecurityGroup => "security_groups",
            Kind::SecurityGroupRule => "security_group_rules",
            Kind::Router => "routers",
            Kind::Port => "ports",
            Kind::FloatingIp => "floating_ips",
            Kind::PortForwarding => "port_forwardings",
        }
    }

    /// Media type of one.
    pub fn media(self) -> &'static str {
        match self {
            Kind::QosPolicy => "application/vnd.org.midonet.neutron.QosPolicy-v1+json",
            Kind::Network => "application/vnd.org.midonet.neutron.Network-v1+json",
            Kind::Subnet => "application/vnd.org.midonet.neutron.Subnet-v1+json",
            Kind::AddressGroup => "application/vnd.org.midonet.neutron.AddressGroup-v1+json",
            Kind::SecurityGroup => "application/vnd.org.midonet.neutron.SecurityGroup-v1+json",
            Kind::SecurityGroupRule => {
                "application/vnd.org.midonet.neutron.SecurityGroupRule-v1+json"
            }
            Kind::Router => "application/vnd.org.midonet.neutron.Router-v1+json",
            Kind::Port => "application/vnd.org.midonet.neutron.Port-v1+json",
            Kind::FloatingIp => "application/vnd.org.midonet.neutron.FloatingIp-v1+json",
            Kind::PortForwarding => "application/vnd.org.midonet.neutron.PortForwarding-v1+json",
        }
    }

    /// Media type of many.
    pub fn media_collection(self) -> &'static str {
        match self {
            Kind::QosPolicy => "application/vnd.org.midonet.neutron.QosPolicies-v1+json",
            Kind::Network => "application/vnd.org.midonet.neutron.Networks-v1+json",
            Kind::Subnet => "application/vnd.org.midonet.neutron.Subnets-v1+json",
            Kind::AddressGroup => "application/vnd.org.midonet.neutron.AddressGroups-v1+json",
            Kind::SecurityGroup => "application/vnd.org.midonet.neutron.SecurityGroups-v1+json",
            Kind::SecurityGroupRule => {
                "application/vnd.org.midonet.neutron.SecurityGroupRules-v1+json"
            }
            Kind::Router => "application/vnd.org.midonet.neutron.Routers-v1+json",
            Kind::Port => "application/vnd.org.midonet.neutron.Ports-v1+json",
            Kind::FloatingIp => "application/vnd.org.midonet.neutron.FloatingIps-v1+json",
            Kind::PortForwarding => "application/vnd.org.midonet.neutron.PortForwardings-v1+json",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
