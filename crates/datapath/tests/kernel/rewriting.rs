//! Addresses translated and packets marked: what comes out must be what its sender would have sent
//! with these addresses, to the last bit.

use crate::{
    forwarding::{OneHost, PATIENCE, exchange},
    frames::*,
    net::Net,
    world::{Fate, RATE, TAP_A, TAP_B, World, local},
};
use bpf_abi::*;
use datapath::{Injector, Maps, Outgoing};
use etherparse::{Icmpv6Slice, checksum::u32_16bit_word};
use flow::mapped;
use std::{
    net::{IpAddr, UdpSocket},
    os::fd::AsRawFd,
};
use wire::protocol::UDP;

/// What A is to B.
const S4: &str = "10.0.0.77";
const S6: &str = "2001:db8::77:1";
/// What A calls B.
const D4: &str = "192.0.2.99";
const D6: &str = "fd00:1234::99";

pub fn written(ip: &str) -> [u8; 16] {
    mapped(ip.parse::<IpAddr>().unwrap())
}

/// From A to D becomes from S to B.
fn translating(family: u8) -> Action {
    let (src, dst) = if family == 4 { (S4, B4) } else { (S6, B6) };
    Action {
        flags: ACTION_TRACK | ACTION_SRC | ACTION_DST,
        src: written(src),
        dst: written(dst),
        ..local(TAP_B)
    }
}

/// Builds one packet between any two addresses.
pub type Build = fn(&str, &str) -> Vec<u8>;

fn without_checksum(src: &str, dst: &str) -> Vec<u8> {
    raw_ip(src, dst, UDP, &[0, 5, 0, 6, 0, 12, 0, 0, 1, 2, 3, 4])
}

fn sctp(src: &str, dst: &str) -> Vec<u8> {
    raw_ip(src, dst, 132, &[0, 5, 0, 6, 1, 2, 3, 4, 5, 6, 7, 8])
}

pub fn first_fragment(src: &str, dst: &str) -> Vec<u8> {
    let mut frame = udp((src, 7), (dst, 8), &[3; 16]);
    if frame[14] >> 4 == 4 {
        frame[20] = 0x20;
        fix_ipv4(&mut frame);
    } else {
        frame[20] = 44;
        frame[19] += 8;
        frame.splice(54..54, [UDP, 0, 0, 1, 0, 0, 0, 9]);
    }
    frame
}

/// The rest of the packet that `first_fragment` begins.
pub fn later_fragment(src: &str, dst: &str) -> Vec<u8> {
    let mut frame = first_fragment(src, dst);
    let payload = if frame[14] >> 4 == 4 {
        frame[20..22].copy_from_slice(&[0, 3]);
        fix_ipv4(&mut frame);
        34
    } else {
        frame[57] = 24;
        62
    };
    frame[payload..].fill(0xee);
    frame
}

/// Completes the checksum of an ICMP message.
pub fn with_icmp_sum(mut frame: Vec<u8>) -> Vec<u8> {
    if frame[14] >> 4 == 4 {
        let sum = u32_16bit_word::add_slice(0, &frame[34..]);
        frame[36..38].copy_from_slice(&u32_16bit_word::ones_complement(sum).to_ne_bytes());
    } else {
        let [src, dst] = [22, 38].map(|at| std::array::from_fn(|i| frame[at + i]));
        let slice = Icmpv6Slice::from_slice(&frame[54..]).unwrap();
        let sum = slice.icmp_type().calc_checksum(src, dst, slice.payload());
        frame[56..58].copy_from_slice(&sum.unwrap().to_be_bytes());
    }
    frame
}

pub fn unreachable(src: &str, dst: &str, about: &[u8]) -> Vec<u8> {
    with_icmp_sum(icmp_error(src, dst, about))
}

pub const PACKETS: &[(&str, Build)] = &[
    ("udp", |s, d| udp((s, 5), (d, 6), b"odd")),
    ("udp without a checksum", without_checksum),
    ("tcp", |s, d| tcp((s, 5), (d, 6), SYN)),
    ("ping", |s, d| ping(s, d, 9)),
    ("sctp", sctp),
    ("first fragment", first_fragment),
    ("later fragment", later_fragment),
    ("error about udp", |s, d| {
        unreachable(s, d, &udp((d, 6), (s, 5), b"x"))
    }),
    ("error about udp without a checksum", |s, d| {
        unreachable(s, d, &without_checksum(d, s))
    }),
    ("error about tcp", |s, d| {
        unreachable(s, d, &tcp((d, 6), (s, 5), SYN))
    }),
    ("error about the start of tcp", |s, d| {
        let about = tcp((d, 6), (s, 5), SYN);
        unreachable(s, d, &about[..about.len() - 12])
    }),
    ("error about a ping", |s, d| {
        unreachable(s, d, &ping(d, s, 9))
    }),
];

#[test]
fn a_translated_packet_is_as_if_sent_so() {
    for (family, [a, d], [s, b]) in [(4, [A4, D4], [S4, B4]), (6, [A6, D6], [S6, B6])] {
        let mut world = World::new();
        world.decide(TAP_A, STATE_FORWARD, translating(family));
        for (name, build) in PACKETS {
            let sent = world.hand_in(TAP_A, &build(a, d));
            assert_eq!(sent, Fate::Sent(build(s, b)), "IPv{family} {name}");
        }
    }
}

#[test]
fn one_address_alone_may_change() {
    for (a, b, s, d) in [(A4, B4, S4, D4), (A6, B6, S6, D6)] {
        for (flags, src, dst) in [(ACTION_SRC, s, b), (ACTION_DST, a, d)] {
            let mut world = World::new();
            let action = Action {
                flags,
                src: written(s),
                dst: written(d),
                ..local(TAP_B)
            };
            world.decide(TAP_A, STATE_FORWARD, action);
            for (name, build) in PACKETS {
                let sent = world.hand_in(TAP_A, &build(a, b));
                assert_eq!(sent, Fate::Sent(build(src, dst)), "{name}");
            }
        }
    }
}

#[test]
fn checksums_stay_right_for_every_sum() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, translating(4));
    for word in (0..=u16::MAX).step_by(13) {
        let frame = |s, d| udp((s, 5), (d, 6), &word.to_be_bytes());
        assert_eq!(
            world.hand_in(TAP_A, &frame(A4, D4)),
            Fate::Sent(frame(S4, B4)),
            "{word}"
        );
    }
    world.decide(TAP_A, STATE_FORWARD, translating(6));
    world.forget_connections();
    for word in (0..=u16::MAX).step_by(13) {
        let frame = |s, d| udp((s, 5), (d, 6), &word.to_be_bytes());
        assert_eq!(
            world.hand_in(TAP_A, &frame(A6, D6)),
            Fate::Sent(frame(S6, B6)),
            "{word}"
        );
    }
}

#[test]
fn the_answer_is_expected_at_the_addresses_that_it_will_have() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, translating(4));
    let frame = udp((A4, 5), (D4, 6), b"x");
    assert!(matches!(world.hand_in(TAP_A, &frame), Fate::Sent(_)));
    assert!(world.conn(TAP_A, UDP, (A4, 5), (D4, 6)).is_some());
    let reply = world.conn(TAP_B, UDP, (B4, 6), (S4, 5)).unwrap();
    assert_eq!(reply.state, STATE_REPLY);
    assert!(world.conn(TAP_B, UDP, (D4, 6), (A4, 5)).is_none());
}

#[test]
fn an_error_is_translated_back_by_the_connection_it_speaks_of() {
    for (family, a, d, s, b) in [(4, A4, D4, S4, B4), (6, A6, D6, S6, B6)] {
        let mut world = World::new();
        world.decide(TAP_A, STATE_FORWARD, translating(family));
        let back = Action {
            flags: ACTION_REPLY | ACTION_SRC | ACTION_DST,
            src: written(d),
            dst: written(a),
            ..local(TAP_A)
        };
        world.decide(TAP_B, STATE_REPLY, back);
        let question = udp((a, 5), (d, 6), b"x");
        let Fate::Sent(arrived) = world.hand_in(TAP_A, &question) else {
            panic!("the question is lost");
        };
        let error = unreachable(b, s, &arrived);
        let expected = unreachable(d, a, &question);
        assert_eq!(world.hand_in(TAP_B, &error), Fate::Sent(expected));
    }
}

#[test]
fn an_error_of_somebody_on_the_way_keeps_its_source() {
    let routers = [(A4, B4, S4, "203.0.113.1"), (A6, B6, S6, "2001:db8:9::1")];
    for (a, b, s, router) in routers {
        let mut world = World::new();
        let to = Action {
            flags: ACTION_DST,
            dst: written(a),
            ..local(TAP_A)
        };
        let error = unreachable(router, s, &udp((s, 5), (b, 6), b"x"));
        let expected = unreachable(router, a, &udp((a, 5), (b, 6), b"x"));
        world.decide(TAP_B, STATE_FORWARD, to);
        assert_eq!(world.hand_in(TAP_B, &error), Fate::Sent(expected));
    }
}

/// Aggregates, frames whose checksum the device is to complete, and fragments, as the kernel makes
/// them: A is S to B, and neither knows.
#[test]
fn vms_talk_through_a_translation() {
    let OneHost {
        mut world,
        host: _host,
        a,
        b,
        taps,
    } = OneHost::new();
    b.knows(S4, MAC_A);
    b.knows(S6, MAC_A);
    for (family, address, [real, shown]) in [(4, B4, [A4, S4]), (6, B6, [A6, S6])] {
        world.table.clear().unwrap();
        let there = Action {
            flags: ACTION_TRACK | ACTION_SRC,
            src: written(shown),
            ..local(taps[1])
        };
        let back = Action {
            flags: ACTION_REPLY | ACTION_DST,
            dst: written(real),
            ..local(taps[0])
        };
        world.decide(taps[0], STATE_FORWARD, there);
        world.decide(taps[1], STATE_REPLY, back);
        exchange(&a, &b, address);
        a.ping(address, 56);
        a.ping(address, 3000);
        let records = world.table.maps().connections(1000).unwrap();
        let of_family = records.iter().filter(|(key, _)| key.family == family);
        let mut at_b = of_family.filter(|(key, _)| key.in_port == taps[1]);
        assert!(at_b.all(|(key, _)| key.dst == written(shown)));
    }
}

/// The byte that holds most of the mark, and what else it holds.
fn marked(frame: &[u8], dscp: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame[14] >> 4 == 4 {
        frame[15] = frame[15] & 3 | dscp << 2;
        fix_ipv4(&mut frame);
    } else {
        let word = u16::from_be_bytes([frame[14], frame[15]]) & 0xf03f | u16::from(dscp) << 6;
        frame[14..16].copy_from_slice(&word.to_be_bytes());
    }
    frame
}

#[test]
fn marks_replace_marks_and_keep_ecn() {
    let mut world = World::new();
    for dscp in [0, 1, 46, 63] {
        let action = Action {
            flags: ACTION_TRACK | ACTION_DSCP,
            dscp,
            ..local(TAP_B)
        };
        world.decide(TAP_A, STATE_FORWARD, action);
        for (src, dst) in [(A4, B4), (A6, B6)] {
            for tos in [0, 3, 0xb9, 0xff] {
                let mut frame = marked(&udp((src, 5), (dst, 6), b"x"), tos >> 2);
                frame[15] |= if src == A4 { tos & 3 } else { (tos & 3) << 4 };
                if src == A4 {
                    fix_ipv4(&mut frame);
                }
                let expected = Fate::Sent(marked(&frame, dscp));
                assert_eq!(world.hand_in(TAP_A, &frame), expected);
                world.forget_connections();
            }
        }
    }
}

#[test]
fn a_tunnelled_packet_carries_its_mark_outside_too() {
    let (host, vm, other) = (Net::new(), Net::new(), Net::new());
    vm.plug(&host, "tap", MAC_A, &[]);
    host.ip(&format!(
        "link add under0 type veth peer name under0 netns {}",
        other.path()
    ));
    for (net, address) in [(&host, "198.51.100.1/24"), (&other, "198.51.100.2/24")] {
        net.ip(&format!("address add {address} dev under0"));
        net.ip("link set under0 up");
    }
    host.ip("link add mn-vxlan type vxlan external dstport 4789");
    host.ip("link set mn-vxlan up");
    let (tap, device) = (host.index("tap"), host.index("mn-vxlan"));
    let mut world = World::new();
    let datapath = world.datapath.as_mut().unwrap();
    host.enter(|| {
        datapath.attach_port(tap, RATE).unwrap();
        let local = "198.51.100.1".parse().unwrap();
        datapath.attach_tunnel(device, local, RATE).unwrap();
    });
    let eth0 = vm.index("eth0");
    let mut socket = vm.enter(|| Injector::open(eth0).unwrap());
    let receiver = other.enter(|| UdpSocket::bind("198.51.100.2:4789").unwrap());
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    for (flags, mark, expected) in [(ACTION_DSCP, 46, 46 << 2), (0, 0, 0)] {
        let action = Action {
            kind: ACTION_TUNNEL,
            flags: ACTION_TRACK | flags,
            dscp: mark,
            vni: 7,
            remote: written("198.51.100.2"),
            ..Action::default()
        };
        world.decide(tap, STATE_FORWARD, action);
        let frame = marked(&udp((A4, 5), (B4, 6), b"x"), 10);
        let frame = Outgoing {
            mark: 0,
            bytes: &frame,
            gso_size: 0,
        };
        socket.send(frame).unwrap();
        assert_eq!(tos_of_next(&receiver), expected);
    }
}

/// The TOS that a datagram came with.
fn tos_of_next(socket: &UdpSocket) -> u8 {
    let (on, mut data, mut control) = (1, [0u8; 2048], [0u64; 8]);
    // SAFETY: every pointer is to something that lives until the end, of the length said.
    unsafe {
        let fd = socket.as_raw_fd();
        let size = size_of::<libc::c_int>() as libc::socklen_t;
        let on = (&raw const on).cast();
        libc::setsockopt(fd, libc::IPPROTO_IP, libc::IP_RECVTOS, on, size);
        let mut iov = libc::iovec {
            iov_base: data.as_mut_ptr().cast(),
            iov_len: data.len(),
        };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut iov;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        assert!(libc::recvmsg(fd, &raw mut message, 0) > 0);
        let first = libc::CMSG_FIRSTHDR(&raw const message);
        assert_eq!((*first).cmsg_type, libc::IP_TOS);
        *libc::CMSG_DATA(first)
    }
}
