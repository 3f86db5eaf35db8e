//! The Internet checksum (RFC 1071), with the pseudo headers of both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A running one's complement sum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum(u64);

impl Checksum {
    /// Adds bytes that start at an even offset.
    pub fn with(mut self, bytes: &[u8]) -> Self {
        let mut pairs = bytes.chunks_exact(2);
        for pair in &mut pairs {
            self.0 += u64::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        if let [last] = pairs.remainder() {
            self.0 += u64::from(*last) << 8;
        }
        self
    }

    /// Adds a 32-bit number.
    pub fn with_u32(self, number: u32) -> Self {
        self.with(&number.to_be_bytes())
    }

    /// Adds the pseudo header of an upper-layer packet of `len` bytes (RFC 793, 3.1 and RFC 8200,
    /// 8.1). Addresses of different families give a sum that is never right.
    pub fn with_pseudo_header(self, src: IpAddr, dst: IpAddr, proto: u8, len: usize) -> Self {
        let sum = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.with_addresses_v4(src, dst),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.with_addresses_v6(src, dst),
            _ => Self(1),
        };
        sum.with_u32(u32::from(proto)).with_u32(len as u32)
    }

    fn with_addresses_v4(self, src: Ipv4Addr, dst: Ipv4Addr) -> Self {
        self.with(&src.octets()).with(&dst.octets())
    }

    fn with_addresses_v6(self, src: Ipv6Addr, dst: Ipv6Addr) -> Self {
        self.with(&src.octets()).with(&dst.octets())
    }

    /// The value for a checksum field that was zero while adding; 0 if the field was right.
    pub fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }
}

/// The checksum of these bytes.
pub fn checksum(bytes: &[u8]) -> u16 {
    Checksum::default().with(bytes).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&bytes), !0xddf2);
    }

    #[test]
    fn an_odd_byte_counts_as_the_high_half() {
        assert_eq!(checksum(&[0x12]), checksum(&[0x12, 0x00]));
    }

    #[test]
    fn a_right_field_gives_zero() {
        let mut header = [
            0x45, 0, 0, 20, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&header), 0);
    }
}
