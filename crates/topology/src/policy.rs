//! A QoS policy: how much may pass a port each way, and how what leaves it is marked.

use crate::PolicyId;
use serde::{Deserialize, Serialize};

/// A Neutron QoS policy. Ports name the one that applies to them; a change of its rules is a change
/// of this one object, however many ports have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Same as the Neutron policy's.
    pub id: PolicyId,
    /// For people only.
    pub name: String,
    /// On frames towards the VM.
    pub ingress: Limits,
    /// On frames from the VM.
    pub egress: Limits,
    /// DSCP (RFC 2474) of packets from the VM, 0..=63.
    pub dscp: Option<u8>,
}

/// Limits in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bits of Ethernet frames, without preamble and checksum, as Linux counts them.
    pub bandwidth: Option<Rate>,
    /// Frames; each segment of an aggregated frame counts.
    pub packets: Option<Rate>,
}

/// A token bucket. Never 0 a second: a rule that lets nothing pass has the smallest rate there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Units a second.
    pub rate: u64,
    /// Units that may pass at once after a pause.
    pub burst: u64,
}

impl Limits {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bandwidth.is_none() && self.packets.is_none()
    }
}
