//! What `midonet status` shows.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// State of cluster and hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The cluster.
    pub cluster: ClusterStatus,
    /// Each host that ever registered, by name.
    pub hosts: Vec<HostStatus>,
}

/// State of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Identity of its store.
    pub instance: Uuid,
    /// Version of the program.
    pub version: String,
    /// Revision of the topology.
    pub revision: u64,
    /// How many resources it holds.
    pub counts: Counts,
}

/// How many Neutron resources of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field counts what it is named for")]
pub struct Counts {
    pub networks: usize,
    pub subnets: usize,
    pub ports: usize,
    pub routers: usize,
    pub floating_ips: usize,
    pub security_groups: usize,
    pub security_group_rules: usize,
}

/// State of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// The host.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its agent is connected.
    pub alive: bool,
    /// Seconds since the agent connected, or since it went; absent if it was not here since the
    /// cluster started.
    pub since_seconds: Option<u64>,
    /// Underlay address that other hosts send to.
    pub tunnel: IpAddr,
    /// Its availability zone; empty if it is in none.
    #[serde(default)]
    pub zone: String,
    /// An operator wants no traffic by its uplinks.
    #[serde(default)]
    pub draining: bool,
    /// Revision that the agent has applied.
    pub revision: u64,
    /// Revisions sent to the agent that it has not said it applied.
    pub lag: u64,
    /// Ports bound to this host that are up.
    pub ports_up: usize,
    /// Ports bound to this host.
    pub ports_total: usize,
    /// Version of the agent.
    pub version: String,
    /// What the agent counts.
    pub counters: HostCounters,
    /// Interfaces of the host that lead to the outside, by port.
    #[serde(default)]
    pub uplinks: Vec<UplinkStatus>,
    /// Other ports that are not up although they have an interface, and why.
    #[serde(default)]
    pub down: Vec<PortDown>,
}

/// State of an uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// The Neutron port.
    pub port: Uuid,
    /// Name of the interface.
    pub interface: String,
    /// The VLAN on it, if frames are tagged.
    pub vlan: Option<u16>,
    /// Frames can pass.
    pub up: bool,
    /// Why not, as its agent says.
    pub why: Option<String>,
}

/// A port that is not up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortDown {
    /// The port.
    pub port: Uuid,
    /// Why not, as its agent says.
    pub why: String,
}

/// Figures of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCounters {
    /// Decisions in the kernel's table.
    pub decisions: u64,
    /// Frames that the kernel sent up to the agent.
    pub upcalls: u64,
    /// Frames dropped on the host.
    pub drops: u64,
}
