//! IPv4 and IPv6 packets under one roof: what the slow path reads, and new packets without options.

use crate::{
    ETHERNET_HEADER, Ethernet, Mac, ethertype,
    fragment::{fragment_v4, fragment_v6, set_checksum_v4},
    ipv4::Ipv4,
    ipv6::Ipv6,
};
use std::net::IpAddr;

/// Protocol numbers that are looked at.
pub mod protocol {
    /// ICMP
    pub const ICMP: u8 = 1;
    /// TCP
    pub const TCP: u8 = 6;
    /// UDP
    pub const UDP: u8 = 17;
    /// DCCP
    pub const DCCP: u8 = 33;
    /// ICMPv6
    pub const ICMPV6: u8 = 58;
    /// SCTP
    pub const SCTP: u8 = 132;
    /// UDP-Lite
    pub const UDP_LITE: u8 = 136;
}

/// TTL or hop limit of packets made here.
pub const DEFAULT_TTL: u8 = 64;

/// A packet to build. Both addresses are of one family.
#[derive(Clone, Copy, Debug)]
pub struct IpPacket<'a> {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// Protocol of the payload.
    pub proto: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl IpPacket<'_> {
    /// The packet in a frame; `None` if the families differ or it is too long.
    pub fn frame(&self, src: Mac, dst: Mac) -> Option<Vec<u8>> {
        let (ethertype, packet) = match (self.src, self.dst) {
            (IpAddr::V4(s), IpAddr::V4(d)) => (
                ethertype::IPV4,
                Ipv4::build(s, d, self.proto, self.ttl, self.payload)?,
            ),
            (IpAddr::V6(s), IpAddr::V6(d)) => (
                ethertype::IPV6,
                Ipv6::build(s, d, self.proto, self.ttl, self.payload)?,
            ),
            _ => return None,
        };
        Some(
            Ethernet {
                dst,
                src,
                ethertype,
                payload: &packet,
            }
            .frame(),
        )
    }
}

impl IpPacket<'_> {
    /// The packet in one frame if it has at most `mtu` bytes, else its fragments in one each, under
    /// this identification. `None` if the families differ or it is too long.
    pub fn frames(&self, src: Mac, dst: Mac, mtu: usize, id: u32) -> Option<Vec<Vec<u8>>> {
        let mut whole = self.frame(src, dst)?;
        let (headers, packet) = whole.split_at_mut_checked(ETHERNET_HEADER)?;
        if packet.len() <= mtu {
            return Some(vec![whole]);
        }
        let pieces = match self.src {
            IpAddr::V4(_) => {
                let id = (id >> 16 ^ id) as u16;
                packet[4..6].copy_from_slice(&id.to_be_bytes());
                packet[6] = 0; // it may be fragmented
                set_checksum_v4(packet);
                fragment_v4(packet, mtu)?
            }
            IpAddr::V6(_) => fragment_v6(packet, mtu, id)?,
        };
        let framed = pieces.iter().map(|piece| [&*headers, piece].concat());
        Some(framed.collect())
    }
}

/// The header of an IPv4 or IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are named for what they hold")]
pub enum Ip<'a> {
    V4(Ipv4<'a>),
    V6(Ipv6<'a>),
}

impl<'a> Ip<'a> {
    /// Reads what a frame of this EtherType carries.
    pub fn read(ethertype: u16, payload: &'a [u8]) -> Option<Self> {
        match ethertype {
            ethertype::IPV4 => Ipv4::read(payload).map(Ip::V4),
            ethertype::IPV6 => Ipv6::read(payload).map(Ip::V6),
            _ => None,
        }
    }

    /// TTL or hop limit.
    pub fn ttl(&self) -> u8 {
        match self {
            Ip::V4(ip) => ip.ttl,
            Ip::V6(ip) => ip.hop_limit,
        }
    }

    /// Length of the whole packet as its header says.
    pub fn len(&self) -> usize {
        match self {
            Ip::V4(ip) => usize::from(ip.total_len),
            Ip::V6(ip) => crate::ipv6::IPV6_HEADER + usize::from(ip.payload_len),
        }
    }

    /// Never true: there is always a header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_either_family_is_read_back() {
        for (a, b) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let (src, dst) = (a.parse().unwrap(), b.parse().unwrap());
            let packet = IpPacket {
                src,
                dst,
                proto: 17,
                ttl: 9,
                payload: b"12345678",
            };
            let frame = packet.frame(Mac([2; 6]), Mac([4; 6])).unwrap();
            let eth = Ethernet::read(&frame).unwrap();
            let ip = Ip::read(eth.ethertype, eth.payload).unwrap();
            assert_eq!((ip.ttl(), ip.len()), (9, eth.payload.len()));
        }
    }

    #[test]
    fn families_do_not_mix() {
        let (src, dst) = ("10.0.0.1".parse().unwrap(), "fd00::2".parse().unwrap());
        let packet = IpPacket {
            src,
            dst,
            proto: 17,
            ttl: 9,
            payload: &[],
        };
        assert_eq!(packet.frame(Mac([2; 6]), Mac([4; 6])), None);
    }
}
