//! IPv6 clients of IPv4 ports: what arrives must be what its sender would have sent in the other family,
//! to the last bit.

use crate::{
    forwarding::{OneHost, exchange_with, with_agent},
    frames::*,
    outside::{F6, ROUTER, reply, resume, world},
    rewriting::{first_fragment, later_fragment, unreachable, with_icmp_sum, written},
    world::{Fate, RATE, TAP_A, TAP_B, World, local},
};
use bpf_abi::*;
use datapath::Maps;
use flow::DropReason;
use std::net::Ipv4Addr;
use wire::protocol::UDP;

/// A client, and somebody on the way to it.
const C6: &str = "2001:db8:c::5";
const T6: &str = "2001:db8:99::9";

/// To an IPv4 port.
fn inward(to: u32, dst: &str) -> Action {
    Action {
        flags: ACTION_NAT64 | ACTION_DST,
        dst: written(dst),
        ..local(to)
    }
}

/// A host where A is known as F6 too, to clients that are addresses of this network to it.
fn serving(net: &str) -> World {
    let mut world = world();
    let maps = world.table.maps_mut();
    maps.set_nat64(Some(net.parse().unwrap())).unwrap();
    world.decide(ROUTER, STATE_FORWARD, inward(TAP_A, A4));
    world.decide(TAP_A, STATE_REPLY, reply(TAP_B));
    world
}

/// Hands in what a client sends, and tells how it arrived and from whom.
fn arrive(world: &mut World, frame: &[u8]) -> (Vec<u8>, String) {
    match world.hand_in(TAP_B, frame) {
        Fate::Sent(frame) => {
            let from: [u8; 4] = frame[26..30].try_into().unwrap();
            (frame, Ipv4Addr::from(from).to_string())
        }
        other => panic!("{other:?}"),
    }
}

/// A packet between two ends, of any family.
type Between = fn((&str, u16), (&str, u16)) -> Vec<u8>;

const QUESTIONS: [(Between, Between); 4] = [
    (|s, d| udp(s, d, b"odd"), |s, d| udp(s, d, b"answer")),
    (|s, d| udp(s, d, b""), |s, d| udp(s, d, b"0123456789")),
    (|s, d| tcp(s, d, SYN), |s, d| tcp(s, d, SYN | ACK)),
    (|s, d| ping(s.0, d.0, s.1), |s, d| pong(s.0, d.0, d.1)),
];

#[test]
fn clients_and_ports_each_see_their_own_family() {
    let mut world = serving("100.64.0.0/10");
    for (asks, answers) in QUESTIONS {
        for port in [0, 5, 0xffff] {
            let question = asks((C6, port), (F6, 6));
            let (arrived, from) = arrive(&mut world, &question);
            assert_eq!(arrived, asks((&from, port), (A4, 6)));
            assert!(from.starts_with("100."), "{from}");
            let answer = answers((F6, 6), (C6, port));
            for _ in 0..2 {
                let back = world.hand_in(TAP_A, &answers((A4, 6), (&from, port)));
                assert_eq!(back, Fate::Sent(answer.clone()));
            }
            // errors of the port about the question, and of anybody about the answer
            let error = world.hand_in(TAP_A, &unreachable(A4, &from, &arrived));
            assert_eq!(error, Fate::Sent(unreachable(F6, C6, &question)));
            let about = answers((A4, 6), (&from, port));
            for sender in [C6, T6] {
                let error = world.hand_in(TAP_B, &unreachable(sender, F6, &answer));
                let expected = as_translated(unreachable(&from, A4, &about));
                assert_eq!(error, Fate::Sent(expected), "from {sender}");
            }
        }
    }
}

/// The fields of an IPv4 header that come from none of IPv6 (RFC 7915, 5.1).
fn as_translated(mut frame: Vec<u8>) -> Vec<u8> {
    frame[18..22].copy_from_slice(&[0, 0, 0x40, 0]);
    fix_ipv4(&mut frame);
    frame
}

#[test]
fn checksums_stay_right_for_every_sum() {
    let mut world = serving("100.64.0.0/10");
    let frame = |s: &str, d: &str, word: u16| udp((s, 5), (d, 6), &word.to_be_bytes());
    for word in (0..=u16::MAX).step_by(13) {
        let (arrived, from) = arrive(&mut world, &frame(C6, F6, word));
        assert_eq!(arrived, frame(&from, A4, word), "{word}");
        let back = |s: &str, d: &str| udp((s, 6), (d, 5), &word.to_be_bytes());
        let fate = world.hand_in(TAP_A, &back(A4, &from));
        assert_eq!(fate, Fate::Sent(back(F6, C6)), "{word}");
    }
}

#[test]
fn a_datagram_without_a_checksum_gets_one() {
    let mut world = serving("100.64.0.0/10");
    for length in [0, 1, 2, 3, 4, 5, 55, 56, 57, 500, 1472] {
        let payload: Vec<u8> = (0..length).map(|i| i as u8 ^ 0x5a).collect();
        let (_, from) = arrive(&mut world, &udp((C6, 5), (F6, 6), b"x"));
        let whole = udp((A4, 6), (&from, 5), &payload);
        let mut without = whole.clone();
        without[40..42].fill(0);
        let fate = world.hand_in(TAP_A, &without);
        assert_eq!(
            fate,
            Fate::Sent(udp((F6, 6), (C6, 5), &payload)),
            "{length}"
        );
        without[20] = 0x20;
        if length % 8 == 0 {
            fix_ipv4(&mut without);
            let lost = Fate::Dropped(DropReason::Nat64Untranslatable);
            assert_eq!(world.hand_in(TAP_A, &without), lost);
        }
    }
}

#[test]
fn fragments_stay_fragments() {
    let mut world = serving("100.64.0.0/10");
    let numbered = |mut frame: Vec<u8>| {
        frame[18..20].copy_from_slice(&[0, 9]);
        fix_ipv4(&mut frame);
        frame
    };
    let (arrived, from) = arrive(&mut world, &first_fragment(C6, F6));
    assert_eq!(arrived, numbered(first_fragment(&from, A4)));
    let (arrived, _) = arrive(&mut world, &later_fragment(C6, F6));
    assert_eq!(arrived, numbered(later_fragment(&from, A4)));
    // and back: of the same ports turned round
    let turned = |mut frame: Vec<u8>, at: usize| {
        frame[at..at + 4].copy_from_slice(&[0, 8, 0, 7]);
        frame
    };
    let back = world.hand_in(TAP_A, &numbered(turned(first_fragment(A4, &from), 34)));
    assert_eq!(back, Fate::Sent(turned(first_fragment(F6, C6), 62)));
    let back = world.hand_in(TAP_A, &numbered(later_fragment(A4, &from)));
    assert_eq!(back, Fate::Sent(later_fragment(F6, C6)));
    let mut piece = ping(C6, F6, 5);
    piece[20] = 44;
    piece[19] += 12;
    piece.splice(54..54, [58, 0, 0, 1, 0, 0, 0, 9]);
    piece.extend([0; 4]);
    let lost = Fate::Dropped(DropReason::Nat64Untranslatable);
    assert_eq!(world.hand_in(TAP_B, &piece), lost);
}

#[test]
fn headers_that_the_other_family_has_not_are_left_out() {
    let mut world = serving("100.64.0.0/10");
    let plain = udp((C6, 5), (F6, 6), b"odd");
    let (expected, from) = arrive(&mut world, &plain);
    let mut options = plain.clone();
    options[20] = 0;
    options[19] += 16;
    options.splice(54..54, [60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0]);
    assert_eq!(arrive(&mut world, &options).0, expected);
    let mut back = udp((A4, 6), (&from, 5), b"answer");
    back.splice(34..34, [7, 7, 4, 0, 0, 0, 0, 0]);
    back[14] = 0x47;
    back[17] += 8;
    fix_ipv4(&mut back);
    let expected = udp((F6, 6), (C6, 5), b"answer");
    assert_eq!(world.hand_in(TAP_A, &back), Fate::Sent(expected));
}

/// An ICMP error of any kind.
fn error(src: &str, dst: &str, kind: [u8; 2], rest: [u8; 4], about: &[u8]) -> Vec<u8> {
    let mut frame = icmp_error(src, dst, about);
    let at = if frame[14] >> 4 == 4 { 34 } else { 54 };
    frame[at..at + 2].copy_from_slice(&kind);
    frame[at + 4..at + 8].copy_from_slice(&rest);
    with_icmp_sum(frame)
}

/// RFC 7915, 4.2 and 5.2.
#[test]
fn errors_keep_their_meaning() {
    let mut world = serving("100.64.0.0/10");
    let question = udp((C6, 5), (F6, 6), b"odd");
    let (arrived, from) = arrive(&mut world, &question);
    let mtu = |mtu: u16| [0, 0, mtu.to_be_bytes()[0], mtu.to_be_bytes()[1]];
    let none = [0; 4];
    let to_six = [
        ([3, 0], none, Some(([1, 0], none))),
        ([3, 1], none, Some(([1, 0], none))),
        ([3, 2], none, Some(([4, 1], [0, 0, 0, 6]))),
        ([3, 3], none, Some(([1, 4], none))),
        ([3, 4], mtu(1400), Some(([2, 0], mtu(1420)))),
        ([3, 4], mtu(0), Some(([2, 0], mtu(1280)))),
        ([3, 9], none, Some(([1, 1], none))),
        ([3, 13], none, Some(([1, 1], none))),
        ([3, 14], none, None),
        ([11, 0], none, Some(([3, 0], none))),
        ([12, 0], [9, 0, 0, 0], Some(([4, 0], [0, 0, 0, 6]))),
        ([12, 0], [5, 0, 0, 0], None),
        ([12, 1], none, None),
    ];
    for (kind, rest, expected) in to_six {
        let fate = world.hand_in(TAP_A, &error(A4, &from, kind, rest, &arrived));
        let expected = match expected {
            Some((kind, rest)) => Fate::Sent(error(F6, C6, kind, rest, &question)),
            None => Fate::Dropped(DropReason::Nat64Untranslatable),
        };
        assert_eq!(fate, expected, "{kind:?} {rest:?}");
    }
    let (answer, inside) = (
        udp((F6, 6), (C6, 5), b"answer"),
        udp((A4, 6), (&from, 5), b"answer"),
    );
    let to_four = [
        ([1, 0], none, Some(([3, 1], none))),
        ([1, 1], none, Some(([3, 10], none))),
        ([1, 3], none, Some(([3, 1], none))),
        ([1, 4], none, Some(([3, 3], none))),
        ([1, 6], none, None),
        ([2, 0], mtu(1280), Some(([3, 4], mtu(1260)))),
        ([3, 0], none, Some(([11, 0], none))),
        ([3, 1], none, Some(([11, 1], none))),
        ([4, 0], [0, 0, 0, 7], Some(([12, 0], [8, 0, 0, 0]))),
        ([4, 0], [0, 0, 0, 99], None),
        ([4, 1], none, Some(([3, 2], none))),
        ([4, 2], none, None),
    ];
    for (kind, rest, expected) in to_four {
        let fate = world.hand_in(TAP_B, &error(T6, F6, kind, rest, &answer));
        let expected = match expected {
            Some((kind, rest)) => Fate::Sent(as_translated(error(&from, A4, kind, rest, &inside))),
            None => Fate::Dropped(DropReason::Nat64Untranslatable),
        };
        assert_eq!(fate, expected, "{kind:?} {rest:?}");
    }
}

#[test]
fn cut_errors_are_translated_or_dropped() {
    let mut world = serving("100.64.0.0/10");
    for (asks, _) in QUESTIONS {
        let question = asks((C6, 5), (F6, 6));
        let (arrived, from) = arrive(&mut world, &question);
        for cut in (14..arrived.len()).step_by(2) {
            let fate = world.hand_in(TAP_A, &unreachable(A4, &from, &arrived[..cut]));
            match fate {
                Fate::Dropped(reason) => {
                    assert!(cut < 42, "{cut}");
                    assert_eq!(reason, DropReason::UnrelatedIcmpError);
                }
                other => {
                    let expected = unreachable(F6, C6, &question[..cut + 20]);
                    assert_eq!(other, Fate::Sent(expected), "{cut}");
                }
            }
        }
    }
}

#[test]
fn clients_who_meet_at_one_address_are_told_apart() {
    let mut world = serving("100.64.7.7/32");
    let clients: Vec<String> = (1..=8).map(|n| format!("2001:db8:c::{n}")).collect();
    let ports: Vec<u16> = clients
        .iter()
        .map(|client| {
            let (arrived, from) = arrive(&mut world, &udp((client, 5), (F6, 6), b"x"));
            assert_eq!(from, "100.64.7.7");
            u16::from_be_bytes([arrived[34], arrived[35]])
        })
        .collect();
    assert_eq!(ports[0], 5, "the first keeps its port");
    for (client, port) in clients.iter().zip(ports) {
        let back = world.hand_in(TAP_A, &udp((A4, 6), ("100.64.7.7", port), b"y"));
        assert_eq!(back, Fate::Sent(udp((F6, 6), (client, 5), b"y")));
    }
}

#[test]
fn what_cannot_be_translated_is_dropped_by_name() {
    let mut world = serving("100.64.0.0/10");
    let sctp = raw_ip(C6, F6, 132, &[0, 5, 0, 6, 1, 2, 3, 4, 5, 6, 7, 8]);
    let no_ports = Fate::Dropped(DropReason::SnatProtocol);
    for frame in [sctp, raw_ip(C6, F6, 50, &[0; 20])] {
        assert_eq!(world.hand_in(TAP_B, &frame), no_ports);
    }
    let inside = unreachable(C6, F6, &udp((F6, 6), (C6, 5), b"x"));
    let unrelated = Fate::Dropped(DropReason::UnrelatedIcmpError);
    assert_eq!(world.hand_in(TAP_B, &inside), unrelated);
    world.table.maps_mut().set_nat64(None).unwrap();
    let fate = world.hand_in(TAP_B, &raw_ip(C6, F6, UDP, &[0, 5, 0, 6, 0, 8, 1, 1]));
    assert_eq!(fate, Fate::Dropped(DropReason::SnatExhausted));
}

/// A client that calls B by F6, on one host.
fn client_and_port() -> OneHost {
    let mut one = OneHost::new();
    let (a, b) = (&one.a, &one.b);
    let known_as = "100.64.0.1";
    a.ip("link set eth0 mtu 1500");
    a.ip(&format!("route add {F6}/128 dev eth0 mtu 1450"));
    a.knows(F6, MAC_B);
    b.ip(&format!("route add {known_as}/32 dev eth0"));
    b.knows(known_as, MAC_A);
    let maps = one.world.table.maps_mut();
    maps.set_port(ROUTER, RATE).unwrap();
    maps.set_nat64(Some("100.64.0.1/32".parse().unwrap()))
        .unwrap();
    one
}

/// Aggregates, checksums left to the device, and fragments, as the kernel makes them.
#[test]
fn an_ipv6_vm_talks_to_an_ipv4_one() {
    let OneHost {
        mut world,
        host: _host,
        a,
        b,
        taps,
    } = client_and_port();
    world.decide(taps[0], STATE_FORWARD, resume());
    world.decide(ROUTER, STATE_FORWARD, inward(taps[1], B4));
    world.decide(taps[1], STATE_REPLY, reply(taps[0]));
    exchange_with(&a, &b, (F6, B4));
    a.ping(F6, 56);
}

/// What comes up has its checksum made anew on its way down, by a device that does not know of the change.
#[test]
fn the_first_packets_come_by_the_agent() {
    let OneHost {
        world,
        host,
        a,
        b,
        taps,
    } = client_and_port();
    let decide = |key: &FlowKey| match key.in_port {
        ROUTER => inward(taps[1], B4),
        port if port == taps[0] => resume(),
        _ => reply(taps[0]),
    };
    with_agent(
        world,
        &host,
        decide,
        |_| (),
        || {
            exchange_with(&a, &b, (F6, B4));
            a.ping(F6, 56);
        },
    );
}
