//! What a sender leaves to its network card: cutting an aggregated packet into those that go over
//! the wire, and completing checksums.

use crate::{Checksum, Ipv4, TCP_HEADER, UDP_HEADER, bytes, fragment::set_checksum_v4, protocol};
use std::net::IpAddr;

/// TCP flags that belong to the last segment only, and to the first only (RFC 3168, 6.1.2).
const FIN_PUSH: u8 = 0x09;
const REDUCED: u8 = 0x80;

/// An aggregated IPv4 packet as the packets it stands for, each with `size` bytes of TCP or UDP
/// payload but the last; with `size` 0 the packet itself. Checksums are complete. `None` if it is
/// cut short, or neither TCP nor UDP and to be cut.
pub fn segments_v4(packet: &[u8], size: usize) -> Option<Vec<Vec<u8>>> {
    let packet = packet.get(..usize::from(bytes::be16(packet, 2)?))?;
    let ip = Ipv4::read(packet)?;
    let transport = packet.len() - ip.payload.len();
    if size == 0 {
        let mut whole = packet.to_vec();
        if ip.fragment_offset == 0 && !ip.more_fragments {
            complete_v4(&mut whole, transport);
        }
        return Some(vec![whole]);
    }
    let header_len = match ip.proto {
        protocol::TCP => usize::from(ip.payload.get(12)? >> 4) * 4,
        protocol::UDP => UDP_HEADER,
        _ => return None,
    };
    let (headers, payload) = packet.split_at_checked(transport + header_len)?;
    if ip.proto == protocol::TCP && header_len < TCP_HEADER || payload.is_empty() {
        return None;
    }
    let count = payload.len().div_ceil(size);
    let parts = payload.chunks(size).enumerate();
    let cut = parts.map(|(i, part)| {
        let mut segment = [headers, part].concat();
        let len = segment.len() as u16;
        segment[2..4].copy_from_slice(&len.to_be_bytes());
        let id = bytes::be16(headers, 4).unwrap_or_default();
        let id = id.wrapping_add(i as u16);
        segment[4..6].copy_from_slice(&id.to_be_bytes());
        set_checksum_v4(&mut segment);
        let header = &mut segment[transport..];
        if ip.proto == protocol::TCP {
            place_in_stream(header, (i * size) as u32, i == 0, i + 1 == count);
        } else {
            header[4..6].copy_from_slice(&((UDP_HEADER + part.len()) as u16).to_be_bytes());
        }
        complete_v4(&mut segment, transport);
        segment
    });
    Some(cut.collect())
}

/// Sequence number and flags of a segment that starts so many bytes behind the first.
fn place_in_stream(tcp: &mut [u8], behind: u32, first: bool, last: bool) {
    let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(behind);
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    if !last {
        tcp[13] &= !FIN_PUSH;
    }
    if !first {
        tcp[13] &= !REDUCED;
    }
}

/// Puts a TCP or UDP checksum right. A datagram without one is left without.
fn complete_v4(packet: &mut [u8], transport: usize) {
    let Some(ip) = Ipv4::read(packet) else { return };
    let (src, dst, proto): (IpAddr, IpAddr, u8) = (ip.src.into(), ip.dst.into(), ip.proto);
    let segment = &mut packet[transport..];
    let at = match proto {
        protocol::TCP => 16,
        protocol::UDP => 6,
        _ => return,
    };
    let absent = proto == protocol::UDP && segment.get(at..at + 2) == Some(&[0, 0]);
    if segment.len() < at + 2 || absent {
        return;
    }
    segment[at..at + 2].fill(0);
    let sum = Checksum::default().with_pseudo_header(src, dst, proto, segment.len());
    let sum = match sum.with(segment).finish() {
        0 if proto == protocol::UDP => 0xffff,
        sum => sum,
    };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Udp, checksum, tcp_segment};
    use std::net::Ipv4Addr;

    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn check(segment: &[u8]) -> Ipv4<'_> {
        assert_eq!(checksum(&segment[..20]), 0);
        let ip = Ipv4::read(segment).unwrap();
        let sum = Checksum::default();
        let sum = sum.with_pseudo_header(ip.src.into(), ip.dst.into(), ip.proto, ip.payload.len());
        assert_eq!(sum.with(ip.payload).finish(), 0);
        assert_eq!(usize::from(ip.total_len), segment.len());
        ip
    }

    #[test]
    fn datagrams_are_cut_into_datagrams() {
        let data: Vec<u8> = (0..2500).map(|i| i as u8).collect();
        let payload = Udp {
            sport: 1,
            dport: 2,
            payload: &data,
        }
        .datagram(A.into(), B.into());
        let packet = Ipv4::build(A, B, protocol::UDP, 64, &payload.unwrap()).unwrap();
        let cut = segments_v4(&packet, 1000).unwrap();
        let read = |s: &Vec<u8>| Udp::read(check(s).payload).unwrap().payload.to_vec();
        assert_eq!(
            cut.iter().map(|s| read(s).len()).collect::<Vec<_>>(),
            [1000, 1000, 500]
        );
        assert_eq!(cut.iter().flat_map(read).collect::<Vec<_>>(), data);
        let ids: Vec<_> = cut.iter().map(|s| bytes::be16(s, 4).unwrap()).collect();
        assert_eq!(ids, [0, 1, 2]);
    }

    #[test]
    fn segments_follow_each_other_and_only_the_last_ends_the_stream() {
        let mut payload = tcp_segment((A.into(), 1), (B.into(), 2), 0x99); // CWR, ACK, PSH, FIN
        payload.extend([7; 250]);
        let packet = Ipv4::build(A, B, protocol::TCP, 64, &payload).unwrap();
        let cut = segments_v4(&packet, 100).unwrap();
        let field = |s: &Vec<u8>| {
            let tcp = check(s).payload;
            (
                u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
                tcp[13],
                tcp.len() - 20,
            )
        };
        let fields: Vec<_> = cut.iter().map(field).collect();
        assert_eq!(fields, [(1, 0x90, 100), (101, 0x10, 100), (201, 0x19, 50)]);
    }

    #[test]
    fn a_whole_packet_gets_its_checksum_and_a_fragment_keeps_what_it_has() {
        let payload = Udp {
            sport: 1,
            dport: 2,
            payload: b"odd",
        }
        .datagram(A.into(), B.into());
        let mut packet = Ipv4::build(A, B, protocol::UDP, 64, &payload.unwrap()).unwrap();
        packet[26..28].copy_from_slice(&[1, 2]);
        check(&segments_v4(&packet, 0).unwrap()[0]);
        packet[6] = 0x20;
        assert_eq!(segments_v4(&packet, 0).unwrap()[0], packet);
        packet[6] = 0;
        packet[26..28].fill(0);
        assert_eq!(
            segments_v4(&packet, 0).unwrap()[0],
            packet,
            "sent without a checksum"
        );
        assert_eq!(segments_v4(&packet[..25], 0), None);
    }
}
