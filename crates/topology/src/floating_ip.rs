//! A floating IP: an address of one network that stands for a port behind a router.

use crate::{BridgeId, FloatingIpId, PolicyId, PortId, RouterId};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A Neutron floating IP that is associated, or one of its port forwardings. Those that lead nowhere
/// are not in the topology. An IPv6 address may stand for an IPv4 one (`fip64`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloatingIp {
    /// Same as the Neutron floating IP's or port forwarding's.
    pub id: FloatingIpId,
    /// The address.
    pub address: IpAddr,
    /// The network it is an address of.
    pub bridge: BridgeId,
    /// The router that translates; it has a port on that network.
    pub router: RouterId,
    /// The port it leads to.
    pub port: PortId,
    /// The address of that port it leads to.
    pub fixed: IpAddr,
    /// If it is a port forwarding: what it forwards. It is then not a source of new connections.
    #[serde(default)]
    pub forwarded: Option<Forwarded>,
    /// The QoS policy of traffic by this address.
    #[serde(default)]
    pub policy: Option<PolicyId>,
}

/// What a port forwarding forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    /// IP protocol number of TCP or UDP.
    pub protocol: u8,
    /// Ports of the floating IP.
    pub external: PortRange,
    /// Ports of the fixed address: as many, or one.
    pub internal: PortRange,
}

/// Transport ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// Lowest.
    pub first: u16,
    /// Highest.
    pub last: u16,
}

impl PortRange {
    /// Whether a port is in it.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl Forwarded {
    /// The internal port that stands behind an external one.
    pub fn internal_port(&self, external: u16) -> Option<u16> {
        if !self.external.contains(external) {
            return None;
        }
        let offset = external - self.external.first;
        let port = self.internal.first.checked_add(offset)?;
        Some(port.min(self.internal.last))
    }
}
