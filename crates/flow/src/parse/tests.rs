//! The rules of `parse`, one frame each.

use super::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::{Icmp, IpPacket, Mac, Udp, icmp4, icmp6, tcp_flag, tcp_segment};

const A: Mac = Mac([2, 0, 0, 0, 0, 1]);
const B: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn pair(family: u8) -> (IpAddr, IpAddr) {
    match family {
        4 => ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()),
        _ => ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap()),
    }
}

fn packet(src: IpAddr, dst: IpAddr, proto: u8, payload: &[u8]) -> Vec<u8> {
    IpPacket {
        src,
        dst,
        proto,
        ttl: 64,
        payload,
    }
    .frame(A, B)
    .unwrap()
}

fn udp(family: u8) -> Vec<u8> {
    let (src, dst) = pair(family);
    let datagram = Udp {
        sport: 1000,
        dport: 53,
        payload: b"question",
    }
    .datagram(src, dst)
    .unwrap();
    packet(src, dst, protocol::UDP, &datagram)
}

fn icmp(family: u8) -> u8 {
    if family == 4 {
        protocol::ICMP
    } else {
        protocol::ICMPV6
    }
}

/// Writes the IPv4 header checksum again after a test changed the header.
fn fix_checksum(frame: &mut [u8]) {
    let end = 14 + usize::from(frame[14] & 0xf) * 4;
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..end]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn ports_and_addresses_of_both_families() {
    for family in [4, 6] {
        let (src, dst) = pair(family);
        let parsed = parse(&udp(family)).unwrap();
        let wanted = FlowKey {
            family,
            proto: protocol::UDP,
            smac: A.0,
            dmac: B.0,
            src: crate::mapped(src),
            dst: crate::mapped(dst),
            sport: 1000,
            dport: 53,
            ..FlowKey::default()
        };
        assert_eq!(parsed.key, wanted);
        let segment = tcp_segment((src, 5), (dst, 80), tcp_flag::SYN);
        let key = parse(&packet(src, dst, protocol::TCP, &segment))
            .unwrap()
            .key;
        assert_eq!((key.proto, key.sport, key.dport), (protocol::TCP, 5, 80));
    }
}

#[test]
fn echoes_carry_identifier_and_type() {
    for (family, kind) in [(4, icmp4::ECHO_REQUEST), (6, icmp6::ECHO_REQUEST)] {
        let (src, dst) = pair(family);
        let echo = Icmp {
            kind,
            code: 0,
            rest: [0, 7, 0, 1],
            body: b"x",
        }
        .message(src, dst);
        let key = parse(&packet(src, dst, icmp(family), &echo)).unwrap().key;
        assert_eq!((key.sport, key.dport), (7, u16::from(kind) << 8));
    }
}

#[test]
fn arp_has_macs_only_and_other_ethertypes_are_named() {
    let mut frame = udp(4);
    frame[12..14].copy_from_slice(&[8, 6]);
    let wanted = FlowKey {
        smac: A.0,
        dmac: B.0,
        ..FlowKey::default()
    };
    assert_eq!(parse(&frame).unwrap().key, wanted);
    let cases = [
        ([0x81, 0], DropReason::VlanTagged),
        ([0x88, 0xa8], DropReason::VlanTagged),
        ([0x91, 0], DropReason::VlanTagged),
        ([0x88, 0xcc], DropReason::EtherType),
        ([0, 46], DropReason::EtherType),
    ];
    for (ethertype, reason) in cases {
        frame[12..14].copy_from_slice(&ethertype);
        assert_eq!(parse(&frame), Err(reason), "{ethertype:x?}");
    }
}

#[test]
fn every_cut_is_malformed_and_padding_is_not() {
    for family in [4, 6] {
        let mut frame = udp(family);
        for len in 0..frame.len() {
            assert_eq!(parse(&frame[..len]), Err(DropReason::Malformed), "{len}");
        }
        let key = parse(&frame).unwrap().key;
        frame.extend([0; 30]);
        assert_eq!(parse(&frame).unwrap().key, key);
    }
}

#[test]
fn ipv4_header_checks() {
    let change = |at: usize, value: u8, fix: bool| {
        let mut frame = udp(4);
        frame[at] = value;
        if fix {
            fix_checksum(&mut frame);
        }
        parse(&frame).map(|p| p.key.dport)
    };
    assert_eq!(
        change(14, 0x65, true),
        Err(DropReason::Malformed),
        "version"
    );
    assert_eq!(
        change(14, 0x44, false),
        Err(DropReason::Malformed),
        "header length"
    );
    assert_eq!(
        change(17, 19, true),
        Err(DropReason::Malformed),
        "total length"
    );
    assert_eq!(
        change(17, 37, true),
        Err(DropReason::Malformed),
        "beyond the frame"
    );
    assert_eq!(
        change(22, 63, false),
        Err(DropReason::BadChecksum),
        "checksum"
    );
    assert_eq!(
        change(20, 0x80, true),
        Err(DropReason::BadChecksum),
        "reserved bit"
    );
}

#[test]
fn ipv4_options_are_skipped() {
    let mut frame = udp(4);
    frame[14] = 0x46;
    frame[17] += 4;
    frame.splice(34..34, [7, 4, 4, 0]);
    fix_checksum(&mut frame);
    assert_eq!(parse(&frame).unwrap().key.dport, 53);
}

#[test]
fn ipv4_fragments() {
    let mut frame = udp(4);
    frame[18..22].copy_from_slice(&[0x12, 0x34, 0x20, 0]);
    fix_checksum(&mut frame);
    let first = parse(&frame).unwrap();
    assert_eq!(
        first.fragment,
        Some(Fragment {
            id: 0x1234,
            first: true
        })
    );
    assert_eq!((first.key.dport, first.key.flags), (53, 0));
    frame[20..22].copy_from_slice(&[0, 2]);
    fix_checksum(&mut frame);
    let later = parse(&frame).unwrap();
    assert_eq!(
        later.fragment,
        Some(Fragment {
            id: 0x1234,
            first: false
        })
    );
    assert_eq!((later.key.dport, later.key.flags), (0, FLAG_FRAGMENT));
    frame[21] = 1;
    frame[23] = protocol::TCP;
    fix_checksum(&mut frame);
    assert_eq!(
        parse(&frame),
        Err(DropReason::Malformed),
        "it would overwrite TCP flags"
    );
}

#[test]
fn fragments_that_cannot_be_part_of_a_packet() {
    let cases = [
        (0x2000, 8, true),
        (0x2000, 12, false), // not the last, and half a unit at its end
        (0x0002, 12, true),
        (0x2002, 12, false),
        (0x2002, 16, true),
        (0x0002, 0, false), // empty
        (0x1ffa, 27, true), // 20 bytes of header and 65 488 before it: just fits
        (0x1ffa, 28, false),
        (0x1fff, 8, false),
    ];
    for (bits, length, fits) in cases {
        let (src, dst) = pair(4);
        let mut frame = packet(src, dst, protocol::UDP, &vec![0; length]);
        frame[20..22].copy_from_slice(&u16::to_be_bytes(bits));
        fix_checksum(&mut frame);
        assert_eq!(parse(&frame).is_ok(), fits, "IPv4 {bits:#x} {length}");
        let (src, dst) = pair(6);
        let offset = bits.rotate_left(3);
        let [high, low] = offset.to_be_bytes();
        let header = [protocol::UDP, 0, high, low, 0, 0, 0, 9];
        let payload = [&header[..], &vec![0; length]].concat();
        let parsed = parse(&packet(src, dst, 44, &payload));
        // there is room for the 20 bytes that an IPv4 header takes
        let fits = fits || (bits, length) == (0x1ffa, 28);
        assert_eq!(parsed.is_ok(), fits, "IPv6 {bits:#x} {length}");
    }
}

/// A UDP packet behind these extension headers; each is given without its next header byte.
fn extended(headers: &[(u8, [u8; 7])]) -> Vec<u8> {
    let mut frame = udp(6);
    let mut insert = Vec::new();
    for (i, (_, body)) in headers.iter().enumerate() {
        insert.push(headers.get(i + 1).map_or(protocol::UDP, |h| h.0));
        insert.extend(body);
    }
    frame[20] = headers[0].0;
    frame[19] += insert.len() as u8;
    frame.splice(54..54, insert);
    frame
}

#[test]
fn ipv6_extension_headers_are_followed_within_limits() {
    let plain = [0; 7];
    let fragment = [0, 0, 1, 0, 0, 0, 9];
    let later = [0, 0, 8, 0, 0, 0, 9];
    let options = |n: usize| vec![(60, plain); n];
    let ok = |headers: &[(u8, [u8; 7])]| parse(&extended(headers)).map(|p| p.key.dport);
    assert_eq!(ok(&[(0, plain), (60, plain)]), Ok(53));
    assert_eq!(ok(&[(43, plain)]), Ok(53), "no segments left");
    assert_eq!(
        ok(&[(43, [0, 0, 1, 0, 0, 0, 0])]),
        Err(DropReason::ExtensionHeaders)
    );
    assert_eq!(
        ok(&[(60, plain), (0, plain)]),
        Err(DropReason::ExtensionHeaders)
    );
    assert_eq!(ok(&options(6)), Ok(53));
    assert_eq!(ok(&options(7)), Err(DropReason::ExtensionHeaders));
    assert_eq!(
        ok(&[(44, fragment), (44, fragment)]),
        Err(DropReason::ExtensionHeaders)
    );
    assert_eq!(
        ok(&[(44, later), (60, plain)]),
        Err(DropReason::ExtensionHeaders)
    );
    assert_eq!(
        ok(&[(60, [255, 0, 0, 0, 0, 0, 0])]),
        Err(DropReason::Malformed)
    );
}

#[test]
fn ipv6_fragments() {
    let first = parse(&extended(&[(44, [0, 0, 1, 0, 0, 0, 9])])).unwrap();
    assert_eq!(first.fragment, Some(Fragment { id: 9, first: true }));
    assert_eq!((first.key.dport, first.key.flags), (53, 0));
    let later = parse(&extended(&[(44, [0, 0, 8, 0, 0, 0, 9])])).unwrap();
    assert_eq!(
        later.fragment,
        Some(Fragment {
            id: 9,
            first: false
        })
    );
    assert_eq!((later.key.proto, later.key.dport), (protocol::UDP, 0));
    assert_eq!(later.key.flags, FLAG_FRAGMENT);
    let atomic = parse(&extended(&[(44, [0; 7])])).unwrap();
    assert_eq!((atomic.fragment, atomic.key.dport), (None, 53));
}

#[test]
fn tcp_data_offset_must_fit() {
    let (src, dst) = pair(4);
    for (offset, fits) in [(0x40, false), (0x50, true), (0x60, false), (0xf0, false)] {
        let mut segment = tcp_segment((src, 5), (dst, 80), tcp_flag::SYN);
        segment[12] = offset;
        let parsed = parse(&packet(src, dst, protocol::TCP, &segment));
        assert_eq!(parsed.is_ok(), fits, "{offset:x}");
    }
}

/// An error from `src` to `dst` about a packet that is inside.
fn error(family: u8, src: IpAddr, dst: IpAddr, inside: &[u8]) -> Vec<u8> {
    let kind = if family == 4 {
        icmp4::UNREACHABLE
    } else {
        icmp6::UNREACHABLE
    };
    let message = Icmp {
        kind,
        code: 1,
        rest: [0; 4],
        body: inside,
    }
    .message(src, dst);
    packet(src, dst, icmp(family), &message)
}

#[test]
fn icmp_errors_take_the_key_of_the_reply_of_what_they_speak_of() {
    for family in [4, 6] {
        let (a, b) = pair(family);
        let inside = &udp(family)[14..];
        let key = parse(&error(family, b, a, inside)).unwrap().key;
        assert_eq!((key.src, key.dst), (crate::mapped(b), crate::mapped(a)));
        assert_eq!((key.proto, key.sport, key.dport), (protocol::UDP, 53, 1000));
        assert_eq!(key.flags, FLAG_ICMP_ERROR);
    }
}

#[test]
fn icmp_errors_of_others_take_that_key_too() {
    let others: [(u8, IpAddr); 2] = [
        (4, Ipv4Addr::new(203, 0, 113, 1).into()),
        (6, Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1).into()),
    ];
    for (family, other) in others {
        let (a, b) = pair(family);
        let inside = &udp(family)[14..];
        let own = parse(&error(family, b, a, inside)).unwrap().key;
        let key = parse(&error(family, other, a, inside)).unwrap().key;
        let flags = FLAG_ICMP_ERROR | FLAG_TRANSIT_ERROR;
        assert_eq!(key, FlowKey { flags, ..own });
    }
}

#[test]
fn icmp_errors_about_echoes() {
    for (family, request, reply) in [(4, 8_u8, 0_u16), (6, 128, 129)] {
        let (a, b) = pair(family);
        let echo = Icmp {
            kind: request,
            code: 0,
            rest: [0, 7, 0, 1],
            body: &[],
        }
        .message(a, b);
        let inside = packet(a, b, icmp(family), &echo);
        let key = parse(&error(family, b, a, &inside[14..])).unwrap().key;
        assert_eq!(
            (key.proto, key.sport, key.dport),
            (icmp(family), 7, reply << 8)
        );
    }
}

#[test]
fn icmp_errors_that_cannot_be_related_or_lie() {
    for family in [4, 6] {
        let (a, b) = pair(family);
        let inside = udp(family)[14..].to_vec();
        let header = if family == 4 { 20 } else { 40 };
        let refuse = |src, dst, inside: &[u8], reason, why: &str| {
            assert_eq!(
                parse(&error(family, src, dst, inside)),
                Err(reason),
                "{family} {why}"
            );
        };
        let unrelated = DropReason::UnrelatedIcmpError;
        refuse(b, b, &inside, unrelated, "its receiver did not send");
        refuse(b, a, &inside[..header + 7], unrelated, "cut short");
        let mut other = inside.clone();
        other[0] ^= 0x20;
        refuse(b, a, &other, unrelated, "version");
        let mut other = inside.clone();
        other[if family == 4 { 9 } else { 6 }] = 50;
        refuse(b, a, &other, unrelated, "protocol");
        let nested = error(family, a, b, &inside);
        refuse(b, a, &nested[14..], unrelated, "an error about an error");
    }
}
