//! UDP datagrams (RFC 768).

use crate::{bytes, checksum::Checksum, protocol};
use std::net::IpAddr;

/// Bytes of the header.
pub const UDP_HEADER: usize = 8;

/// A datagram taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp<'a> {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// What follows the header, as long as the header says.
    pub payload: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Reads a datagram; `None` if its length is wrong. The checksum is not looked at: a VM may
    /// leave it to hardware that is not there.
    pub fn read(datagram: &'a [u8]) -> Option<Self> {
        let len = usize::from(bytes::be16(datagram, 4)?);
        Some(Self {
            sport: bytes::be16(datagram, 0)?,
            dport: bytes::be16(datagram, 2)?,
            payload: datagram.get(UDP_HEADER..len)?,
        })
    }

    /// The datagram as bytes, with its checksum; `None` if it would be too long.
    pub fn datagram(&self, src: IpAddr, dst: IpAddr) -> Option<Vec<u8>> {
        let len = u16::try_from(UDP_HEADER + self.payload.len()).ok()?;
        let mut out = Vec::with_capacity(usize::from(len));
        out.extend(self.sport.to_be_bytes());
        out.extend(self.dport.to_be_bytes());
        out.extend(len.to_be_bytes());
        out.extend([0, 0]);
        out.extend(self.payload);
        let sum = Checksum::default().with_pseudo_header(src, dst, protocol::UDP, out.len());
        // 0 would say that there is none (RFC 768); both mean the same sum
        let sum = match sum.with(&out).finish() {
            0 => 0xffff,
            sum => sum,
        };
        out[6..8].copy_from_slice(&sum.to_be_bytes());
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_can_be_read_and_its_checksum_is_right() {
        let (a, b): (IpAddr, IpAddr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let built = Udp {
            sport: 67,
            dport: 68,
            payload: b"odd",
        }
        .datagram(a, b)
        .unwrap();
        let sum = Checksum::default().with_pseudo_header(a, b, protocol::UDP, built.len());
        assert_eq!(sum.with(&built).finish(), 0);
        let read = Udp::read(&built).unwrap();
        assert_eq!(
            (read.sport, read.dport, read.payload),
            (67, 68, &b"odd"[..])
        );
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for len in [0, 7, 12] {
            assert_eq!(
                Udp::read(&[0, 67, 0, 68, 0, len, 0, 0, 1, 2, 3]),
                None,
                "{len}"
            );
        }
    }
}
