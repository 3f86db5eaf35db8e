//! Neutron resources as the plugin sends them: one file each, with the names on the wire.
//!
//! Fields that are not listed are ignored. What is stored, and given back by GET, is what is
//! listed.

mod address_group;
mod floating_ip;
mod kind;
mod network;
mod port;
mod port_forwarding;
mod protocol;
mod qos_policy;
mod resource;
mod router;
mod router_interface;
mod security_group;
mod security_group_rule;
mod subnet;

pub use address_group::AddressGroup;
pub use floating_ip::FloatingIp;
pub use kind::Kind;
pub use network::{Network, NetworkType};
pub use port::{AddressPair, BindingProfile, DhcpOption, FixedIp, Port, owner};
pub use port_forwarding::{BadPortRange, PortForwarding, PortRange};
pub use protocol::{Protocol, UnknownProtocol};
pub use qos_policy::{QosPolicy, QosRule, QosRuleKind};
pub use resource::Resource;
pub use router::{ExternalGateway, Route, Router};
pub use router_interface::RouterInterface;
pub use security_group::SecurityGroup;
pub use security_group_rule::{Direction, Ethertype, SecurityGroupRule};
pub use subnet::{AllocationPool, Ipv6Mode, Subnet};

#[cfg(test)]
mod tests;
