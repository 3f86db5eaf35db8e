//! ARP for IPv4 over Ethernet (RFC 826).

use crate::{Ethernet, Mac, bytes, ethertype};
use std::net::Ipv4Addr;

/// Bytes of a message.
const ARP_LEN: usize = 28;
/// Ethernet, IPv4, six-byte and four-byte addresses: the only kind there is.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// What an ARP message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOperation {
    /// Who has the target address?
    Request,
    /// The sender has the sender address.
    Reply,
}

/// An ARP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Request or reply.
    pub operation: ArpOperation,
    /// MAC of the sender.
    pub sender_mac: Mac,
    /// Address of the sender; unspecified in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// MAC of the target; meaningless in a request.
    pub target_mac: Mac,
    /// Address that is asked for, or of the asker.
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// Reads the payload of an Ethernet frame; `None` if it is cut short or for other addresses.
    pub fn read(payload: &[u8]) -> Option<Self> {
        if bytes::array(payload, 0)? != ETHERNET_IPV4 {
            return None;
        }
        let operation = match bytes::be16(payload, 6)? {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            _ => return None,
        };
        Some(Self {
            operation,
            sender_mac: Mac(bytes::array(payload, 8)?),
            sender_ip: bytes::ipv4(payload, 14)?,
            target_mac: Mac(bytes::array(payload, 18)?),
            target_ip: bytes::ipv4(payload, 24)?,
        })
    }

    /// The frame that carries this message from its sender to `dst`.
    pub fn frame(&self, dst: Mac) -> Vec<u8> {
        let mut payload = Vec::with_capacity(ARP_LEN);
        payload.extend(ETHERNET_IPV4);
        payload.extend(match self.operation {
            ArpOperation::Request => [0, 1],
            ArpOperation::Reply => [0, 2],
        });
        payload.extend(self.sender_mac.0);
        payload.extend(self.sender_ip.octets());
        payload.extend(self.target_mac.0);
        payload.extend(self.target_ip.octets());
        let src = self.sender_mac;
        Ethernet {
            dst,
            src,
            ethertype: ethertype::ARP,
            payload: &payload,
        }
        .frame()
    }

    /// The reply that says `mac` has the address this request asks for.
    pub fn reply(&self, mac: Mac) -> Vec<u8> {
        let reply = Arp {
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        };
        reply.frame(self.sender_mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; ARP_LEN] = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    ];

    #[test]
    fn a_request_is_read_and_answered() {
        let request = Arp::read(&REQUEST).unwrap();
        assert_eq!(request.operation, ArpOperation::Request);
        assert_eq!(request.target_ip, Ipv4Addr::new(10, 0, 0, 2));
        let frame = request.reply(Mac([2, 0, 0, 0, 0, 2]));
        let reply = Arp::read(&frame[14..]).unwrap();
        assert_eq!(&frame[..6], &[2, 0, 0, 0, 0, 1]);
        assert_eq!(reply.operation, ArpOperation::Reply);
        assert_eq!(reply.sender_mac, Mac([2, 0, 0, 0, 0, 2]));
        assert_eq!(reply.sender_ip, request.target_ip);
        assert_eq!(reply.target_ip, request.sender_ip);
    }

    #[test]
    fn other_hardware_operations_and_short_messages_are_refused() {
        for (at, value) in [(1, 6), (2, 0x86), (4, 8), (5, 16), (7, 3)] {
            let mut bad = REQUEST;
            bad[at] = value;
            assert_eq!(Arp::read(&bad), None, "byte {at}");
        }
        assert_eq!(Arp::read(&REQUEST[..27]), None);
    }
}
