//! Fragmentation: one packet into several that fit (RFC 791, 3.2; RFC 8200, 4.5).

use crate::{IPV4_HEADER, IPV6_HEADER, bytes, checksum};

/// Bytes of an IPv6 fragment header, and its number.
const FRAGMENT_HEADER: usize = 8;
const FRAGMENT: u8 = 44;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// Splits an IPv4 packet, which may be a fragment itself, into packets of at most `mtu` bytes. One
/// that fits comes back as it is. `None` if it may not be split, is cut short, or if `mtu` leaves no
/// room beside the header.
pub fn fragment_v4(packet: &[u8], mtu: usize) -> Option<Vec<Vec<u8>>> {
    let header_len = usize::from(packet.first()? & 0xf) * 4;
    let packet = packet.get(..usize::from(bytes::be16(packet, 2)?))?;
    if packet.len() <= mtu {
        return Some(vec![packet.to_vec()]);
    }
    let (header, payload) = packet.split_at_checked(header_len)?;
    let flags = bytes::be16(header, 6)?;
    if flags & DONT_FRAGMENT != 0 || header_len < IPV4_HEADER {
        return None;
    }
    let copied = copied_header(header);
    let mut fragments = Vec::new();
    let (mut at, mut header) = (0, header);
    while at < payload.len() {
        let room = mtu.checked_sub(header.len())? & !7;
        let last = payload.len() - at <= mtu - header.len();
        let end = if last { payload.len() } else { at + room };
        if end == at {
            return None;
        }
        let more = if last {
            flags & MORE_FRAGMENTS
        } else {
            MORE_FRAGMENTS
        };
        let offset = (flags & OFFSET) + (at / 8) as u16;
        fragments.push(piece_v4(header, &payload[at..end], more | offset & OFFSET));
        (at, header) = (end, &copied);
    }
    Some(fragments)
}

fn piece_v4(header: &[u8], payload: &[u8], flags: u16) -> Vec<u8> {
    let mut piece = [header, payload].concat();
    let len = piece.len() as u16;
    piece[0] = 0x40 | (header.len() / 4) as u8;
    piece[2..4].copy_from_slice(&len.to_be_bytes());
    piece[6..8].copy_from_slice(&flags.to_be_bytes());
    set_checksum_v4(&mut piece);
    piece
}

/// Puts the checksum of an IPv4 header right.
pub fn set_checksum_v4(packet: &mut [u8]) {
    let header_len = usize::from(packet.first().map_or(0, |b| b & 0xf)) * 4;
    if (IPV4_HEADER..=packet.len()).contains(&header_len) {
        packet[10..12].fill(0);
        let sum = checksum(&packet[..header_len]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The header with only those options that every fragment carries (RFC 791, 3.1: the copied flag).
fn copied_header(header: &[u8]) -> Vec<u8> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPIED: u8 = 0x80;
    let (fixed, mut options) = header.split_at(IPV4_HEADER);
    let mut copied = fixed.to_vec();
    while let [kind, rest @ ..] = options {
        options = match *kind {
            END => break,
            NO_OPERATION => rest,
            kind => {
                let len = rest.first().map_or(0, |len| usize::from(*len));
                let Some((option, after)) = options.split_at_checked(len) else {
                    break;
                };
                if len < 2 {
                    break;
                }
                if kind & COPIED != 0 {
                    copied.extend(option);
                }
                after
            }
        };
    }
    copied.resize(copied.len().next_multiple_of(4), END);
    copied
}

/// Splits an IPv6 packet without extension headers, as its source does. One that fits comes back as
/// it is. `None` if it is cut short or if `mtu` leaves no room beside the headers.
pub fn fragment_v6(packet: &[u8], mtu: usize, id: u32) -> Option<Vec<Vec<u8>>> {
    let end = IPV6_HEADER + usize::from(bytes::be16(packet, 4)?);
    let packet = packet.get(..end)?;
    if packet.len() <= mtu {
        return Some(vec![packet.to_vec()]);
    }
    let (header, payload) = packet.split_at_checked(IPV6_HEADER)?;
    let room = mtu.checked_sub(IPV6_HEADER + FRAGMENT_HEADER)? & !7;
    if room == 0 {
        return None;
    }
    let count = payload.len().div_ceil(room);
    let pieces = payload.chunks(room).enumerate();
    let pieces = pieces.map(|(i, part)| {
        let more = u16::from(i + 1 < count);
        let mut piece = Vec::with_capacity(IPV6_HEADER + FRAGMENT_HEADER + part.len());
        piece.extend(header);
        piece[4..6].copy_from_slice(&((FRAGMENT_HEADER + part.len()) as u16).to_be_bytes());
        piece[6] = FRAGMENT;
        piece.extend([header[6], 0]);
        piece.extend(((i * room) as u16 | more).to_be_bytes());
        piece.extend(id.to_be_bytes());
        piece.extend(part);
        piece
    });
    Some(pieces.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ipv4, Ipv6};
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// A packet with these options, padded by the caller, that may be split.
    fn packet(options: &[u8], payload: usize) -> Vec<u8> {
        let payload: Vec<u8> = (0..payload).map(|i| (i * 7) as u8).collect();
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mut packet = Ipv4::build(a, b, 17, 64, &payload).unwrap();
        packet.splice(20..20, options.iter().copied());
        packet[0] += (options.len() / 4) as u8;
        let len = packet.len() as u16;
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[4..8].copy_from_slice(&[0x12, 0x34, 0, 0]);
        set_checksum_v4(&mut packet);
        packet
    }

    fn put_together(fragments: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (i, fragment) in fragments.iter().enumerate() {
            let header_len = usize::from(fragment[0] & 0xf) * 4;
            assert_eq!(checksum(&fragment[..header_len]), 0);
            let read = Ipv4::read(fragment).unwrap();
            assert_eq!(usize::from(read.total_len), fragment.len());
            assert_eq!(usize::from(read.fragment_offset), payload.len());
            assert_eq!(read.more_fragments, i + 1 < fragments.len());
            assert_eq!(&fragment[4..6], [0x12, 0x34]);
            payload.extend(read.payload);
        }
        payload
    }

    proptest! {
        #[test]
        fn the_pieces_fit_and_are_the_packet(len in 1usize..9000, mtu in 68usize..1500) {
            let whole = packet(&[], len);
            let pieces = fragment_v4(&whole, mtu).unwrap();
            prop_assert!(pieces.iter().all(|p| p.len() <= mtu));
            prop_assert_eq!(put_together(&pieces), &whole[20..]);
            // and each may be split once more on its way
            let smaller: Vec<_> = pieces.iter().flat_map(|p| fragment_v4(p, 68).unwrap()).collect();
            prop_assert_eq!(put_together(&smaller), &whole[20..]);
        }

        #[test]
        fn the_same_for_ipv6(len in 1usize..9000, mtu in 1280usize..1500) {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let (a, b): (Ipv6Addr, Ipv6Addr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
            let whole = Ipv6::build(a, b, 58, 64, &payload).unwrap();
            let pieces = fragment_v6(&whole, mtu, 0x1234_5678).unwrap();
            prop_assert!(pieces.iter().all(|p| p.len() <= mtu));
            if let [only] = &pieces[..] {
                prop_assert_eq!(only, &whole);
                return Ok(());
            }
            let mut got: Vec<u8> = Vec::new();
            for (i, piece) in pieces.iter().enumerate() {
                let read = Ipv6::read(piece).unwrap();
                prop_assert_eq!((read.next_header, read.payload[0]), (44, 58));
                let offset = u16::from_be_bytes([read.payload[2], read.payload[3]]);
                prop_assert_eq!(usize::from(offset & !7), got.len());
                prop_assert_eq!(offset & 1 == 1, i + 1 < pieces.len());
                got.extend(&read.payload[8..]);
            }
            prop_assert_eq!(got, payload);
        }
    }

    #[test]
    fn only_options_to_be_copied_are_in_all_fragments() {
        // record route is not copied, loose source route is; a no-operation and an end between
        let options = [7, 4, 4, 0, 1, 0x83, 3, 4, 0x94, 4, 0, 0, 0, 0, 0, 0];
        let pieces = fragment_v4(&packet(&options, 200), 100).unwrap();
        assert_eq!(&pieces[0][20..36], &options);
        let wanted = [0x83, 3, 4, 0x94, 4, 0, 0, 0];
        for piece in &pieces[1..] {
            assert_eq!((piece[0], &piece[20..28]), (0x47, &wanted[..]));
        }
        assert_eq!(put_together(&pieces).len(), 200);
    }

    #[test]
    fn options_that_lie_about_their_length_are_not_copied() {
        for options in [
            [0x83, 0, 0, 0],
            [0x83, 9, 0, 0],
            [0x83, 1, 0x83, 2],
            [1, 1, 1, 0x83],
        ] {
            let pieces = fragment_v4(&packet(&options, 200), 100).unwrap();
            assert_eq!(pieces[1][0], 0x45, "{options:?}");
        }
    }

    #[test]
    fn what_must_stay_whole_stays_whole() {
        let mut whole = packet(&[], 200);
        assert_eq!(fragment_v4(&whole, 220).unwrap(), [whole.clone()]);
        assert_eq!(fragment_v4(&whole, 27), None, "no room for eight bytes");
        whole[6] = 0x40;
        assert_eq!(fragment_v4(&whole, 100), None);
        assert_eq!(fragment_v4(&whole[..100], 50), None, "cut short");
    }
}
