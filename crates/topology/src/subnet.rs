//! A subnet: what DHCP and router advertisements say on a bridge.

use crate::{BridgeId, SubnetId};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A Neutron subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Same as the Neutron subnet's.
    pub id: SubnetId,
    /// The network it belongs to.
    pub bridge: BridgeId,
    /// Its prefix.
    pub cidr: IpNet,
    /// Address of the default router, if there is one.
    pub gateway: Option<IpAddr>,
    /// Whether addresses are handed out: DHCPv4, or DHCPv6 and RA as the modes below say.
    pub dhcp: bool,
    /// Name servers in order.
    pub dns: Vec<IpAddr>,
    /// Routes for the hosts of the subnet.
    pub host_routes: Vec<HostRoute>,
    /// What the network's routers advertise, Neutron's `ipv6_ra_mode`; `None` if they do not, and
    /// for IPv4.
    pub ipv6_mode: Option<Ipv6Mode>,
    /// How hosts get IPv6 addresses, Neutron's `ipv6_address_mode`.
    #[serde(default)]
    pub ipv6_address_mode: Option<Ipv6Mode>,
}

/// A route that DHCP hands to hosts (RFC 3442).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoute {
    /// Prefix it covers.
    pub destination: IpNet,
    /// Next hop on the subnet.
    pub nexthop: IpAddr,
}

/// Values of Neutron's `ipv6_ra_mode` and `ipv6_address_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ipv6Mode {
    /// Addresses by router advertisement alone.
    Slaac,
    /// Addresses by router advertisement, the rest by DHCPv6.
    Dhcpv6Stateless,
    /// Everything by DHCPv6.
    Dhcpv6Stateful,
}
