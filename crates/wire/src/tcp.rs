//! TCP segments (RFC 9293): only what it takes to make a plausible one.

use crate::{checksum::Checksum, protocol};
use std::net::IpAddr;

/// Bytes of a header without options.
pub const TCP_HEADER: usize = 20;

/// Flag bits.
pub mod tcp_flag {
    /// The sender has finished.
    pub const FIN: u8 = 1;
    /// The sender opens a connection.
    pub const SYN: u8 = 2;
    /// The connection is refused or aborted.
    pub const RST: u8 = 4;
    /// The acknowledgement number is valid.
    pub const ACK: u8 = 16;
}

/// A segment without options or data.
pub fn tcp_segment(src: (IpAddr, u16), dst: (IpAddr, u16), flags: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(TCP_HEADER);
    out.extend(src.1.to_be_bytes());
    out.extend(dst.1.to_be_bytes());
    out.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let sum = Checksum::default().with_pseudo_header(src.0, dst.0, protocol::TCP, out.len());
    let sum = sum.with(&out).finish();
    out[16..18].copy_from_slice(&sum.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_checksum_is_right() {
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let built = tcp_segment((a, 1000), (b, 80), tcp_flag::SYN);
        let sum = Checksum::default().with_pseudo_header(a, b, protocol::TCP, built.len());
        assert_eq!(sum.with(&built).finish(), 0);
        assert_eq!(&built[..4], &[3, 232, 0, 80]);
    }
}
