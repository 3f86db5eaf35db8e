//! Network.

use crate::decode::{null_as_default, null_as_true, yes};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A Neutron network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
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
    /// Frames pass.
    #[serde(default = "yes", deserialize_with = "null_as_true")]
    pub admin_state_up: bool,
    /// Other projects may use it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub shared: bool,
    /// Routers may have their gateway here.
    #[serde(
        default,
        rename = "router:external",
        deserialize_with = "null_as_default"
    )]
    pub external: bool,
    /// Which type driver made it.
    #[serde(
        default,
        rename = "provider:network_type",
        skip_serializing_if = "Option::is_none"
    )]
    pub network_type: Option<NetworkType>,
    /// Largest IP packet; 0 and absent mean the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// QoS policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos_policy_id: Option<Uuid>,
    /// Neutron's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_number: Option<u64>,
}

/// Network types of Neutron's type drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are Neutron's own words")]
pub enum NetworkType {
    Midonet,
    Uplink,
    Local,
    Flat,
    Vlan,
    Gre,
    Vxlan,
    Geneve,
}
