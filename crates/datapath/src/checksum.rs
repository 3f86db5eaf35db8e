//! Where a frame's transport checksum is, and its pseudo-header sum: what the kernel wants to know
//! to complete the checksum itself.

use bpf_abi::FLAG_ICMP_ERROR;
use flow::{Parsed, parse};
use wire::protocol::{ICMPV6, TCP, UDP};

/// `VIRTIO_NET_HDR_GSO_*`.
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;

/// What the kernel is asked to do for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offload {
    /// Offset of the transport header: the checksum covers all from here to the packet's end.
    pub start: u16,
    /// Offset of the checksum field.
    pub field: usize,
    /// Sum of the pseudo-header, which the field holds meanwhile.
    pub pseudo: u16,
    /// Offset of the end of the packet; what follows is padding, which the sum must not cover.
    pub end: usize,
    /// Length of all headers.
    pub headers: u16,
    /// `GSO_*`.
    pub gso_type: u8,
    /// Payload of one segment; 0 if it is not to be cut.
    pub gso_size: u16,
}

/// What to ask of the kernel; `None` for frames that carry no such checksum, or whose checksum
/// covers more than the frame (fragments).
pub(crate) fn offload(frame: &[u8], gso_size: u16) -> Option<Offload> {
    let parsed = parse(frame).ok()?;
    if parsed.fragment.is_some() || parsed.key.family == 0 {
        return None;
    }
    let proto = transport_protocol(&parsed);
    let (distance, length, gso_type) = match (proto, parsed.key.family) {
        (TCP, 4) => (16, tcp_header(frame, &parsed)?, GSO_TCPV4),
        (TCP, _) => (16, tcp_header(frame, &parsed)?, GSO_TCPV6),
        (UDP, _) => (6, 8, GSO_UDP_L4),
        (ICMPV6, 6) => (2, 8, GSO_NONE),
        _ => return None,
    };
    let field = parsed.transport + distance;
    if proto == UDP && parsed.key.family == 4 && frame.get(field..field + 2)? == [0, 0] {
        return None; // sent without a checksum
    }
    Some(Offload {
        start: u16::try_from(parsed.transport).ok()?,
        field,
        end: parsed.end,
        pseudo: pseudo_sum(frame, &parsed, proto),
        headers: u16::try_from(parsed.transport + length).ok()?,
        gso_type: if gso_size == 0 { GSO_NONE } else { gso_type },
        gso_size,
    })
}

/// The key of an ICMP error names the protocol of the packet inside it.
fn transport_protocol(parsed: &Parsed) -> u8 {
    match (parsed.key.flags & FLAG_ICMP_ERROR != 0, parsed.key.family) {
        (true, 6) => ICMPV6,
        (true, _) => 1,
        (false, _) => parsed.key.proto,
    }
}

fn tcp_header(frame: &[u8], parsed: &Parsed) -> Option<usize> {
    frame
        .get(parsed.transport + 12)
        .map(|b| usize::from(b >> 4) * 4)
}

/// RFC 768, RFC 8200 8.1: addresses, protocol and length, folded but not complemented.
fn pseudo_sum(frame: &[u8], parsed: &Parsed, proto: u8) -> u16 {
    let addresses = if parsed.key.family == 4 {
        &frame[26..34]
    } else {
        &frame[22..54]
    };
    let words = addresses
        .chunks_exact(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let length = (parsed.end - parsed.transport) as u32;
    let mut sum = words.sum::<u32>() + u32::from(proto) + (length & 0xffff) + (length >> 16);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{PacketBuilder, checksum::u32_16bit_word};

    /// Completes the checksum as the kernel does, and gives back the frame.
    fn complete(frame: &[u8], o: &Offload) -> Vec<u8> {
        let mut frame = frame[..o.end].to_vec();
        let field = o.field..o.field + 2;
        frame[field.clone()].copy_from_slice(&o.pseudo.to_be_bytes());
        let sum = u32_16bit_word::add_slice(0, &frame[usize::from(o.start)..]);
        frame[field].copy_from_slice(&u32_16bit_word::ones_complement(sum).to_ne_bytes());
        frame
    }

    fn frames() -> Vec<Vec<u8>> {
        let mac = || PacketBuilder::ethernet2([2; 6], [4; 6]);
        let v4 = || mac().ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9);
        let v6 = || mac().ipv6([0x20; 16], [0xfd; 16], 9);
        let mut frames = vec![vec![]; 5];
        v4().udp(1, 2).write(&mut frames[0], b"odd").unwrap();
        v6().udp(1, 2).write(&mut frames[1], b"even").unwrap();
        v4().tcp(1, 2, 3, 4)
            .write(&mut frames[2], b"payload")
            .unwrap();
        v6().tcp(1, 2, 3, 4)
            .write(&mut frames[3], b"payload")
            .unwrap();
        v6().icmpv6_echo_request(1, 2)
            .write(&mut frames[4], b"ping")
            .unwrap();
        frames
    }

    #[test]
    fn the_kernel_completes_what_was_left_open() {
        for whole in frames() {
            let mut open = whole.clone();
            let found = offload(&open, 0).unwrap();
            open[found.field..found.field + 2].copy_from_slice(&[0x12, 0x34]);
            open.extend([0xee; 3]); // padding
            assert_eq!(complete(&open, &offload(&open, 0).unwrap()), whole);
        }
    }

    #[test]
    fn what_has_no_such_checksum_is_left_alone() {
        let mut without = frames().swap_remove(0);
        without[40..42].fill(0);
        assert_eq!(offload(&without, 0), None, "UDP without a checksum");
        let mut ping = vec![];
        let v4 = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9);
        v4.icmpv4_echo_request(1, 2)
            .write(&mut ping, b"ping")
            .unwrap();
        assert_eq!(offload(&ping, 0), None);
        assert_eq!(offload(&ping[..20], 0), None, "no frame at all");
    }

    #[test]
    fn aggregates_say_how_to_cut_them() {
        let frames = frames();
        let kind =
            |i: usize| offload(&frames[i], 1400).map(|o| (o.gso_type, o.gso_size, o.headers));
        assert_eq!(kind(2), Some((GSO_TCPV4, 1400, 54)));
        assert_eq!(kind(3), Some((GSO_TCPV6, 1400, 74)));
        assert_eq!(kind(0), Some((GSO_UDP_L4, 1400, 42)));
    }
}
