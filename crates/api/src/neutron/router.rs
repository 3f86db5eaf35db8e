//! Router.

use crate::decode::{null_as_default, null_as_true, yes};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

use super::FixedIp;

/// A Neutron router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Router {
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
    /// Packets pass.
    #[serde(default = "yes", deserialize_with = "null_as_true")]
    pub admin_state_up: bool,
    /// Its port on an external network.
    #[serde(default)]
    pub gw_port_id: Option<Uuid>,
    /// How it reaches the outside.
    #[serde(default)]
    pub external_gateway_info: Option<ExternalGateway>,
    /// Extra routes.
    #[serde(default, deserialize_with = "null_as_default")]
    pub routes: Vec<Route>,
    /// Neutron's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_number: Option<u64>,
}

/// How a router reaches the outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalGateway {
    /// The external network.
    pub network_id: Uuid,
    /// Sources are translated.
    #[serde(default = "yes", deserialize_with = "null_as_true")]
    pub enable_snat: bool,
    /// Addresses there.
    #[serde(default, deserialize_with = "null_as_default")]
    pub external_fixed_ips: Vec<FixedIp>,
}

fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpNet, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a prefix is wanted")]
    enum Either {
        Net(IpNet),
        Address(IpAddr),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Net(net) => net,
        Either::Address(ip) => ip.into(),
    })
}

/// A route of a router or for the hosts of a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Prefix it covers. Neutron takes an address for the prefix of itself.
    #[serde(deserialize_with = "prefix")]
    pub destination: IpNet,
    /// Next hop.
    pub nexthop: IpAddr,
}
