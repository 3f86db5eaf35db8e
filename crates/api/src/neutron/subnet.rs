//! Subnet.

use super::Route;
use crate::decode::{null_as_default, null_as_true, yes};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// A Neutron subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Identity.
    pub id: Uuid,
    /// For people only.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// Project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The same by its newer name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The network it is on.
    pub network_id: Uuid,
    /// 4 or 6; told by `cidr` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<u8>,
    /// Prefix.
    pub cidr: IpNet,
    /// Address of the default router.
    #[serde(default)]
    pub gateway_ip: Option<IpAddr>,
    /// Ranges that Neutron takes addresses from.
    #[serde(default, deserialize_with = "null_as_default")]
    pub allocation_pools: Vec<AllocationPool>,
    /// Name servers.
    #[serde(default, deserialize_with = "null_as_default")]
    pub dns_nameservers: Vec<IpAddr>,
    /// Routes for its hosts.
    #[serde(default, deserialize_with = "null_as_default")]
    pub host_routes: Vec<Route>,
    /// Addresses are handed out.
    #[serde(default = "yes", deserialize_with = "null_as_true")]
    pub enable_dhcp: bool,
    /// Who sends router advertisements, and of which kind; absent: not this network.
    #[serde(default)]
    pub ipv6_ra_mode: Option<Ipv6Mode>,
    /// How hosts get their addresses.
    #[serde(default)]
    pub ipv6_address_mode: Option<Ipv6Mode>,
    /// Neutron's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_number: Option<u64>,
}

/// A range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationPool {
    /// First.
    pub start: IpAddr,
    /// Last.
    pub end: IpAddr,
}

/// Values of `ipv6_ra_mode` and `ipv6_address_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the variants are Neutron's own words")]
pub enum Ipv6Mode {
    Slaac,
    Dhcpv6Stateless,
    Dhcpv6Stateful,
}
