//! Security group rule.

use super::Protocol;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A Neutron security group rule. It allows; what no rule allows is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    /// Identity.
    pub id: Uuid,
    /// The group it belongs to.
    pub security_group_id: Uuid,
    /// Project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The same by its newer name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Seen from the VM.
    pub direction: Direction,
    /// IP version.
    #[serde(default)]
    pub ethertype: Ethertype,
    /// Protocol; every one if absent.
    #[serde(default)]
    pub protocol: Option<Protocol>,
    /// Lowest destination port, or ICMP type.
    #[serde(default)]
    pub port_range_min: Option<u16>,
    /// Highest destination port, or ICMP code.
    #[serde(default)]
    pub port_range_max: Option<u16>,
    /// The other end's prefix, as text: Neutron gives it back as it got it.
    #[serde(default)]
    pub remote_ip_prefix: Option<String>,
    /// The other end is a member of this group.
    #[serde(default)]
    pub remote_group_id: Option<Uuid>,
    /// The other end is in this address group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_address_group_id: Option<Uuid>,
    /// Neutron's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_number: Option<u64>,
}

/// Direction of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the VM.
    Ingress,
    /// From the VM.
    Egress,
}

/// IP version of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are Neutron's own words")]
pub enum Ethertype {
    #[default]
    IPv4,
    IPv6,
}
