//! Reading big-endian fields out of a slice.

use std::net::{Ipv4Addr, Ipv6Addr};

/// `N` bytes at an offset.
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A 16-bit field.
pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// A 32-bit field.
pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

/// An IPv4 address.
pub fn ipv4(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    array::<4>(bytes, at).map(Ipv4Addr::from)
}

/// An IPv6 address.
pub fn ipv6(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    array::<16>(bytes, at).map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_past_the_end_are_none() {
        let bytes = [1, 2, 3, 4];
        assert_eq!(be16(&bytes, 2), Some(0x0304));
        assert_eq!(be16(&bytes, 3), None);
        assert_eq!(be32(&bytes, 0), Some(0x0102_0304));
        assert_eq!(be32(&bytes, usize::MAX), None);
        assert_eq!(ipv4(&bytes, 0), Some(Ipv4Addr::new(1, 2, 3, 4)));
        assert_eq!(ipv6(&bytes, 0), None);
    }
}
