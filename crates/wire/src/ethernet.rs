//! Ethernet II frames.

use crate::{Mac, bytes};

/// Bytes of the header.
pub const ETHERNET_HEADER: usize = 14;

/// EtherTypes that are looked at.
pub mod ethertype {
    /// IPv4
    pub const IPV4: u16 = 0x0800;
    /// ARP
    pub const ARP: u16 = 0x0806;
    /// IPv6
    pub const IPV6: u16 = 0x86dd;
    /// IEEE 802.1Q tag
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad service tag
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// Service tag as it was before IEEE 802.1ad
    pub const OLD_SERVICE_VLAN: u16 = 0x9100;
}

/// A frame taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet<'a> {
    /// Receiver.
    pub dst: Mac,
    /// Sender.
    pub src: Mac,
    /// What the payload is; see [`ethertype`].
    pub ethertype: u16,
    /// All that follows the header, padding included.
    pub payload: &'a [u8],
}

impl<'a> Ethernet<'a> {
    /// Takes a frame apart; `None` if it is shorter than a header.
    pub fn read(frame: &'a [u8]) -> Option<Self> {
        Some(Self {
            dst: Mac(bytes::array(frame, 0)?),
            src: Mac(bytes::array(frame, 6)?),
            ethertype: bytes::be16(frame, 12)?,
            payload: frame.get(ETHERNET_HEADER..)?,
        })
    }

    /// The frame as bytes.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(ETHERNET_HEADER + self.payload.len());
        frame.extend(self.dst.0);
        frame.extend(self.src.0);
        frame.extend(self.ethertype.to_be_bytes());
        frame.extend(self.payload);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip() {
        let frame = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x86, 0xdd, 0xaa];
        let read = Ethernet::read(&frame).unwrap();
        assert_eq!(read.dst, Mac([1, 2, 3, 4, 5, 6]));
        assert_eq!(read.src, Mac([7, 8, 9, 10, 11, 12]));
        assert_eq!(
            (read.ethertype, read.payload),
            (ethertype::IPV6, &[0xaa][..])
        );
        assert_eq!(read.frame(), frame);
        assert_eq!(Ethernet::read(&frame[..13]), None);
    }
}
