//! Packets to and from the outside: handed over at a router, and translated by what is recorded there.

use crate::{
    frames::*,
    rewriting::{Build, PACKETS, unreachable, written},
    world::{Fate, RATE, TAP_A, TAP_B, World, local},
};
use bpf_abi::*;
use datapath::Maps;
use flow::{DropReason, Mask};
use wire::protocol::{TCP, UDP};

/// A router of this host.
pub const ROUTER: u32 = router_number(9);
/// What A is to the outside.
pub const F4: &str = "203.0.113.7";
pub const F6: &str = "2001:db8:f::7";
/// A router on the way.
const T4: &str = "198.51.100.9";
const T6: &str = "2001:db8:99::9";

const FAMILIES: [(u8, [&str; 4]); 2] = [(4, [A4, B4, F4, T4]), (6, [A6, B6, F6, T6])];

/// A host where A is plugged in, and the uplink to B.
pub fn world() -> World {
    let mut world = World::new();
    let maps = world.table.maps_mut();
    maps.set_port(ROUTER, RATE).unwrap();
    world.decide(TAP_B, STATE_FORWARD, resume());
    world
}

pub fn resume() -> Action {
    Action {
        kind: ACTION_RESUME,
        ifindex: ROUTER,
        ..Action::default()
    }
}

/// Lets a reply through as it is.
pub fn reply(to: u32) -> Action {
    Action {
        flags: ACTION_REPLY,
        ..local(to)
    }
}

/// To A, whose address outside is another.
fn inward(to: &str) -> Action {
    Action {
        flags: ACTION_DST,
        dst: written(to),
        ..local(TAP_A)
    }
}

/// From A, under its address outside.
fn outward(from: &str) -> Action {
    Action {
        flags: ACTION_SRC,
        src: written(from),
        record: ROUTER,
        ..local(TAP_B)
    }
}

fn sent(fate: Fate) -> Vec<u8> {
    match fate {
        Fate::Sent(frame) => frame,
        other => panic!("{other:?}"),
    }
}

/// Packets whose answer is one of the same kind with the ends turned round.
fn questions() -> impl Iterator<Item = &'static (&'static str, Build)> {
    let alone = ["ping", "later fragment"];
    let wanted = move |name: &str| !alone.contains(&name) && !name.starts_with("error");
    PACKETS.iter().filter(move |(name, _)| wanted(name))
}

/// The same packet in the other direction: its ports change places as its addresses do.
fn answered(frame: &[u8], src: &str, dst: &str) -> Vec<u8> {
    let proto = if frame[14] >> 4 == 4 {
        frame[23]
    } else {
        frame[20]
    };
    match proto {
        TCP => tcp((src, 6), (dst, 5), SYN | ACK),
        UDP => udp((src, 6), (dst, 5), b"answer"),
        _ => raw_ip(src, dst, 132, &[0, 6, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8]),
    }
}

#[test]
fn what_comes_from_outside_goes_on_at_its_router_and_its_answer_is_as_from_there() {
    for (family, [a, b, f, _]) in FAMILIES {
        let mut world = world();
        world.decide(ROUTER, STATE_FORWARD, inward(a));
        world.decide(TAP_A, STATE_REPLY, reply(TAP_B));
        for (name, build) in PACKETS {
            let fate = world.hand_in(TAP_B, &build(b, f));
            assert_eq!(fate, Fate::Sent(build(b, a)), "IPv{family} {name}");
        }
        for (name, build) in questions().filter(|(name, _)| !name.contains("fragment")) {
            let question = build(b, a);
            let back = answered(&question, a, b);
            let expected = answered(&question, f, b);
            let fate = world.hand_in(TAP_A, &back);
            assert_eq!(fate, Fate::Sent(expected), "IPv{family} {name}");
            if *name != "sctp" {
                let error = unreachable(a, b, &question);
                let expected = unreachable(f, b, &build(b, f));
                assert_eq!(world.hand_in(TAP_A, &error), Fate::Sent(expected), "{name}");
            }
        }
        let pong = |from| pong(from, b, 9);
        assert_eq!(world.hand_in(TAP_A, &pong(a)), Fate::Sent(pong(f)));
    }
}

#[test]
fn what_answers_an_own_connection_comes_in_by_its_record() {
    for (family, [a, b, f, t]) in FAMILIES {
        let mut world = world();
        world.decide(TAP_A, STATE_FORWARD, outward(f));
        world.decide(ROUTER, STATE_REPLY, reply(TAP_A));
        for (name, build) in questions() {
            let question = build(a, b);
            let outside = sent(world.hand_in(TAP_A, &question));
            assert_eq!(outside, build(f, b), "IPv{family} {name}");
            let answer = |to| answered(&question, b, to);
            let fate = world.hand_in(TAP_B, &answer(f));
            assert_eq!(fate, Fate::Sent(answer(a)), "IPv{family} {name}");
            if *name == "sctp" || name.contains("fragment") {
                continue; // no sum to compare, and headers that are not followed in errors
            }
            for from in [b, t] {
                let error = world.hand_in(TAP_B, &unreachable(from, f, &outside));
                let expected = unreachable(from, a, &question);
                assert_eq!(
                    error,
                    Fate::Sent(expected),
                    "IPv{family} {name} from {from}"
                );
            }
        }
        let record = world.conn(ROUTER, UDP, (b, 6), (f, 5)).unwrap();
        assert_eq!((record.state, record.flags), (STATE_REPLY, CONN_TRANSLATED));
        assert_eq!((record.to.dst, record.to.dport), (written(a), 5));
        assert!(
            world
                .conn(TAP_B, UDP, (b, 6), (f, 5))
                .is_some_and(|c| c.flags == 0)
        );
    }
}

#[test]
fn a_forwarded_port_is_another_one_inside() {
    for (family, [a, b, f, _]) in FAMILIES {
        let mut world = world();
        for port in [0, 1, 80, 0xfffe, 0xffff] {
            let forwarded = Action {
                flags: ACTION_DST | ACTION_DST_PORT,
                dst_port: port,
                ..inward(a)
            };
            world.decide(ROUTER, STATE_FORWARD, forwarded);
            world.decide(TAP_A, STATE_REPLY, reply(TAP_B));
            world.forget_connections();
            for open in [
                |s: (&str, u16), d: (&str, u16)| udp(s, d, b"odd"),
                |s: (&str, u16), d: (&str, u16)| tcp(s, d, ACK),
            ] {
                let (outside, inside) = (open((b, 5), (f, 0xffff)), open((b, 5), (a, port)));
                let fate = world.hand_in(TAP_B, &outside);
                assert_eq!(fate, Fate::Sent(inside.clone()), "IPv{family} {port}");
                let fate = world.hand_in(TAP_A, &open((a, port), (b, 5)));
                assert_eq!(fate, Fate::Sent(open((f, 0xffff), (b, 5))), "{port}");
                let error = world.hand_in(TAP_A, &unreachable(a, b, &inside));
                assert_eq!(error, Fate::Sent(unreachable(f, b, &outside)), "{port}");
                let (answer, seen) = (open((a, port), (b, 5)), open((f, 0xffff), (b, 5)));
                let error = world.hand_in(TAP_B, &unreachable(b, f, &seen));
                assert_eq!(error, Fate::Sent(unreachable(b, a, &answer)), "{port}");
            }
        }
    }
}

/// What comes up must be able to come back: the key is translated, the frame is not.
#[test]
fn a_reply_that_nobody_has_decided_goes_up_as_it_came() {
    let mut world = world();
    world.decide(TAP_A, STATE_FORWARD, outward(F4));
    world.hand_in(TAP_A, &udp((A4, 5), (B4, 6), b"x"));
    let answer = udp((B4, 6), (F4, 5), b"answer");
    assert_eq!(world.hand_in(TAP_B, &answer), Fate::Up(WHY_MISS));
    let (header, frame) = world.last_upcall.take().unwrap();
    assert_eq!(frame, answer);
    assert_eq!(
        (header.key.in_port, header.key.state),
        (ROUTER, STATE_REPLY)
    );
    assert_eq!(header.key.flags, FLAG_TRANSLATED);
    assert_eq!((header.key.dst, header.key.dport), (written(A4), 5));

    let key = FlowKey {
        flags: FLAG_TRANSLATED,
        ..header.key
    };
    let mask = Mask(FlowKey {
        in_port: u32::MAX,
        flags: 0xff,
        dst: [0xff; 16],
        ..FlowKey::default()
    });
    world.install(key, mask, reply(TAP_A));
    let inside = udp((B4, 6), (A4, 5), b"answer");
    let again = world.inject(MARK_FROM_PORT | ROUTER, 0, &frame);
    assert_eq!(again, Fate::Sent(inside.clone()));
    // the entry keeps what it translates when it is decided again
    world.table.clear().unwrap();
    world.decide(TAP_B, STATE_FORWARD, resume());
    world.decide(ROUTER, STATE_REPLY, reply(TAP_A));
    for _ in 0..2 {
        assert_eq!(world.hand_in(TAP_B, &answer), Fate::Sent(inside.clone()));
    }
}

#[test]
fn a_moved_address_leads_new_connections_to_its_new_port() {
    let mut world = world();
    world.decide(TAP_A, STATE_FORWARD, outward(F4));
    world.decide(ROUTER, STATE_REPLY, reply(TAP_A));
    let open = |from| tcp((from, 5), (B4, 6), SYN);
    assert_eq!(world.hand_in(TAP_A, &open(A4)), Fate::Sent(open(F4)));
    let other = "10.0.0.9";
    assert_eq!(world.hand_in(TAP_A, &open(other)), Fate::Sent(open(F4)));
    let answer = |to| tcp((B4, 6), (to, 5), SYN | ACK);
    assert_eq!(world.hand_in(TAP_B, &answer(F4)), Fate::Sent(answer(other)));
}

#[test]
fn routers_that_lead_to_routers_end() {
    let mut world = world();
    world.decide(ROUTER, STATE_FORWARD, resume());
    let frame = udp((B4, 5), (F4, 6), b"x");
    let lost = Fate::Dropped(DropReason::TooManyDevices);
    assert_eq!(world.hand_in(TAP_B, &frame), lost);
    let arp = [&[0xff; 6][..], &MAC_A, &[8, 6], &[0; 28]].concat();
    let fate = world.inject(MARK_FROM_PORT | ROUTER, 0, &arp);
    assert_eq!(fate, Fate::Dropped(DropReason::EtherType));
    let fate = world.inject(MARK_TO_PORT | ROUTER, 0, &frame);
    assert_eq!(fate, Fate::Dropped(DropReason::PortUnknown));
}

/// Cut anywhere, an error about a translated connection is delivered right or dropped by name.
#[test]
fn cut_errors_are_translated_or_dropped() {
    for (_, [a, b, f, _]) in FAMILIES {
        let mut world = world();
        world.decide(TAP_A, STATE_FORWARD, outward(f));
        world.decide(ROUTER, STATE_REPLY, reply(TAP_A));
        for build in [
            |s: &str, d: &str| udp((s, 5), (d, 6), b"x"),
            |s: &str, d: &str| tcp((s, 5), (d, 6), SYN),
            |s: &str, d: &str| ping(s, d, 5),
        ] {
            let question = build(a, b);
            let outside = sent(world.hand_in(TAP_A, &question));
            for cut in (14..outside.len()).step_by(2) {
                let fate = world.hand_in(TAP_B, &unreachable(b, f, &outside[..cut]));
                let expected = unreachable(b, a, &question[..cut]);
                match fate {
                    Fate::Dropped(reason) => assert_eq!(reason, DropReason::UnrelatedIcmpError),
                    other => assert_eq!(other, Fate::Sent(expected), "{cut}"),
                }
            }
            // an error about an error is about nothing
            let about = unreachable(f, b, &outside);
            let fate = world.hand_in(TAP_B, &unreachable(b, f, &about));
            assert_eq!(fate, Fate::Dropped(DropReason::UnrelatedIcmpError));
        }
    }
}
