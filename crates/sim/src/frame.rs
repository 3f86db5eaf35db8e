//! What the slow path reads of a frame beside its key. Verdicts that depend on it are for this
//! frame alone, or come with a condition that the kernel checks for each packet (TTL, MTU).

use crate::Packet;
use std::net::IpAddr;
use wire::{DEFAULT_TTL, Ethernet, Icmp, Ip, Mac, TCP_HEADER, UDP_HEADER, Udp, protocol};

#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    bytes: &'a [u8],
    gso_size: u16,
}

impl<'a> Frame<'a> {
    pub fn of(packet: &Packet<'a>) -> Self {
        Self {
            bytes: packet.frame,
            gso_size: packet.gso_size,
        }
    }

    /// Ethernet source.
    pub fn smac(&self) -> Option<Mac> {
        Ethernet::read(self.bytes).map(|eth| eth.src)
    }

    pub fn ethertype(&self) -> Option<u16> {
        Ethernet::read(self.bytes).map(|eth| eth.ethertype)
    }

    /// What follows the Ethernet header.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(wire::ETHERNET_HEADER..).unwrap_or_default()
    }

    pub fn ip(&self) -> Option<Ip<'a>> {
        let eth = Ethernet::read(self.bytes)?;
        Ip::read(eth.ethertype, eth.payload)
    }

    /// IP source.
    pub fn source(&self) -> Option<IpAddr> {
        Some(match self.ip()? {
            Ip::V4(ip) => IpAddr::V4(ip.src),
            Ip::V6(ip) => IpAddr::V6(ip.src),
        })
    }

    /// The transport header and what follows, if no extension header or fragment is in between.
    pub fn transport(&self, proto: u8) -> Option<&'a [u8]> {
        let (found, payload, later) = match self.ip()? {
            Ip::V4(ip) => (ip.proto, ip.payload, ip.fragment_offset != 0),
            Ip::V6(ip) => (ip.next_header, ip.payload, false),
        };
        (found == proto && !later).then_some(payload)
    }

    pub fn udp(&self) -> Option<Udp<'a>> {
        Udp::read(self.transport(protocol::UDP)?)
    }

    pub fn icmp6(&self) -> Option<(&'a [u8], Icmp<'a>)> {
        let message = self.transport(protocol::ICMPV6)?;
        Some((message, Icmp::read(message)?))
    }

    /// TTL or hop limit. A packet that is only described has the usual one.
    pub fn ttl(&self) -> u8 {
        self.ip().map_or(DEFAULT_TTL, |ip| ip.ttl())
    }

    /// Bytes of IP on the wire: those of one segment if the frame will be cut into several.
    pub fn ip_len(&self) -> usize {
        let Some(ip) = self.ip() else { return 0 };
        if self.gso_size == 0 {
            return ip.len();
        }
        let (proto, segment) = match ip {
            Ip::V4(ip) => (ip.proto, ip.payload),
            Ip::V6(ip) => (ip.next_header, ip.payload),
        };
        let header = match proto {
            protocol::TCP => segment
                .get(12)
                .map_or(TCP_HEADER, |b| usize::from(b >> 4) * 4),
            _ => UDP_HEADER,
        };
        let ip_header = self.payload().len().saturating_sub(segment.len());
        ip_header + header + usize::from(self.gso_size)
    }

    /// Whether a router may split it: IPv4 whose sender does not object (RFC 791, 3.1).
    pub fn may_be_fragmented(&self) -> bool {
        matches!(self.ip(), Some(Ip::V4(ip)) if !ip.dont_fragment)
    }

    /// Whether it is a part of a packet.
    pub fn is_fragment(&self) -> bool {
        match self.ip() {
            Some(Ip::V4(ip)) => ip.more_fragments || ip.fragment_offset != 0,
            // a fragment header that comes first: offset and "more fragments" (RFC 8200, 4.5)
            Some(Ip::V6(ip)) => {
                ip.next_header == 44
                    && ip
                        .payload
                        .get(2..4)
                        .is_some_and(|o| o[0] != 0 || o[1] & 0xf9 != 0)
            }
            None => false,
        }
    }

    /// Whether it is a fragment that does not hold the transport header.
    pub fn is_later_fragment(&self) -> bool {
        match self.ip() {
            Some(Ip::V4(ip)) => ip.fragment_offset != 0,
            // offset is in the third and fourth byte of a fragment header, here only if it is first
            Some(Ip::V6(ip)) => {
                ip.next_header == 44 && ip.payload.get(2..4).is_some_and(|o| o[0] != 0 || o[1] > 7)
            }
            None => false,
        }
    }
}
