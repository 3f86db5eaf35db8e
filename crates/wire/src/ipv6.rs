//! IPv6 headers (RFC 8200).

use crate::bytes;
use std::net::Ipv6Addr;

/// Bytes of the fixed header.
pub const IPV6_HEADER: usize = 40;

/// A fixed header that is whole; its payload length is not judged here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6<'a> {
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
    /// Protocol or first extension header of the payload.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Length of the payload as the header says.
    pub payload_len: u16,
    /// What follows the header, at most to where the header says the packet ends.
    pub payload: &'a [u8],
}

impl<'a> Ipv6<'a> {
    /// Reads a packet; `None` if it is not IPv6 or its header is cut short.
    pub fn read(packet: &'a [u8]) -> Option<Self> {
        if packet.first()? >> 4 != 6 {
            return None;
        }
        let payload_len = bytes::be16(packet, 4)?;
        let dst = bytes::ipv6(packet, 24)?;
        let end = packet.len().min(IPV6_HEADER + usize::from(payload_len));
        Some(Self {
            src: bytes::ipv6(packet, 8)?,
            dst,
            next_header: packet[6],
            hop_limit: packet[7],
            payload_len,
            payload: &packet[IPV6_HEADER..end],
        })
    }

    /// A packet without extension headers; `None` if it would be too long.
    pub fn build(
        src: Ipv6Addr,
        dst: Ipv6Addr,
        proto: u8,
        hop_limit: u8,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        let len = u16::try_from(payload.len()).ok()?;
        let mut packet = Vec::with_capacity(IPV6_HEADER + payload.len());
        packet.extend([0x60, 0, 0, 0]);
        packet.extend(len.to_be_bytes());
        packet.extend([proto, hop_limit]);
        packet.extend(src.octets());
        packet.extend(dst.octets());
        packet.extend(payload);
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_can_be_read() {
        let (a, b) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let mut packet = Ipv6::build(a, b, 17, 64, b"hello").unwrap();
        packet.push(0);
        let read = Ipv6::read(&packet).unwrap();
        assert_eq!(
            (read.src, read.dst, read.next_header, read.hop_limit),
            (a, b, 17, 64)
        );
        assert_eq!((read.payload_len, read.payload), (5, &b"hello"[..]));
        assert_eq!(Ipv6::read(&packet[..39]), None);
        packet[0] = 0x40;
        assert_eq!(Ipv6::read(&packet), None);
    }
}
