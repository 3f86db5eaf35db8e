//! The simulation: what the virtual topology does to one packet.
//!
//! [`simulate`] is a pure function of a snapshot and a packet. Every field of the packet that it
//! looks at becomes part of the decision's mask, every object part of its tags.
//!
//! The order of things is in `pipeline.rs`; then one file per device or idea:
//!
//! | file | what |
//! |---|---|
//! | `port.rs` | the port a frame comes in at, and the one it leaves by |
//! | `spoof.rs` | a VM speaks for itself only |
//! | `group.rs` | security groups, replies |
//! | `qos.rs` | marks |
//! | `bridge.rs` | delivery by MAC, floods |
//! | `router.rs`, `route.rs` | routers and their tables |
//! | `outside.rs` | who is spoken to from outside, and the hand-over to its host |
//! | `source.rs` | what a packet's source becomes on the way out |
//! | `arp.rs`, `nd.rs`, `ra.rs`, `dhcp4.rs`, `dhcp6.rs` | answers from the topology |
//! | `metadata.rs` | what is for the metadata service of the host |
//! | `station.rs` | who is behind a port |
//! | `icmp_error.rs`, `echo.rs` | what routers say |
//! | `look.rs` | the recorder |
#![forbid(unsafe_code)]

mod arp;
mod bridge;
mod dhcp4;
mod dhcp6;
mod echo;
mod frame;
mod group;
mod icmp_error;
mod look;
mod metadata;
mod nd;
mod outside;
mod pipeline;
mod port;
mod qos;
mod ra;
mod route;
mod router;
mod source;
mod spoof;
mod station;
mod step;
pub mod testing;

use bpf_abi::FlowKey;
use flow::Decision;
pub use metadata::{METADATA_MAC, METADATA_PORT, METADATA_V4, METADATA_V6};
pub use ra::{ADVERTISERS_MAX, Advertisement, advertisements, farewells};
pub use router::DEVICES_MAX;
pub use station::{is_announcement, question, stations_of};
pub use step::{Device, DeviceKind, Step};
use topology::{BridgeId, PortId, RouterId, Snapshot};

/// Where a frame came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress {
    /// From the VM at this port, or, at a router's port, from the router itself: an ICMP error about
    /// what it was handed.
    Port(PortId),
    /// At this router, into which it came from its outside, addressed to one of the router's ports:
    /// it was handed over to the host that knows its connection.
    Router(RouterId),
    /// Over the underlay with this network's flood key: its sender's side has been judged by the
    /// sender's host, each receiver is judged here.
    Network(BridgeId),
}

/// A frame and how the kernel program read it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// As the kernel program, or [`flow::parse()`], read it: `state` says forward or reply. For ARP
    /// only the MACs are set and the family is 0.
    pub key: FlowKey,
    /// The frame from its Ethernet header on. May be cut after the first 2048 bytes.
    pub frame: &'a [u8],
    /// Payload bytes of each segment of an aggregated frame (`bpf_abi::Upcall::gso_size`); 0 for a
    /// plain one.
    pub gso_size: u16,
}

/// What happens to a packet. `Forward` and `Drop` hold for all packets that are equal under the
/// decision's mask as long as none of its tags is touched; other verdicts for this frame alone.
///
/// The ports of a `Flood` are on any host; with [`Ingress::Network`] only those of the own host
/// are to be served.
pub fn simulate(snapshot: &Snapshot, ingress: Ingress, packet: &Packet<'_>) -> Decision {
    pipeline::run(snapshot, ingress, packet, false).0
}

/// The same as [`simulate`], with an account of every step.
pub fn trace(snapshot: &Snapshot, ingress: Ingress, packet: &Packet<'_>) -> (Decision, Vec<Step>) {
    pipeline::run(snapshot, ingress, packet, true)
}
