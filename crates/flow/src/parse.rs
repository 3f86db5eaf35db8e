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
//!
//! *IPv6.*
//! 1. Fewer than 40 bytes, version not 6, payload length beyond the frame: `Malformed`.
//! 2. Extension headers 0, 43, 44 and 60 are followed; one that passes the end: `Malformed`; more
//!    than [`EXTENSIONS_MAX`] of them: `ExtensionHeaders`.
//! 3. Header 0 anywhere but first, header 43 with segments left not 0, a second header 44:
//!    `ExtensionHeaders`.
//! 4. Header 44 with offset not 0: a later fragment, as for IPv4; its protocol is the next header
//!    of header 44, and if that is one of the four: `ExtensionHeaders`. With offset 0 and "more
//!    fragments": a first fragment. With neither it is no fragment (RFC 6946).
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
//! 2. The outer source is not the embedded destination: `SpoofedIp`. The outer destination is not
//!    the embedded source: `UnrelatedIcmpError`.
//!
//! An error is looked up in the connection table by that key, but it never makes or refreshes an
//! entry: the entry would be its connection's.

use crate::DropReason;
use bpf_abi::FlowKey;

/// IPv6 extension headers that are followed in one packet.
pub const EXTENSIONS_MAX: usize = 6;

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
    let _ = frame;
    Err(DropReason::Malformed)
}
