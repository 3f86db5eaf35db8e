//! A decision: what happens to every packet of a class, and what that depended on.

use crate::{DropReason, Mask};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};
use topology::{BridgeId, PortId, RouterId, Tag};
use uuid::Uuid;
use wire::Mac;

/// Direction of a packet within its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It opens its connection or continues it in the direction of the opener.
    Forward,
    /// The reverse of its tuple was authorised on the way here.
    Reply,
}

impl State {
    /// How a flow key writes it.
    pub fn number(self) -> u8 {
        match self {
            State::Forward => bpf_abi::STATE_FORWARD,
            State::Reply => bpf_abi::STATE_REPLY,
        }
    }
}

/// What the simulation found for a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Bits of the flow key it depended on; packets equal under it get the same verdict. Only
    /// `Forward`, `Metadata` and `Drop` may be cached: other verdicts hold for this frame alone.
    pub mask: Mask,
    /// What to do.
    pub verdict: Verdict,
    /// Topology it depended on.
    pub tags: BTreeSet<Tag>,
    /// What a router wants to know before it can pass such packets on.
    pub question: Option<Question>,
}

/// An ARP request or neighbour solicitation of a router, for the ports that may answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The network.
    pub bridge: BridgeId,
    /// Whose station is asked for.
    pub ip: IpAddr,
    /// The frame.
    pub frame: Vec<u8>,
    /// Who is asked.
    pub ports: Vec<PortId>,
}

/// What to do with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it to where it leaves or goes on, on whatever host that is.
    Forward {
        /// Where that is.
        to: Destination,
        /// What changes on the way.
        rewrite: Rewrite,
        /// Largest IP packet that may pass, bytes.
        mtu: u16,
        /// The connection is tracked: its reverse is to be recorded at the port `to`, and nowhere if
        /// `record` is given or `to` is a router.
        track: bool,
        /// Answers will come into this router from its outside: the reverse, with what the rewrite
        /// makes of source and source port, is to be recorded there, on the host of the decision.
        record: Option<RouterId>,
        /// It was let through as a reply, because the opposite direction is allowed.
        reply: bool,
    },
    /// Deliver a copy at each of these ports.
    Flood {
        /// Where the copies leave.
        ports: Vec<PortId>,
    },
    /// Hand it to the metadata service of this host, which answers whatever groups say. It is on the
    /// host to make the sender known to the service.
    Metadata,
    /// Send these frames back out of the port it came from. Empty: consumed in silence.
    Answer(Vec<Vec<u8>>),
    /// Not delivered, and neither is any packet equal under the mask.
    Drop {
        /// Why.
        reason: DropReason,
        /// The Neutron resource that caused it, if there is one.
        cause: Option<Uuid>,
    },
    /// Not delivered because of what this frame alone says (its TTL, size or body) or because the
    /// sender is told each time: counted like a drop, never cached.
    Refuse {
        /// Why.
        reason: DropReason,
        /// The Neutron resource that caused it, if there is one.
        cause: Option<Uuid>,
        /// An ICMP error to send back out of the port it came from.
        answer: Option<Vec<u8>>,
    },
}

/// Where a packet is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// It leaves by this port.
    Port(PortId),
    /// It has come to this router from its outside, addressed to one of the router's ports, and goes
    /// on there at the host that knows its connection.
    Router {
        /// The router.
        router: RouterId,
        /// The host's name.
        host: Box<str>,
    },
}

impl Destination {
    /// The port it leaves by, if it does.
    pub fn port(&self) -> Option<PortId> {
        match self {
            Destination::Port(port) => Some(*port),
            Destination::Router { .. } => None,
        }
    }
}

/// What changes in a packet on its way. MACs change only when it passes routers, that is when `hops`
/// is not 0; addresses and DSCP whenever they are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// Routers passed.
    pub hops: u8,
    /// New Ethernet source.
    pub smac: Mac,
    /// New Ethernet destination.
    pub dmac: Mac,
    /// New IP source, of the packet's family: one address for another, ports stay. `None`: unchanged.
    pub src: Option<IpAddr>,
    /// New IP destination likewise.
    pub dst: Option<IpAddr>,
    /// New destination port, with `dst`.
    pub dst_port: Option<u16>,
    /// The source becomes the address of the verdict's `record` router, and the source port, or the
    /// identifier of an ICMP echo, one of those that the host has leased. `src` is `None`.
    pub snat: bool,
    /// An IPv6 packet becomes an IPv4 one. All of the above but `dst_port` are `None`.
    pub nat64: Option<Nat64>,
    /// New differentiated services code point, 0 to 63 (RFC 2474, 3), also in the outer header of a
    /// tunnelled packet. ECN stays. `None`: unchanged.
    pub dscp: Option<u8>,
}

/// How an IPv6 packet becomes an IPv4 one (RFC 7915). Its source becomes an address and a port of the
/// host's own pool; the answer is translated by the record of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nat64 {
    /// New destination.
    pub dst: Ipv4Addr,
}
