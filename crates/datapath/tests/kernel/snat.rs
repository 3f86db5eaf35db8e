//! Source NAT: ports are claimed, kept, found again, given back and never given twice.

use crate::{
    forwarding::{OneHost, exchange, with_agent},
    frames::*,
    outside::{ROUTER, reply, resume, world},
    rewriting::{unreachable, written},
    world::{Fate, RATE, TAP_A, TAP_B, World, conn_key, local},
};
use bpf_abi::*;
use datapath::{Maps, Pool};
use flow::{DropReason, Mask};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};
use topology::Tag;
use wire::protocol::{TCP, UDP};

/// Key of the router.
const KEY: u32 = 9;
/// Its address, that A and others share.
const P4: &str = "203.0.113.9";
/// Other ends.
const C4: &str = "198.51.100.3";
const SECOND: u64 = 1_000_000_000;

fn pool(blocks: &[u8]) -> Pool {
    Pool {
        address: P4.parse().unwrap(),
        blocks: blocks.iter().copied().collect(),
    }
}

/// Out to the outside from the pool.
fn shared(to: u32) -> Action {
    Action {
        flags: ACTION_SNAT,
        record: ROUTER,
        ..local(to)
    }
}

/// A host where A shares P4.
fn sharing(blocks: &[u8]) -> World {
    let mut world = world();
    world.table.maps_mut().set_pool(KEY, &pool(blocks)).unwrap();
    world.decide(TAP_A, STATE_FORWARD, shared(TAP_B));
    world.decide(ROUTER, STATE_REPLY, reply(TAP_A));
    world
}

/// The frame as it left, and its source port or identifier.
fn out(world: &mut World, frame: &[u8]) -> Result<(Vec<u8>, u16), DropReason> {
    match world.hand_in(TAP_A, frame) {
        Fate::Sent(sent) => {
            let at = if sent[23] == 1 { 38 } else { 34 };
            assert_eq!(sent[26..30], v4(P4));
            let port = u16::from_be_bytes([sent[at], sent[at + 1]]);
            Ok((sent, port))
        }
        Fate::Dropped(reason) => Err(reason),
        other => panic!("{other:?}"),
    }
}

fn port_of(world: &mut World, frame: &[u8]) -> u16 {
    out(world, frame).unwrap().1
}

/// A packet that has a port or identifier for its source, and one that answers it.
type Talk = (fn(&str, u16) -> Vec<u8>, fn(&str, u16) -> Vec<u8>);

const TALKS: [Talk; 4] = [
    (
        |s, p| udp((s, p), (B4, 6), b"odd"),
        |d, p| udp((B4, 6), (d, p), b"answer"),
    ),
    (
        |s, p| tcp((s, p), (B4, 6), SYN),
        |d, p| tcp((B4, 6), (d, p), SYN | ACK),
    ),
    (|s, p| ping(s, B4, p), |d, p| pong(B4, d, p)),
    (
        |s, p| without_checksum((s, p), (B4, 6)),
        |d, p| without_checksum((B4, 6), (d, p)),
    ),
];

fn without_checksum(src: (&str, u16), dst: (&str, u16)) -> Vec<u8> {
    let ports = [src.1.to_be_bytes(), dst.1.to_be_bytes()].concat();
    raw_ip(
        src.0,
        dst.0,
        UDP,
        &[&ports[..], &[0, 12, 0, 0, 1, 2, 3, 4]].concat(),
    )
}

#[test]
fn what_leaves_is_as_if_sent_from_the_pool_and_its_answer_comes_back() {
    let mut world = sharing(&[4, 200, 255]);
    for (asks, answers) in TALKS {
        for port in [0, 1, 5, 1024, 0xfffe, 0xffff] {
            let (sent, claimed) = out(&mut world, &asks(A4, port)).unwrap();
            assert_eq!(sent, asks(P4, claimed));
            assert!([4, 200, 255].contains(&(claimed >> 8)), "{claimed}");
            let back = world.hand_in(TAP_B, &answers(P4, claimed));
            assert_eq!(back, Fate::Sent(answers(A4, port)));
            for from in [B4, C4] {
                let error = world.hand_in(TAP_B, &unreachable(from, P4, &sent));
                assert_eq!(error, Fate::Sent(unreachable(from, A4, &asks(A4, port))));
            }
            let about = answers(A4, port);
            let error = world.hand_in(TAP_A, &unreachable(A4, B4, &about));
            let expected = unreachable(P4, B4, &answers(P4, claimed));
            assert_eq!(error, Fate::Sent(expected), "the VM's own error");
        }
    }
}

#[test]
fn fragments_leave_with_the_port_of_their_packet() {
    let mut world = sharing(&[4]);
    let first = |frame: Vec<u8>| {
        let mut frame = frame;
        frame[20] = 0x20;
        fix_ipv4(&mut frame);
        frame
    };
    let later = |src, dst| {
        let mut frame = raw_ip(src, dst, UDP, &[0xee; 16]);
        frame[18..20].copy_from_slice(&[0, 0]);
        frame[21] = 3;
        fix_ipv4(&mut frame);
        frame
    };
    let payload = [3; 16];
    let (sent, port) = out(&mut world, &first(udp((A4, 5), (B4, 6), &payload))).unwrap();
    assert_eq!(sent, first(udp((P4, port), (B4, 6), &payload)));
    let sent = world.hand_in(TAP_A, &later(A4, B4));
    assert_eq!(sent, Fate::Sent(later(P4, B4)));
    let back = world.hand_in(TAP_B, &first(udp((B4, 6), (P4, port), &payload)));
    assert_eq!(back, Fate::Sent(first(udp((B4, 6), (A4, 5), &payload))));
    let back = world.hand_in(TAP_B, &later(B4, P4));
    assert_eq!(back, Fate::Sent(later(B4, A4)));
}

#[test]
fn udp_and_echo_have_one_port_for_all_other_ends_and_never_share_it() {
    let mut world = sharing(&[4]);
    let of = |world: &mut World, src: (&str, u16), dst| port_of(world, &udp(src, dst, b"x"));
    let port = of(&mut world, (A4, 5), (B4, 6));
    for dst in [(B4, 7), (C4, 6), (C4, 7)] {
        assert_eq!(of(&mut world, (A4, 5), dst), port);
    }
    let echo = port_of(&mut world, &ping(A4, B4, 5));
    assert_eq!(port_of(&mut world, &ping(A4, C4, 5)), echo);

    let mut taken = BTreeSet::from([port]);
    let mut refused = 0;
    for host in 2..=3 {
        for sport in 0..200 {
            let src = format!("10.0.0.{host}");
            match out(&mut world, &udp((&src, sport), (B4, 6), b"x")) {
                Ok((_, port)) => assert!(taken.insert(port), "{port} twice"),
                Err(reason) => {
                    assert_eq!(reason, DropReason::SnatExhausted);
                    refused += 1;
                }
            }
        }
    }
    assert!(
        taken.len() > 240 && refused >= 145,
        "{} {refused}",
        taken.len()
    );
    let pools = world.table.maps().pools().unwrap();
    let counts = pools[0].2;
    assert_eq!(counts.failures, refused);
    assert!(counts.tries > counts.claims + refused * u64::from(CLAIM_TRIES - 1));
    let now = world.now();
    let used = world.table.maps().ports_in_use(now).unwrap();
    assert_eq!(used, BTreeMap::from([((KEY, 4), taken.len() as u32 + 1)]));

    // what has been silent for long gives its port away
    world.age_mappings(IDLE_MAPPING_NS);
    world.forget_connections();
    assert!(world.table.maps().ports_in_use(now).unwrap().is_empty());
    for sport in 0..200 {
        out(&mut world, &udp(("10.0.0.77", sport), (B4, 6), b"x")).unwrap();
    }
}

#[test]
fn a_mapped_port_takes_in_what_anybody_sends_to_it() {
    let mut world = sharing(&[4]);
    let key = FlowKey {
        in_port: ROUTER,
        flags: FLAG_TRANSLATED,
        ..FlowKey::default()
    };
    let mask = Mask(FlowKey {
        in_port: u32::MAX,
        state: 0xff,
        flags: 0xff,
        ..FlowKey::default()
    });
    world.install(key, mask, local(TAP_A));
    world.decide(TAP_A, STATE_REPLY, reply(TAP_B));
    let port = port_of(&mut world, &udp((A4, 5), (B4, 6), b"x"));
    let stranger = |to| udp((C4, 8), to, b"hello");
    for _ in 0..2 {
        let fate = world.hand_in(TAP_B, &stranger((P4, port)));
        assert_eq!(fate, Fate::Sent(stranger((A4, 5))));
    }
    let answer = |from| udp(from, (C4, 8), b"who?");
    let fate = world.hand_in(TAP_A, &answer((A4, 5)));
    assert_eq!(fate, Fate::Sent(answer((P4, port))));
    let other = port ^ 1;
    assert_eq!(
        world.hand_in(TAP_B, &stranger((P4, other))),
        Fate::Up(WHY_MISS)
    );
    let header = world.last_upcall.take().unwrap().0;
    assert_eq!((header.key.flags, header.key.dport), (0, other));
    // TCP has no such mappings
    let syn = tcp((C4, 8), (P4, port), SYN);
    assert_eq!(world.hand_in(TAP_B, &syn), Fate::Up(WHY_MISS));
}

#[test]
fn tcp_ports_are_those_of_one_other_end_and_closed_ones_are_used_again() {
    let mut world = sharing(&[4]);
    for host in 1..=200 {
        for dport in [80, 443] {
            let dst = format!("198.51.100.{host}");
            out(&mut world, &tcp((A4, 5), (&dst, dport), SYN)).unwrap();
        }
    }
    let open = |sport| tcp((A4, sport), (B4, 6), SYN);
    let mut taken = BTreeMap::new();
    let mut refused = Vec::new();
    for sport in 1000..1300 {
        match out(&mut world, &open(sport)) {
            Ok((_, port)) => assert_eq!(taken.insert(port, sport), None, "{port} twice"),
            Err(reason) => {
                assert_eq!(reason, DropReason::SnatExhausted);
                refused.push(sport);
            }
        }
    }
    assert!(taken.len() > 240 && refused.len() >= 44, "{}", taken.len());
    for (port, sport) in &taken {
        let fin = world.hand_in(TAP_A, &tcp((A4, *sport), (B4, 6), FIN | ACK));
        let expected = tcp((P4, *port), (B4, 6), FIN | ACK);
        assert_eq!(fin, Fate::Sent(expected));
    }
    assert!(out(&mut world, &open(refused[0])).is_err(), "too soon");
    for port in taken.keys() {
        world.age(&conn_key(ROUTER, TCP, (B4, 6), (P4, *port)), 3 * SECOND);
    }
    for sport in &refused[..40] {
        out(&mut world, &open(*sport)).unwrap();
    }
    // who does not open a connection gets no port that may be in use
    let late = tcp((A4, refused[43]), (B4, 6), ACK);
    assert_eq!(out(&mut world, &late), Err(DropReason::SnatExhausted));
}

#[test]
fn a_connection_finds_its_port_again_when_half_of_it_is_lost() {
    let mut world = sharing(&[4, 5, 6, 7]);
    let talks = [
        |sport| udp((A4, sport), (B4, 6), b"x"),
        |sport| tcp((A4, sport), (B4, 6), ACK),
    ];
    for (talk, proto) in talks.into_iter().zip([UDP, TCP]) {
        let ports: Vec<u16> = (0..300).map(|s| port_of(&mut world, &talk(s))).collect();
        for (sport, port) in (0..300).zip(&ports) {
            world.forget_connection(&conn_key(TAP_A, proto, (A4, sport), (B4, 6)));
            assert_eq!(port_of(&mut world, &talk(sport)), *port);
        }
        // the record alone comes again with the next refresh
        let (own, record) = (
            conn_key(TAP_A, proto, (A4, 7), (B4, 6)),
            conn_key(ROUTER, proto, (B4, 6), (P4, ports[7])),
        );
        world.forget_connection(&record);
        world.age(&own, 2 * SECOND);
        assert_eq!(port_of(&mut world, &talk(7)), ports[7]);
        let found = world.conn(ROUTER, proto, (B4, 6), (P4, ports[7])).unwrap();
        assert_eq!((found.to.dst, found.to.dport), (written(A4), 7));
    }
}

#[test]
fn a_port_that_was_lost_to_another_is_not_used() {
    let mut world = sharing(&[4]);
    let mine = |flags| tcp((A4, 5), (B4, 6), flags);
    let port = port_of(&mut world, &mine(SYN));
    world.forget_connection(&conn_key(ROUTER, TCP, (B4, 6), (P4, port)));
    let mut sports = 6..u16::MAX;
    let other = sports
        .find(|s| out(&mut world, &tcp((A4, *s), (B4, 6), SYN)).is_ok_and(|(_, p)| p == port));
    let own = conn_key(TAP_A, TCP, (A4, 5), (B4, 6));
    world.age(&own, 2 * SECOND);
    assert_ne!(port_of(&mut world, &mine(ACK)), port);
    let record = world.conn(ROUTER, TCP, (B4, 6), (P4, port)).unwrap();
    assert_eq!(Some(record.to.dport), other);
}

#[test]
fn a_block_that_was_taken_away_is_left() {
    let mut world = sharing(&[4, 5]);
    let talks = [
        |sport| udp((A4, sport), (B4, 6), b"x"),
        |sport| tcp((A4, sport), (B4, 6), ACK),
    ];
    for talk in talks {
        let maps = world.table.maps_mut();
        maps.set_pool(KEY, &pool(&[4, 5])).unwrap();
        let before: Vec<u16> = (0..50).map(|s| port_of(&mut world, &talk(s))).collect();
        world.table.maps_mut().set_pool(KEY, &pool(&[5])).unwrap();
        let tags = BTreeSet::from([Tag::Host("test".into())]);
        world.table.invalidate(&tags).unwrap();
        world.decide(TAP_A, STATE_FORWARD, shared(TAP_B));
        for (sport, old) in (0..50).zip(before) {
            let new = port_of(&mut world, &talk(sport));
            assert_eq!(new >> 8, 5);
            assert!(old >> 8 == 4 || new == old, "what may stay stays");
        }
    }
}

#[test]
fn what_cannot_be_shared_is_dropped_by_name() {
    let mut world = sharing(&[4]);
    let no_ports = Fate::Dropped(DropReason::SnatProtocol);
    let timestamp = raw_ip(A4, B4, 1, &[13, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
    let sctp = raw_ip(A4, B4, 132, &[0, 5, 0, 6, 1, 2, 3, 4, 5, 6, 7, 8]);
    for frame in [raw_ip(A4, B4, 50, &[0; 20]), sctp, timestamp] {
        assert_eq!(world.hand_in(TAP_A, &frame), no_ports);
    }
    let error = unreachable(A4, B4, &udp((B4, 6), (A4, 5), b"x"));
    let fate = world.hand_in(TAP_A, &error);
    assert_eq!(fate, Fate::Dropped(DropReason::UnrelatedIcmpError));
    let frame = udp((A4, 5), (B4, 6), b"x");
    world.table.maps_mut().set_pool(KEY, &pool(&[])).unwrap();
    let exhausted = Fate::Dropped(DropReason::SnatExhausted);
    assert_eq!(world.hand_in(TAP_A, &frame), exhausted);
    world.table.maps_mut().remove_pool(KEY).unwrap();
    assert_eq!(world.hand_in(TAP_A, &frame), exhausted);
    assert!(world.table.maps().connections(10).unwrap().is_empty());
}

/// One host where B knows A as P4.
fn sharing_vms() -> OneHost {
    let mut one = OneHost::new();
    one.b.ip(&format!("route add {P4}/32 dev eth0"));
    one.b.knows(P4, MAC_A);
    let maps = one.world.table.maps_mut();
    maps.set_port(ROUTER, RATE).unwrap();
    maps.set_pool(KEY, &pool(&[77])).unwrap();
    one
}

#[test]
fn the_first_packets_come_by_the_agent() {
    let OneHost {
        world,
        host,
        a,
        b,
        taps,
    } = sharing_vms();
    let decide = |key: &FlowKey| match key.in_port {
        ROUTER => reply(taps[0]),
        port if port == taps[0] => shared(taps[1]),
        _ => resume(),
    };
    with_agent(
        world,
        &host,
        decide,
        |_| (),
        || {
            exchange(&a, &b, B4);
            a.ping(B4, 56);
        },
    );
}

/// Aggregates, checksums left to the device, and fragments, as the kernel makes them.
#[test]
fn vms_talk_through_shared_addresses() {
    let OneHost {
        mut world,
        host: _host,
        a,
        b,
        taps,
    } = sharing_vms();
    world.decide(taps[0], STATE_FORWARD, shared(taps[1]));
    world.decide(taps[1], STATE_FORWARD, resume());
    world.decide(ROUTER, STATE_REPLY, reply(taps[0]));
    exchange(&a, &b, B4);
    a.ping(B4, 56);
    a.ping(B4, 3000);
    let now = world.now();
    let used = world.table.maps().ports_in_use(now).unwrap();
    assert!(used[&(KEY, 77)] >= 5, "{used:?}");
}

/// One step of what may happen to shared addresses.
#[derive(Clone, Debug)]
enum Step {
    /// An inside end speaks: host, port, remote, TCP or UDP.
    Speak(u8, u16, u8, bool),
    /// Every remote answers all that it was spoken to by.
    Answer,
    /// An inside entry is lost, or its record.
    Lose(u8, bool),
    /// All entries age by this many seconds.
    Age(u64),
    /// The router has these blocks now, two bits.
    Lease(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..40u8, 0..8u16, 0..2u8, any::<bool>()).prop_map(|(a, b, c, d)| Step::Speak(a, b, c, d)),
        2 => Just(Step::Answer),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(n, own)| Step::Lose(n, own)),
        1 => prop_oneof![Just(2), Just(70), Just(IDLE_MAPPING_NS / SECOND)].prop_map(Step::Age),
        1 => (1..4u8).prop_map(Step::Lease),
    ]
}

/// Who spoke, to whom, and from which port of the pool last.
type Spoken = BTreeMap<(bool, String, u16, u8), u16>;

fn between(tcp_not_udp: bool, src: (&str, u16), dst: (&str, u16)) -> Vec<u8> {
    match tcp_not_udp {
        true => tcp(src, dst, ACK),
        false => udp(src, dst, b"x"),
    }
}

/// An answer is delivered to who spoke last from its port, or to nobody.
fn answers_go_home(world: &mut World, spoken: &Spoken) {
    for ((is_tcp, host, sport, remote), port) in spoken {
        let remote = format!("198.51.100.{remote}");
        let answer = |to| between(*is_tcp, (&remote, 6), to);
        match world.hand_in(TAP_B, &answer((P4, *port))) {
            Fate::Sent(frame) => {
                let home = frame == answer((host, *sport));
                assert!(home, "{is_tcp} {host}:{sport} from {port}: {frame:?}");
            }
            Fate::Up(WHY_MISS) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn age(world: &mut World, seconds: u64) {
    let all = world.table.maps().connections(usize::MAX).unwrap();
    for (key, _) in all {
        world.age(&key, seconds * SECOND);
    }
    world.age_mappings(seconds * SECOND);
}

fn lease(world: &mut World, bits: u8) {
    let blocks: Vec<u8> = (0..2)
        .filter(|b| bits >> b & 1 != 0)
        .map(|b| b + 4)
        .collect();
    world
        .table
        .maps_mut()
        .set_pool(KEY, &pool(&blocks))
        .unwrap();
    let tags = BTreeSet::from([Tag::Host("test".into())]);
    world.table.invalidate(&tags).unwrap();
    world.decide(TAP_A, STATE_FORWARD, shared(TAP_B));
    world.decide(TAP_B, STATE_FORWARD, resume());
    world.decide(ROUTER, STATE_REPLY, reply(TAP_A));
}

fn live(world: &mut World, steps: &[Step]) {
    let mut spoken = Spoken::new();
    for step in steps {
        match step {
            Step::Speak(host, sport, remote, is_tcp) => {
                let src = format!("10.0.1.{host}");
                let dst = format!("198.51.100.{remote}");
                let frame = between(*is_tcp, (&src, *sport), (&dst, 6));
                let who = (*is_tcp, src.clone(), *sport, *remote);
                let Ok((sent, port)) = out(world, &frame) else {
                    spoken.remove(&who);
                    continue;
                };
                assert_eq!(sent, between(*is_tcp, (P4, port), (&dst, 6)));
                spoken.retain(|(t, _, _, r), p| (*t, *r, *p) != (*is_tcp, *remote, port));
                if !is_tcp {
                    // no other owner of the port, whatever the remote
                    spoken.retain(|(t, h, s, _), p| *t || *p != port || (h, s) == (&src, sport));
                }
                spoken.insert(who, port);
            }
            Step::Answer => answers_go_home(world, &spoken),
            Step::Lose(n, own) => {
                let all = world.table.maps().connections(usize::MAX).unwrap();
                let mut some = all.iter().filter(|(k, _)| (k.in_port == TAP_A) == *own);
                if let Some((key, _)) = some.nth(usize::from(*n) % 16) {
                    world.forget_connection(key);
                    age(world, 2); // claims are confirmed once a second
                }
            }
            Step::Age(seconds) => age(world, *seconds),
            Step::Lease(bits) => lease(world, *bits),
        }
    }
}

#[test]
fn whatever_happens_no_answer_goes_to_another() {
    let config = Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    };
    let mut world = sharing(&[4]);
    for port in [ROUTER, TAP_A, TAP_B] {
        // the agent is asked as often as it takes
        world.table.maps_mut().set_port(port, 1_000_000).unwrap();
    }
    let world = RefCell::new(world);
    let mut runner = TestRunner::new(config);
    let done = runner.run(&vec(step(), 1..200), |steps| {
        let mut world = world.borrow_mut();
        world.forget_connections();
        world.age_mappings(IDLE_MAPPING_NS);
        lease(&mut world, 1);
        live(&mut world, &steps);
        Ok(())
    });
    done.unwrap();
}
