//! Frames for tests, described by their fields.

use bpf_abi::FlowKey;
use std::net::IpAddr;
use wire::{Icmp, IpPacket, Mac, Udp, icmp4, icmp6, protocol, tcp_segment};

/// What an IP packet carries.
#[derive(Clone, Debug)]
pub enum Payload {
    /// A segment: source port, destination port, flags.
    Tcp(u16, u16, u8),
    /// A datagram: source port, destination port, data.
    Udp(u16, u16, Vec<u8>),
    /// An echo request or reply with an identifier.
    Echo {
        /// A reply.
        reply: bool,
        /// Identifier.
        id: u16,
    },
    /// Anything else: protocol and bytes.
    Other(u8, Vec<u8>),
}

/// An IP packet in a frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Ethernet source.
    pub smac: Mac,
    /// Ethernet destination.
    pub dmac: Mac,
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// What is inside.
    pub payload: Payload,
}

impl Frame {
    /// The frame as bytes. Panics if the two addresses are of different families.
    pub fn bytes(&self) -> Vec<u8> {
        let (src, dst) = (self.src, self.dst);
        let (proto, payload) = match &self.payload {
            Payload::Tcp(sport, dport, flags) => (
                protocol::TCP,
                tcp_segment((src, *sport), (dst, *dport), *flags),
            ),
            Payload::Udp(sport, dport, data) => {
                let udp = Udp {
                    sport: *sport,
                    dport: *dport,
                    payload: data,
                };
                (protocol::UDP, udp.datagram(src, dst).expect("not too long"))
            }
            Payload::Echo { reply, id } => self.echo(*reply, *id),
            Payload::Other(proto, bytes) => (*proto, bytes.clone()),
        };
        let packet = IpPacket {
            src,
            dst,
            proto,
            ttl: self.ttl,
            payload: &payload,
        };
        packet
            .frame(self.smac, self.dmac)
            .expect("addresses of one family")
    }

    fn echo(&self, reply: bool, id: u16) -> (u8, Vec<u8>) {
        let (proto, kind) = match (self.src.is_ipv4(), reply) {
            (true, false) => (protocol::ICMP, icmp4::ECHO_REQUEST),
            (true, true) => (protocol::ICMP, icmp4::ECHO_REPLY),
            (false, false) => (protocol::ICMPV6, icmp6::ECHO_REQUEST),
            (false, true) => (protocol::ICMPV6, icmp6::ECHO_REPLY),
        };
        let [a, b] = id.to_be_bytes();
        let echo = Icmp {
            kind,
            code: 0,
            rest: [a, b, 0, 1],
            body: b"payload",
        };
        (proto, echo.message(self.src, self.dst))
    }
}

/// The key of a frame that came in with this state; MACs only if it cannot be read.
pub fn key_of(frame: &[u8], state: u8) -> FlowKey {
    let key = flow::parse(frame).map(|p| p.key).unwrap_or_default();
    FlowKey {
        in_port: 7,
        state,
        ..key
    }
}
