//! Floating IP.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// A Neutron floating IP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloatingIp {
    /// Identity.
    pub id: Uuid,
    /// Project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The same by its newer name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The external network.
    pub floating_network_id: Uuid,
    /// The address there.
    pub floating_ip_address: IpAddr,
    /// The router that translates.
    #[serde(default)]
    pub router_id: Option<Uuid>,
    /// The port it leads to.
    #[serde(default)]
    pub port_id: Option<Uuid>,
    /// The address of that port.
    #[serde(default)]
    pub fixed_ip_address: Option<IpAddr>,
    /// QoS policy of what goes by the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos_policy_id: Option<Uuid>,
    /// Neutron's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_number: Option<u64>,
}
