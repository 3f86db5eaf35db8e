//! QoS policy.

use super::Direction;
use crate::decode::null_as_default;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A Neutron QoS policy with all its rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QosPolicy {
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
    /// Other projects may use it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub shared: bool,
    /// New networks of the project get it; Neutron sees to that.
    #[serde(default, deserialize_with = "null_as_default")]
    pub is_default: bool,
    /// Rules, each at most once per type and direction.
    #[serde(default, deserialize_with = "null_as_default")]
    pub rules: Vec<QosRule>,
    /// Neutron's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_number: Option<u64>,
}

/// A rule of a QoS policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QosRule {
    /// Identity.
    pub id: Uuid,
    /// What it asks for.
    #[serde(flatten)]
    pub rule: QosRuleKind,
}

/// What a QoS rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum QosRuleKind {
    /// Bits a second.
    BandwidthLimit {
        /// Thousand bits a second.
        max_kbps: u64,
        /// Thousand bits that may pass at once; 0 and absent mean the default.
        #[serde(default, deserialize_with = "null_as_default")]
        max_burst_kbps: u64,
        /// Which way; a rule without it is of the time when there was only one.
        #[serde(default = "egress")]
        direction: Direction,
    },
    /// Packets a second.
    PacketRateLimit {
        /// Thousand packets a second.
        max_kpps: u64,
        /// Thousand packets that may pass at once; 0 and absent mean the default.
        #[serde(default, deserialize_with = "null_as_default")]
        max_burst_kpps: u64,
        /// Which way.
        #[serde(default = "egress")]
        direction: Direction,
    },
    /// Marking of what the VM sends.
    DscpMarking {
        /// 0..=63
        dscp_mark: u8,
    },
    /// Something that is not honoured. Neutron keeps such rules in policies that nothing has, and
    /// lets no port or network have them.
    #[serde(other)]
    Other,
}

fn egress() -> Direction {
    Direction::Egress
}
