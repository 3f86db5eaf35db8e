//! Reading a frame into a flow key, exactly as the kernel program does (`bpf/parse.h`).
//!
//! The rules, in order. All lengths are checked before the bytes are read; "end" is the end of the
//! IP packet as its header says, which may be before the end of the frame (padding).
//!
//! *Ethernet.*
//! 1. Shorter than 14 bytes: `Malformed`.
//! 2. EtherType 0x8100, 0x88a8 or 0x9100 (in the kernel also a tag kept beside the frame):
//!    `VlanTagged`.
//! 3. EtherType 0x0806: an ARP frame. The key holds the MACs and nothing else; family is 0.
//! 4. EtherType other than 0x0800 and 0x86dd: `EtherType`.
//!
//! *IPv4.*
//! 1. Fewer than 20 bytes, version not 4, header length below 20, total length below the header
//!    length or beyond the frame: `Malformed`.
//! 2. Reserved flag bit set, or header checksum wrong: `BadChecksum`.
//! 3. Options are skipped.
//! 4. Fragment offset not 0: a later fragment. Flag `FLAG_FRAGMENT`, ports 0 until the caller fills
//!    them from its fragment table, transport header not read. A TCP fragment at offset 8 bytes
//!    (RFC 1858, 3.2): `Malformed`.
//! 5. Offset 0 with "more fragments": a first fragment; it must hold its transport header.
//! 6. A fragment that is empty, that is not the last and not of whole 8 bytes (RFC 791, 3.2), or that
//!    ends beyond the longest packet there can be: `Malformed`.
//!
//! *IPv6.*
//! 1. Fewer than 40 bytes, version not 6, payload length beyond the frame: `Malformed`.
//! 2. Extension headers 0, 43, 44 and 60 are followed; one that passes the end: `Malformed`; more
//!    than [`EXTENSIONS_MAX`] of them: `ExtensionHeaders`.
//! 3. Header 0 anywhere but first, header 43 with segments left not 0, a second header 44:
//!    `ExtensionHeaders`.
//! 4. Header 44 with offset not 0: a later fragment, as for IPv4; its protocol is the next header
//!    of header 44, and if that is one of the four: `ExtensionHeaders`. With offset 0 and "more
//!    fragments": a first fragment. With neither it is no fragment (RFC 6946). The rules of 6 above
//!    hold for what follows header 44 (RFC 8200, 4.5).
//! 5. Every other next header is the protocol (51 and 59 too).
//!
//! *Transport*, unless a later fragment. Too short: `Malformed`.
//!
//! | protocol | at least | `sport`, `dport` |
//! |---|---|---|
//! | 6 TCP | 20, and its data offset is at least 20 and before the end | bytes 0..2, 2..4 |
//! | 17 UDP, 136 UDP-Lite | 8 | bytes 0..2, 2..4 |
//! | 33 DCCP, 132 SCTP | 12 | bytes 0..2, 2..4 |
//! | 1 ICMP in IPv4, 58 ICMPv6 in IPv6 | 8 | identifier if echo else 0, type and code |
//! | all others | 0 | 0, 0 |
//!
//! Echo is type 8 and 0 of ICMP, 128 and 129 of ICMPv6.
//!
//! *ICMP errors*: types 3, 11, 12 of ICMP and 1 to 4 of ICMPv6. The key is that of the embedded
//! packet (after 8 bytes) turned round, with `FLAG_ICMP_ERROR`; see `bpf_abi::reverse_ports`.
//! 1. Of the embedded packet there must be a whole IP header of the outer's version (IPv4: header
//!    length at least 20; its checksum and total length are not looked at) and 8 bytes after it;
//!    it must not be a later fragment; IPv6 extension headers are not followed (next header 0, 43,
//!    44, 60 is refused); its protocol must be TCP, UDP, UDP-Lite, DCCP, SCTP, or ICMP of the right
//!    version with an echo type. Ports are read as above. Otherwise: `UnrelatedIcmpError`.
//! 2. The outer destination is not the embedded source: `UnrelatedIcmpError`. The outer source is
//!    not the embedded destination: flag `FLAG_TRANSIT_ERROR`; the key says nothing of it.
//!
//! An error is looked up in the connection table by that key, but it never makes or refreshes an
//! entry: the entry would be its connection's.

use crate::DropReason;
use bpf_abi::{FLAG_FRAGMENT, FLAG_ICMP_ERROR, FLAG_TRANSIT_ERROR, FlowKey, reverse_ports};
use wire::{ETHERNET_HEADER, IPV4_HEADER, IPV6_HEADER, bytes, checksum, ethertype, protocol};

/// IPv6 extension headers that are followed in one packet.
pub const EXTENSIONS_MAX: usize = 6;

/// Longest IPv4 packet, and longest payload of an IPv6 packet.
const PACKET_MAX: usize = 65_535;

/// A frame that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// `in_port` and `state` are 0; the caller fills them.
    pub key: FlowKey,
    /// Offset of the transport header, or of what follows the IP header in a later fragment;
    /// 14 for ARP.
    pub transport: usize,
    /// Offset of the end of the IP packet, or of the frame for ARP.
    pub end: usize,
    /// Set for first and later fragments.
    pub fragment: Option<Fragment>,
}

/// What fragments of one packet have in common, with family, addresses and protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification.
    pub id: u32,
    /// It holds the transport header.
    pub first: bool,
}

/// Reads a frame into its flow key. The rules are at the top of this file.
pub fn parse(frame: &[u8]) -> Result<Parsed, DropReason> {
    let mut parsed = Parsed {
        key: FlowKey::default(),
        transport: ETHERNET_HEADER,
        end: frame.len(),
        fragment: None,
    };
    parsed.key.dmac = field(frame, 0)?;
    parsed.key.smac = field(frame, 6)?;
    match u16::from_be_bytes(field(frame, 12)?) {
        ethertype::IPV4 => parsed.ipv4(frame)?,
        ethertype::IPV6 => parsed.ipv6(frame)?,
        ethertype::ARP => return Ok(parsed),
        ethertype::VLAN | ethertype::SERVICE_VLAN | ethertype::OLD_SERVICE_VLAN => {
            return Err(DropReason::VlanTagged);
        }
        _ => return Err(DropReason::EtherType),
    }
    match parsed.fragment {
        Some(Fragment { first: false, .. }) => parsed.key.flags |= FLAG_FRAGMENT,
        _ => parsed.transport(frame)?,
    }
    Ok(parsed)
}

fn field<const N: usize>(frame: &[u8], at: usize) -> Result<[u8; N], DropReason> {
    bytes::array(frame, at).ok_or(DropReason::Malformed)
}

fn require(holds: bool, reason: DropReason) -> Result<(), DropReason> {
    if holds { Ok(()) } else { Err(reason) }
}

/// An IPv4 address as the key writes it.
fn mapped_v4(address: [u8; 4]) -> [u8; 16] {
    std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets()
}

impl Parsed {
    fn ipv4(&mut self, frame: &[u8]) -> Result<(), DropReason> {
        let header: [u8; IPV4_HEADER] = field(frame, ETHERNET_HEADER)?;
        let header_len = usize::from(header[0] & 0xf) * 4;
        let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        require(
            header[0] >> 4 == 4 && header_len >= IPV4_HEADER,
            DropReason::Malformed,
        )?;
        self.transport = ETHERNET_HEADER + header_len;
        self.end = ETHERNET_HEADER + total_len;
        let whole = self.transport <= self.end && self.end <= frame.len();
        require(whole, DropReason::Malformed)?;
        let fragment = u16::from_be_bytes([header[6], header[7]]);
        let right = checksum(&frame[ETHERNET_HEADER..self.transport]) == 0;
        require(fragment & 0x8000 == 0 && right, DropReason::BadChecksum)?;
        self.key.family = 4;
        self.key.proto = header[9];
        self.key.src = mapped_v4(field(&header, 12)?);
        self.key.dst = mapped_v4(field(&header, 16)?);
        let id = u32::from(u16::from_be_bytes([header[4], header[5]]));
        self.fragment(id, fragment & 0x1fff, fragment & 0x2000 != 0)
    }

    fn ipv6(&mut self, frame: &[u8]) -> Result<(), DropReason> {
        let header: [u8; IPV6_HEADER] = field(frame, ETHERNET_HEADER)?;
        require(header[0] >> 4 == 6, DropReason::Malformed)?;
        self.transport = ETHERNET_HEADER + IPV6_HEADER;
        self.end = self.transport + usize::from(u16::from_be_bytes([header[4], header[5]]));
        require(self.end <= frame.len(), DropReason::Malformed)?;
        self.key.family = 6;
        self.key.proto = header[6];
        self.key.src = field(&header, 8)?;
        self.key.dst = field(&header, 24)?;
        self.extensions(&frame[..self.end])
    }

    /// Follows extension headers; leaves the protocol and the transport offset behind them.
    fn extensions(&mut self, packet: &[u8]) -> Result<(), DropReason> {
        let mut fragmented = false;
        for index in 0..EXTENSIONS_MAX {
            let kind = self.key.proto;
            if !is_extension(kind) {
                return Ok(());
            }
            let header: [u8; 8] = field(packet, self.transport)?;
            let followed = match kind {
                HOP_BY_HOP => index == 0,
                ROUTING => header[3] == 0,
                FRAGMENT => !std::mem::replace(&mut fragmented, true),
                _ => true,
            };
            require(followed, DropReason::ExtensionHeaders)?;
            self.key.proto = header[0];
            self.transport += match kind {
                FRAGMENT => 8,
                _ => (usize::from(header[1]) + 1) * 8,
            };
            require(self.transport <= packet.len(), DropReason::Malformed)?;
            if kind == FRAGMENT {
                let offset = u16::from_be_bytes([header[2], header[3]]);
                let id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                self.fragment(id, offset >> 3, offset & 1 != 0)?;
                if offset >> 3 != 0 {
                    return require(!is_extension(header[0]), DropReason::ExtensionHeaders);
                }
            }
        }
        require(!is_extension(self.key.proto), DropReason::ExtensionHeaders)
    }

    /// Notes a fragment; `offset` is in units of 8 bytes.
    fn fragment(&mut self, id: u32, offset: u16, more: bool) -> Result<(), DropReason> {
        let overlaps = offset == 1 && self.key.proto == protocol::TCP;
        require(!overlaps, DropReason::Malformed)?;
        if offset != 0 || more {
            let length = self.end - self.transport;
            let whole = length > 0 && (!more || length.is_multiple_of(8));
            let header = match self.key.family {
                4 => self.transport - ETHERNET_HEADER,
                _ => 0, // the length of an IPv6 packet is that behind its header
            };
            let ends = header + usize::from(offset) * 8 + length;
            require(whole && ends <= PACKET_MAX, DropReason::Malformed)?;
            self.fragment = Some(Fragment {
                id,
                first: offset == 0,
            });
        }
        Ok(())
    }

    fn transport(&mut self, frame: &[u8]) -> Result<(), DropReason> {
        let segment = &frame[self.transport..self.end];
        let least = match (self.key.family, self.key.proto) {
            (_, protocol::TCP) => 20,
            (_, protocol::UDP | protocol::UDP_LITE) => 8,
            (_, protocol::DCCP | protocol::SCTP) => 12,
            (4, protocol::ICMP) | (6, protocol::ICMPV6) => 8,
            _ => return Ok(()),
        };
        require(segment.len() >= least, DropReason::Malformed)?;
        if self.key.proto == protocol::TCP {
            let header_len = usize::from(segment[12] >> 4) * 4;
            let right = (20..=segment.len()).contains(&header_len);
            require(right, DropReason::Malformed)?;
        }
        if is_error(self.key.family, self.key.proto, segment[0]) {
            return self.embedded(&segment[8..]);
        }
        let ports = read_ports(self.key.family, self.key.proto, segment);
        (self.key.sport, self.key.dport) = ports.ok_or(DropReason::Malformed)?;
        Ok(())
    }

    /// Replaces the key of an ICMP error by that of the packet it speaks of, turned round.
    fn embedded(&mut self, packet: &[u8]) -> Result<(), DropReason> {
        let outer = self.key;
        let inner = Embedded::read(outer.family, packet).ok_or(DropReason::UnrelatedIcmpError)?;
        require(outer.dst == inner.src, DropReason::UnrelatedIcmpError)?;
        if outer.src != inner.dst {
            self.key.flags |= FLAG_TRANSIT_ERROR;
            self.key.src = inner.dst;
        }
        self.key.proto = inner.proto;
        (self.key.sport, self.key.dport) = inner.reversed;
        self.key.flags |= FLAG_ICMP_ERROR;
        Ok(())
    }
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

fn is_extension(header: u8) -> bool {
    matches!(
        header,
        HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS
    )
}

fn is_error(family: u8, proto: u8, kind: u8) -> bool {
    match (family, proto) {
        (4, protocol::ICMP) => matches!(kind, 3 | 11 | 12),
        (6, protocol::ICMPV6) => matches!(kind, 1..=4),
        _ => false,
    }
}

fn is_echo(family: u8, kind: u8) -> bool {
    if family == 4 {
        matches!(kind, 0 | 8)
    } else {
        matches!(kind, 128 | 129)
    }
}

/// The ports of a transport header of which 8 bytes are there.
fn read_ports(family: u8, proto: u8, segment: &[u8]) -> Option<(u16, u16)> {
    let first = bytes::be16(segment, 0)?;
    if !matches!(proto, protocol::ICMP | protocol::ICMPV6) {
        return Some((first, bytes::be16(segment, 2)?));
    }
    let echo = is_echo(family, segment[0]);
    Some((if echo { bytes::be16(segment, 4)? } else { 0 }, first))
}

/// The packet inside an ICMP error.
struct Embedded {
    src: [u8; 16],
    dst: [u8; 16],
    proto: u8,
    reversed: (u16, u16),
}

impl Embedded {
    fn read(family: u8, packet: &[u8]) -> Option<Self> {
        let (src, dst, proto, header_len) = match family {
            4 => Self::ipv4(packet)?,
            _ => Self::ipv6(packet)?,
        };
        let segment = packet.get(header_len..header_len + 8)?;
        let known = match (family, proto) {
            (4, protocol::ICMP) | (6, protocol::ICMPV6) => is_echo(family, segment[0]),
            (_, protocol::TCP | protocol::UDP | protocol::UDP_LITE) => true,
            (_, protocol::DCCP | protocol::SCTP) => true,
            _ => false,
        };
        let (sport, dport) = read_ports(family, proto, segment).filter(|_| known)?;
        Some(Self {
            src,
            dst,
            proto,
            reversed: reverse_ports(proto, sport, dport)?,
        })
    }

    fn ipv4(packet: &[u8]) -> Option<([u8; 16], [u8; 16], u8, usize)> {
        let header: [u8; IPV4_HEADER] = bytes::array(packet, 0)?;
        let header_len = usize::from(header[0] & 0xf) * 4;
        let offset = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
        if header[0] >> 4 != 4 || header_len < IPV4_HEADER || offset != 0 {
            return None;
        }
        let src = mapped_v4(bytes::array(&header, 12)?);
        let dst = mapped_v4(bytes::array(&header, 16)?);
        Some((src, dst, header[9], header_len))
    }

    fn ipv6(packet: &[u8]) -> Option<([u8; 16], [u8; 16], u8, usize)> {
        let header: [u8; IPV6_HEADER] = bytes::array(packet, 0)?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let (src, dst) = (bytes::array(&header, 8)?, bytes::array(&header, 24)?);
        Some((src, dst, header[6], IPV6_HEADER))
    }
}

#[cfg(test)]
mod tests;
