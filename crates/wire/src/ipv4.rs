//! IPv4 headers (RFC 791).

use crate::{bytes, checksum::checksum};
use std::net::Ipv4Addr;

/// Bytes of a header without options.
pub const IPV4_HEADER: usize = 20;

/// A header that is whole; its checksum and total length are not judged here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4<'a> {
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// Protocol of the payload.
    pub proto: u8,
    /// Time to live.
    pub ttl: u8,
    /// Length of the whole packet as the header says.
    pub total_len: u16,
    /// Not to be fragmented.
    pub dont_fragment: bool,
    /// Not the last fragment.
    pub more_fragments: bool,
    /// Offset of this fragment in bytes.
    pub fragment_offset: u16,
    /// What follows the header, at most to where the header says the packet ends.
    pub payload: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Reads a packet; `None` if it is not IPv4 or its header is cut short.
    pub fn read(packet: &'a [u8]) -> Option<Self> {
        let header_len = usize::from(packet.first()? & 0xf) * 4;
        if packet[0] >> 4 != 4 || header_len < IPV4_HEADER {
            return None;
        }
        let fragment = bytes::be16(packet, 6)?;
        let total_len = bytes::be16(packet, 2)?;
        let end = packet.len().min(usize::from(total_len).max(header_len));
        Some(Self {
            src: bytes::ipv4(packet, 12)?,
            dst: bytes::ipv4(packet, 16)?,
            proto: packet[9],
            ttl: packet[8],
            total_len,
            dont_fragment: fragment & 0x4000 != 0,
            more_fragments: fragment & 0x2000 != 0,
            fragment_offset: (fragment & 0x1fff) * 8,
            payload: packet.get(header_len..end)?,
        })
    }

    /// A packet without options, not to be fragmented; `None` if it would be too long.
    pub fn build(
        src: Ipv4Addr,
        dst: Ipv4Addr,
        proto: u8,
        ttl: u8,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        let total_len = u16::try_from(IPV4_HEADER + payload.len()).ok()?;
        let mut packet = Vec::with_capacity(usize::from(total_len));
        packet.extend([0x45, 0]);
        packet.extend(total_len.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, ttl, proto, 0, 0]);
        packet.extend(src.octets());
        packet.extend(dst.octets());
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_can_be_read() {
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let packet = Ipv4::build(a, b, 17, 64, b"hello").unwrap();
        assert_eq!(checksum(&packet[..IPV4_HEADER]), 0);
        let read = Ipv4::read(&packet).unwrap();
        assert_eq!((read.src, read.dst, read.proto, read.ttl), (a, b, 17, 64));
        assert_eq!((read.total_len, read.payload), (25, &b"hello"[..]));
        assert!(read.dont_fragment);
        assert_eq!(Ipv4::build(a, b, 17, 64, &[0; 65_536]), None);
    }

    #[test]
    fn padding_is_not_payload_and_short_headers_are_refused() {
        let a = Ipv4Addr::LOCALHOST;
        let mut packet = Ipv4::build(a, a, 17, 64, b"hi").unwrap();
        packet.extend([0; 24]);
        assert_eq!(Ipv4::read(&packet).unwrap().payload, b"hi");
        assert_eq!(Ipv4::read(&packet[..19]), None);
        packet[0] = 0x44;
        assert_eq!(Ipv4::read(&packet), None);
        packet[0] = 0x4f;
        assert_eq!(Ipv4::read(&packet[..40]), None);
    }
}
