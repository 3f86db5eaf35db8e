//! Asking what the virtual topology does to a packet.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;
use wire::Mac;

/// A packet and where it enters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceRequest {
    /// The Neutron port whose VM sends it.
    pub port: Uuid,
    /// Direction within its connection.
    #[serde(default)]
    pub state: TraceState,
    /// The packet by its fields; this or `frame`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<PacketFields>,
    /// The whole frame in hexadecimal; this or `packet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
}

/// Direction of a packet within its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceState {
    /// It opens the connection.
    #[default]
    Forward,
    /// The opposite direction was let through to this port before.
    Reply,
}

/// A packet by its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PacketFields {
    /// Source; the port's first address of the destination's family if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<IpAddr>,
    /// Destination.
    pub dst: IpAddr,
    /// Protocol as Neutron names it, or its number; `icmp` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<crate::neutron::Protocol>,
    /// Source port; an ephemeral one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sport: Option<u16>,
    /// Destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dport: Option<u16>,
    /// ICMP type; echo request if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// ICMP code; 0 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp_code: Option<u8>,
    /// Ethernet source; the port's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smac: Option<Mac>,
    /// Ethernet destination; what the VM would resolve if absent: the neighbour on the same
    /// subnet, or the subnet's gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dmac: Option<Mac>,
}

/// What happens to the packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceResponse {
    /// Revision of the topology that was asked.
    pub revision: u64,
    /// Each device it meets, in order.
    pub steps: Vec<TraceStep>,
    /// How it ends.
    pub verdict: TraceVerdict,
    /// The frame that was simulated, in hexadecimal.
    pub frame: String,
}

/// What one device does to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStep {
    /// Which device.
    pub device: TraceDevice,
    /// One clause.
    pub what: String,
    /// The resource that was decisive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// A device of the topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceDevice {
    /// `port`, `network` or `router`.
    pub kind: String,
    /// Its id, the same as in Neutron.
    pub id: Uuid,
    /// Its name; often empty.
    pub name: String,
}

/// A Neutron resource that decided something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Its kind in Neutron's words, for instance `security_group_rule`.
    pub kind: String,
    /// Its id.
    pub id: Uuid,
    /// Its name; empty if it has none.
    pub name: String,
    /// For a rule, what it says; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// How a packet ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceVerdict {
    /// Answered by the metadata service of the sender's host.
    Metadata,
    /// Delivered at a port.
    Forward {
        /// The port.
        port: Uuid,
        /// Host of the port; absent if it is unbound.
        host: Option<String>,
        /// Passed as a reply, because the opposite direction is allowed.
        reply: bool,
        /// Routers passed.
        hops: u8,
    },
    /// It has come to a router from its outside and goes on there at the host of the VM it is for.
    HandOver {
        /// The router.
        router: Uuid,
        /// The host.
        host: String,
        /// Routers passed before.
        hops: u8,
    },
    /// Copied to these ports.
    Flood {
        /// The ports.
        ports: Vec<Uuid>,
    },
    /// Answered by the virtual network itself.
    Answer {
        /// Frames that go back, in hexadecimal.
        frames: Vec<String>,
    },
    /// Not delivered.
    Drop {
        /// Name of the reason.
        reason: String,
        /// The resource that caused it, if there is one.
        cause: Option<Cause>,
    },
}
