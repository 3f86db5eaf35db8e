//! What the cluster says to the operator's tool, beside Neutron's and MidoNet's own resources.
//!
//! `GET {root}/status` is a [`Status`]; `GET {root}/topology?kind=port&host=NAME` (both optional) is
//! a list of `topology::Versioned`; `POST {root}/traces/run` takes a [`TraceRequest`] and answers
//! with a [`Trace`].

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// The cluster and its hosts at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the cluster's program.
    pub version: String,
    /// Identity of the store.
    pub instance: Uuid,
    /// Topology revision of the last change.
    pub revision: u64,
    /// Seconds since the cluster's program started.
    pub uptime_seconds: u64,
    /// Networks in the topology.
    pub networks: usize,
    /// Routers in the topology.
    pub routers: usize,
    /// Ports in the topology.
    pub ports: usize,
    /// Ports that are bound to a host.
    pub ports_bound: usize,
    /// Ports that their agents report up.
    pub ports_up: usize,
    /// Every host that has ever registered, by name.
    pub hosts: Vec<HostStatus>,
}

/// A host as the cluster sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Its identity.
    pub id: Uuid,
    /// What Nova and Neutron call it.
    pub name: String,
    /// Its underlay address.
    pub tunnel: IpAddr,
    /// Whether its agent is connected.
    pub alive: bool,
    /// Version of its agent; absent until it has connected to this cluster process.
    pub version: Option<String>,
    /// Topology revision that its agent has applied.
    pub revision: u64,
    /// Topology revision that its agent should have applied: of the last change that concerned it.
    pub revision_wanted: u64,
    /// Seconds since the agent was last heard of; absent if not since the cluster started.
    pub heard_seconds: Option<u64>,
    /// Ports bound to it.
    pub ports: usize,
    /// Those that it reports up.
    pub ports_up: usize,
    /// Decisions in its kernel's table.
    pub decisions: u64,
    /// Frames its kernel sent up to the agent.
    pub upcalls: u64,
    /// Frames dropped there.
    pub drops: u64,
}

/// A packet to follow through the topology, given by its fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceRequest {
    /// The port it comes from.
    pub port: Uuid,
    /// IP destination.
    pub destination: Option<IpAddr>,
    /// IP source; the port's own address of the same family if absent.
    pub source: Option<IpAddr>,
    /// IP protocol number; ICMP or ICMPv6 if absent.
    pub protocol: Option<u8>,
    /// Source port, or ICMP identifier.
    pub source_port: Option<u16>,
    /// Destination port; of ICMP, type and code as `type << 8 | code`. An echo request if absent.
    pub destination_port: Option<u16>,
    /// Ethernet source; the port's own if absent.
    pub source_mac: Option<String>,
    /// Ethernet destination; that of the destination or of the gateway if absent.
    pub destination_mac: Option<String>,
    /// Time to live or hop limit; 64 if absent.
    pub ttl: Option<u8>,
    /// Whether the packet answers a connection from the other side.
    pub reply: bool,
}

/// Where a packet went, and what decided it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// How it ended.
    pub verdict: TraceVerdict,
    /// Device by device.
    pub steps: Vec<TraceStep>,
}

/// How a packet ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TraceVerdict {
    /// It is delivered at a port.
    Forward {
        /// Where it leaves.
        port: Uuid,
        /// Host of that port.
        host: Option<String>,
        /// Routers passed.
        hops: u8,
        /// It was let through as a reply.
        reply: bool,
        /// The security group rules that allowed it.
        allowed_by: Vec<Uuid>,
    },
    /// A copy is delivered at each of these ports.
    Flood {
        /// Where the copies leave.
        ports: Vec<Uuid>,
    },
    /// The agent answers in place of the network.
    Answer {
        /// How many frames go back.
        frames: usize,
    },
    /// It is dropped.
    Drop {
        /// Name of the reason; see `docs/drops.md`.
        reason: String,
        /// The Neutron resource that caused it, where there is one.
        cause: Option<Uuid>,
    },
}

/// What one device did to a packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceStep {
    /// `port`, `network` or `router`.
    pub device: String,
    /// Its id, the same as in Neutron.
    pub id: Uuid,
    /// Its name; often empty.
    pub name: String,
    /// What happened.
    pub what: String,
    /// The Neutron resource that was decisive.
    pub cause: Option<Uuid>,
}
