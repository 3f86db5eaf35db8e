//! ICMP (RFC 792) and ICMPv6 (RFC 4443) messages.

use crate::{bytes, checksum::Checksum, protocol};
use std::net::IpAddr;

/// Bytes of the header of the messages that are looked at.
pub const ICMP_HEADER: usize = 8;

/// Types of ICMP.
pub mod icmp4 {
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// TTL used up.
    pub const TIME_EXCEEDED: u8 = 11;
    /// A field of the header is wrong.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Messages that quote a packet.
    pub const ERRORS: [u8; 3] = [UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM];
}

/// Types of ICMPv6.
pub mod icmp6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Larger than the MTU of the next link.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Hop limit used up.
    pub const TIME_EXCEEDED: u8 = 3;
    /// A field of the header is wrong.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Messages that quote a packet.
    pub const ERRORS: [u8; 4] = [
        UNREACHABLE,
        PACKET_TOO_BIG,
        TIME_EXCEEDED,
        PARAMETER_PROBLEM,
    ];
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 129;
    /// Multicast listener query.
    pub const MLD_QUERY: u8 = 130;
    /// Multicast listener report, version 1.
    pub const MLD_REPORT: u8 = 131;
    /// Multicast listener done.
    pub const MLD_DONE: u8 = 132;
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// Redirect.
    pub const REDIRECT: u8 = 137;
    /// Multicast listener report, version 2.
    pub const MLD2_REPORT: u8 = 143;
}

/// A message taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp<'a> {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The second four bytes, whatever they mean for this type.
    pub rest: [u8; 4],
    /// What follows the header.
    pub body: &'a [u8],
}

impl<'a> Icmp<'a> {
    /// Reads a message; `None` if it is cut short.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        Some(Self {
            kind: *message.first()?,
            code: *message.get(1)?,
            rest: bytes::array(message, 4)?,
            body: message.get(ICMP_HEADER..)?,
        })
    }

    /// The message as bytes, with the checksum of the family of its addresses.
    pub fn message(&self, src: IpAddr, dst: IpAddr) -> Vec<u8> {
        let mut out = Vec::with_capacity(ICMP_HEADER + self.body.len());
        out.extend([self.kind, self.code, 0, 0]);
        out.extend(self.rest);
        out.extend(self.body);
        let sum = icmp_checksum(src, dst, &out);
        out[2..4].copy_from_slice(&sum.to_be_bytes());
        out
    }
}

/// The checksum of a message whose field is zero; 0 if its field is right.
pub fn icmp_checksum(src: IpAddr, dst: IpAddr, message: &[u8]) -> u16 {
    let sum = match src {
        IpAddr::V4(_) => Checksum::default(),
        IpAddr::V6(_) => {
            Checksum::default().with_pseudo_header(src, dst, protocol::ICMPV6, message.len())
        }
    };
    sum.with(message).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_round_trip_with_right_checksums() {
        for (a, b) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let (a, b): (IpAddr, IpAddr) = (a.parse().unwrap(), b.parse().unwrap());
            let icmp = Icmp {
                kind: 8,
                code: 0,
                rest: [0, 7, 0, 1],
                body: b"abc",
            };
            let message = icmp.message(a, b);
            assert_eq!(icmp_checksum(a, b, &message), 0);
            assert_eq!(Icmp::read(&message), Some(icmp));
            assert_eq!(Icmp::read(&message[..7]), None);
        }
    }

    #[test]
    fn a_known_echo_request_has_its_known_checksum() {
        let a = "192.0.2.1".parse().unwrap();
        let icmp = Icmp {
            kind: 8,
            code: 0,
            rest: [0, 1, 0, 1],
            body: &[],
        };
        assert_eq!(&icmp.message(a, a)[2..4], &[0xf7, 0xfd]);
    }
}
