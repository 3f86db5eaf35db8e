//! Every branch of the pipeline, frame by frame.

use crate::{
    frames::*,
    world::{Fate, RATE, TAP_A, TAP_B, World, conn_key, local, refuse},
};
use bpf_abi::*;
use datapath::Maps;
use flow::{DropReason, Mask};
use wire::protocol::{TCP, UDP};

fn exact() -> Mask {
    Mask::exact()
}

#[test]
fn a_packet_nobody_decided_goes_up_with_its_key() {
    let mut world = World::new();
    let frame = udp((A4, 1000), (B4, 53), b"question");
    assert_eq!(world.hand_in(TAP_A, &frame), Fate::Up(WHY_MISS));
    let (header, bytes) = world.last_upcall.take().unwrap();
    assert_eq!(bytes, frame);
    assert_eq!(
        (header.len, header.captured, header.vni),
        (frame.len() as u32, frame.len() as u32, 0)
    );
    let expected = FlowKey {
        in_port: TAP_A,
        ..flow::parse(&frame).unwrap().key
    };
    assert_eq!((header.parsed, header.key), (1, expected));
}

#[test]
fn a_decision_makes_entries_for_both_directions_and_later_packets_use_them() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    let frame = tcp((A4, 1000), (B4, 80), SYN);
    assert_eq!(world.hand_in(TAP_A, &frame), Fate::Sent(frame.clone()));
    let forward = world.conn(TAP_A, TCP, (A4, 1000), (B4, 80)).unwrap();
    assert_eq!((forward.state, forward.packets), (STATE_FORWARD, 1));
    let reply = world.conn(TAP_B, TCP, (B4, 80), (A4, 1000)).unwrap();
    assert_eq!((reply.state, reply.action), (STATE_REPLY, 0));

    assert!(world.hand_in(TAP_A, &tcp((A4, 1000), (B4, 80), ACK)).sent());
    assert_eq!(
        world
            .conn(TAP_A, TCP, (A4, 1000), (B4, 80))
            .unwrap()
            .packets,
        2
    );
    // the answer is asked for as a reply
    let answer = tcp((B4, 80), (A4, 1000), SYN | ACK);
    assert_eq!(world.hand_in(TAP_B, &answer), Fate::Up(WHY_MISS));
    assert_eq!(world.last_upcall.as_ref().unwrap().0.key.state, STATE_REPLY);
    world.decide(
        TAP_B,
        STATE_REPLY,
        Action {
            flags: ACTION_REPLY,
            ..local(TAP_A)
        },
    );
    assert!(world.hand_in(TAP_B, &answer).sent());
    assert_eq!(
        world.conn(TAP_B, TCP, (B4, 80), (A4, 1000)).unwrap().state,
        STATE_REPLY
    );
}

impl Fate {
    fn sent(&self) -> bool {
        matches!(self, Fate::Sent(_))
    }
}

#[test]
fn a_new_syn_on_a_reply_entry_is_judged_as_an_opening() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    world.decide(
        TAP_B,
        STATE_REPLY,
        Action {
            flags: ACTION_REPLY,
            ..local(TAP_A)
        },
    );
    assert!(world.hand_in(TAP_A, &tcp((A4, 1000), (B4, 80), SYN)).sent());
    assert!(
        world
            .hand_in(TAP_B, &tcp((B4, 80), (A4, 1000), SYN | ACK))
            .sent()
    );
    assert_eq!(
        world.hand_in(TAP_B, &tcp((B4, 80), (A4, 1000), SYN)),
        Fate::Up(WHY_MISS)
    );
    assert_eq!(
        world.last_upcall.as_ref().unwrap().0.key.state,
        STATE_FORWARD
    );
}

#[test]
fn a_reset_closes_both_entries_and_a_syn_opens_them_again() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    let flags = |world: &World| {
        let forward = world.conn(TAP_A, TCP, (A4, 1000), (B4, 80)).unwrap();
        let reply = world.conn(TAP_B, TCP, (B4, 80), (A4, 1000)).unwrap();
        (forward.flags, reply.flags)
    };
    assert!(world.hand_in(TAP_A, &tcp((A4, 1000), (B4, 80), SYN)).sent());
    assert_eq!(flags(&world), (0, 0));
    assert!(world.hand_in(TAP_A, &tcp((A4, 1000), (B4, 80), RST)).sent());
    assert_eq!(flags(&world), (CONN_CLOSING, CONN_CLOSING));
    assert!(world.hand_in(TAP_A, &tcp((A4, 1000), (B4, 80), SYN)).sent());
    assert_eq!(flags(&world), (0, 0));
}

#[test]
fn a_withdrawn_decision_stops_its_connections_but_they_keep_their_state() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    world.decide(
        TAP_B,
        STATE_REPLY,
        Action {
            flags: ACTION_REPLY,
            ..local(TAP_A)
        },
    );
    let (there, back) = (udp((A4, 5), (B4, 6), b"x"), udp((B4, 6), (A4, 5), b"y"));
    assert!(world.hand_in(TAP_A, &there).sent());
    assert!(world.hand_in(TAP_B, &back).sent());
    let tags = [topology::Tag::Host("test".into())].into();
    assert_eq!(world.table.invalidate(&tags).unwrap(), 2);
    assert_eq!(world.hand_in(TAP_A, &there), Fate::Up(WHY_MISS));
    assert_eq!(world.hand_in(TAP_B, &back), Fate::Up(WHY_MISS));
    assert_eq!(world.last_upcall.as_ref().unwrap().0.key.state, STATE_REPLY);
    world.decide(
        TAP_A,
        STATE_FORWARD,
        refuse(DropReason::SecurityGroupEgress),
    );
    assert_eq!(
        world.hand_in(TAP_A, &there),
        Fate::Dropped(DropReason::SecurityGroupEgress)
    );
}

#[test]
fn other_macs_are_another_decision() {
    let mut world = World::new();
    let frame = udp((A4, 5), (B4, 6), b"x");
    let key = FlowKey {
        in_port: TAP_A,
        ..flow::parse(&frame).unwrap().key
    };
    world.install(key, exact(), local(TAP_B));
    assert!(world.hand_in(TAP_A, &frame).sent());
    let mut other = frame.clone();
    other[11] ^= 1;
    assert_eq!(world.hand_in(TAP_A, &other), Fate::Up(WHY_MISS));
    other = frame.clone();
    other[5] ^= 1;
    assert_eq!(world.hand_in(TAP_A, &other), Fate::Up(WHY_MISS));
}

#[test]
fn what_is_dropped_makes_no_entry() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, refuse(DropReason::NoRoute));
    let frame = udp((A4, 5), (B4, 6), b"x");
    assert_eq!(
        world.hand_in(TAP_A, &frame),
        Fate::Dropped(DropReason::NoRoute)
    );
    assert_eq!(world.table.maps().connections(10).unwrap(), []);
}

#[test]
fn an_untracked_packet_makes_no_reverse_entry() {
    let mut world = World::new();
    world.decide(
        TAP_A,
        STATE_FORWARD,
        Action {
            flags: 0,
            ..local(TAP_B)
        },
    );
    assert!(world.hand_in(TAP_A, &udp((A4, 5), (B4, 6), b"x")).sent());
    assert_eq!(world.table.maps().connections(10).unwrap().len(), 1);
}

#[test]
fn routed_packets_lose_hops_and_get_new_macs() {
    let mut world = World::new();
    let (smac, dmac) = ([2, 0, 0, 0, 9, 1], [2, 0, 0, 0, 9, 2]);
    world.decide(
        TAP_A,
        STATE_FORWARD,
        Action {
            hops: 2,
            smac,
            dmac,
            ..local(TAP_B)
        },
    );
    for (from, to) in [(A4, B4), (A6, B6)] {
        let frame = udp((from, 5), (to, 6), b"x");
        let mut routed = frame.clone();
        routed[..6].copy_from_slice(&dmac);
        routed[6..12].copy_from_slice(&smac);
        routed[if from == A4 { 22 } else { 21 }] = 62;
        if from == A4 {
            fix_ipv4(&mut routed);
        }
        assert_eq!(world.hand_in(TAP_A, &frame), Fate::Sent(routed));
        for ttl in [0, 1, 2] {
            let mut last = frame.clone();
            last[if from == A4 { 22 } else { 21 }] = ttl;
            if from == A4 {
                fix_ipv4(&mut last);
            }
            assert_eq!(
                world.hand_in(TAP_A, &last),
                Fate::Up(WHY_TTL),
                "{from} ttl {ttl}"
            );
        }
    }
}

#[test]
fn checksums_stay_right_for_every_ttl_and_identification() {
    let mut world = World::new();
    world.decide(
        TAP_A,
        STATE_FORWARD,
        Action {
            hops: 1,
            ..local(TAP_B)
        },
    );
    for id in (0..=u16::MAX).step_by(97) {
        let mut frame = udp((A4, 5), (B4, 6), b"x");
        frame[18..20].copy_from_slice(&id.to_be_bytes());
        frame[22] = (id % 254 + 2) as u8;
        fix_ipv4(&mut frame);
        let Fate::Sent(routed) = world.hand_in(TAP_A, &frame) else {
            panic!("id {id}")
        };
        assert!(flow::parse(&routed).is_ok(), "id {id}");
    }
}

#[test]
fn what_is_too_large_goes_up_and_aggregates_count_by_segment() {
    let mut world = World::new();
    world.decide(
        TAP_A,
        STATE_FORWARD,
        Action {
            mtu: 1400,
            ..local(TAP_B)
        },
    );
    for (from, to, header) in [(A4, B4, 28), (A6, B6, 48)] {
        let fits = udp((from, 5), (to, 6), &vec![0; 1400 - header]);
        assert!(world.hand_in(TAP_A, &fits).sent());
        let large = udp((from, 5), (to, 6), &vec![0; 1401 - header]);
        assert_eq!(world.hand_in(TAP_A, &large), Fate::Up(WHY_MTU));
    }
    let mut aggregate = tcp((A4, 5), (B4, 80), ACK);
    aggregate.extend(vec![7; 3000]);
    aggregate[16..18].copy_from_slice(&(3040u16).to_be_bytes());
    fix_ipv4(&mut aggregate);
    assert!(
        world
            .inject(MARK_FROM_PORT | TAP_A, 1360, &aggregate)
            .sent()
    );
    assert_eq!(
        world.inject(MARK_FROM_PORT | TAP_A, 1361, &aggregate),
        Fate::Up(WHY_MTU)
    );
    let (header, bytes) = world.last_upcall.take().unwrap();
    assert_eq!((header.gso_size, bytes), (1361, aggregate));
}

#[test]
fn control_frames_and_floods_go_up_whatever_is_decided() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    let mut arp = [&[0xff; 6][..], &MAC_A, &[8, 6]].concat();
    arp.extend([0; 28]);
    assert_eq!(world.hand_in(TAP_A, &arp), Fate::Up(WHY_CONTROL));
    let (header, _) = world.last_upcall.take().unwrap();
    assert_eq!(
        (header.parsed, header.key.in_port, header.key.smac),
        (0, TAP_A, MAC_A)
    );
    for (from, to, ports) in [
        ("0.0.0.0", "255.255.255.255", (68, 67)),
        (A6, "ff02::1:2", (546, 547)),
    ] {
        let dhcp = udp((from, ports.0), (to, ports.1), b"discover");
        assert_eq!(world.hand_in(TAP_A, &dhcp), Fate::Up(WHY_CONTROL));
        let other = udp((from, ports.1), (to, ports.0), b"offer");
        assert!(world.hand_in(TAP_A, &other).sent());
    }
    for kind in [130, 131, 132, 133, 134, 135, 136, 137, 143] {
        let frame = raw_ip(A6, "ff02::1", 58, &[kind, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            world.hand_in(TAP_A, &frame),
            Fate::Up(WHY_CONTROL),
            "type {kind}"
        );
    }
    let mut multicast = udp((A4, 1), ("224.0.0.251", 5353), b"mdns");
    multicast[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 0xfb]);
    assert_eq!(world.hand_in(TAP_A, &multicast), Fate::Up(WHY_FLOOD));
}

#[test]
fn bad_frames_are_dropped_by_name() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    let good = udp((A4, 1), (B4, 2), b"x");
    let with = |at: usize, byte: u8| {
        let mut frame = good.clone();
        frame[at] = byte;
        frame
    };
    let cases = [
        (good[..34].to_vec(), DropReason::Malformed),
        (with(14, 0x44), DropReason::Malformed),
        (with(14, 0x65), DropReason::Malformed),
        (with(17, 200), DropReason::Malformed),
        (with(24, good[24] ^ 1), DropReason::BadChecksum),
        (with(12, 0x81), DropReason::VlanTagged),
        (with(12, 0x90), DropReason::EtherType),
        (raw_ip(A4, B4, 6, &[0; 19]), DropReason::Malformed),
        (raw_ip(A4, B4, 17, &[0; 7]), DropReason::Malformed),
        (
            raw_ip(
                A6,
                B6,
                43,
                &[17, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 8, 0, 0],
            ),
            DropReason::ExtensionHeaders,
        ),
    ];
    for (frame, reason) in cases {
        assert_eq!(
            world.hand_in(TAP_A, &frame),
            Fate::Dropped(reason),
            "{frame:x?}"
        );
    }
}

#[test]
fn options_and_extension_headers_are_followed() {
    let mut world = World::new();
    let port = |world: &mut World, frame: &[u8]| {
        assert_eq!(
            world.hand_in(TAP_A, frame),
            Fate::Up(WHY_MISS),
            "{frame:x?}"
        );
        let key = world.last_upcall.take().unwrap().0.key;
        (key.proto, key.sport, key.dport)
    };
    let mut options = udp((A4, 7), (B4, 8), b"x");
    options.splice(34..34, [1, 1, 1, 1, 1, 1, 1, 0]);
    options[14] = 0x47;
    options[17] += 8;
    fix_ipv4(&mut options);
    assert_eq!(port(&mut world, &options), (UDP, 7, 8));
    let udp_header = [0, 7, 0, 8, 0, 8, 0, 0];
    let hop_by_hop = [60, 0, 1, 4, 0, 0, 0, 0];
    let destination = [17, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let frame = raw_ip(
        A6,
        B6,
        0,
        &[&hop_by_hop[..], &destination, &udp_header].concat(),
    );
    assert_eq!(port(&mut world, &frame), (UDP, 7, 8));
}

#[test]
fn later_fragments_follow_their_first() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    let mut first = udp((A4, 7), (B4, 8), &[0; 16]);
    first[20] = 0x20;
    fix_ipv4(&mut first);
    let mut later = raw_ip(A4, B4, UDP, &[0xee; 16]);
    later[18..20].copy_from_slice(&[first[18], first[19]]);
    later[21] = 3;
    fix_ipv4(&mut later);
    assert_eq!(
        world.hand_in(TAP_A, &later),
        Fate::Dropped(DropReason::FragmentUnknown)
    );
    assert!(world.hand_in(TAP_A, &first).sent());
    assert!(world.hand_in(TAP_A, &later).sent());
    assert_eq!(world.conn(TAP_A, UDP, (A4, 7), (B4, 8)).unwrap().packets, 2);
    assert_eq!(
        world.hand_in(TAP_B, &later),
        Fate::Dropped(DropReason::FragmentUnknown)
    );

    let header = |offset: u8, more: u8| [17, 0, 0, offset | more, 0, 0, 0, 9];
    let start = raw_ip(
        A6,
        B6,
        44,
        &[&header(0, 1)[..], &[0, 7, 0, 8, 0, 32, 0, 0]].concat(),
    );
    let rest = raw_ip(A6, B6, 44, &[&header(8, 0)[..], &[0xee; 24]].concat());
    assert_eq!(
        world.hand_in(TAP_A, &rest),
        Fate::Dropped(DropReason::FragmentUnknown)
    );
    assert!(world.hand_in(TAP_A, &start).sent());
    assert!(world.hand_in(TAP_A, &rest).sent());
    assert_eq!(world.conn(TAP_A, UDP, (A6, 7), (B6, 8)).unwrap().packets, 2);
}

#[test]
fn an_icmp_error_takes_the_path_of_the_connection_it_speaks_of() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    world.decide(
        TAP_B,
        STATE_REPLY,
        Action {
            flags: ACTION_REPLY,
            ..local(TAP_A)
        },
    );
    for (a, b) in [(A4, B4), (A6, B6)] {
        let there = udp((a, 5), (b, 6), b"x");
        let error = icmp_error(b, a, &there);
        assert_eq!(
            world.hand_in(TAP_B, &error),
            Fate::Up(WHY_MISS),
            "nothing to speak of yet"
        );
        let key = world.last_upcall.take().unwrap().0.key;
        assert_eq!((key.state, key.flags), (STATE_FORWARD, FLAG_ICMP_ERROR));
        assert!(world.hand_in(TAP_A, &there).sent());
        assert!(world.hand_in(TAP_B, &error).sent());
        let entry = world.conn(TAP_B, UDP, (b, 6), (a, 5)).unwrap();
        assert_eq!(
            (entry.action, entry.packets),
            (0, 0),
            "the error leaves the entry alone"
        );
    }
}

#[test]
fn an_icmp_error_of_somebody_on_the_way_asks_who_may_send_it() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    let reply = Action {
        flags: ACTION_REPLY,
        ..local(TAP_A)
    };
    let key = FlowKey {
        in_port: TAP_B,
        state: STATE_REPLY,
        ..FlowKey::default()
    };
    let mask = Mask(FlowKey {
        in_port: u32::MAX,
        state: u8::MAX,
        flags: u8::MAX,
        ..FlowKey::default()
    });
    world.install(key, mask, reply);
    for (a, b, router) in [(A4, B4, "203.0.113.1"), (A6, B6, "2001:db8:9::1")] {
        let there = udp((a, 5), (b, 6), b"x");
        let answer = udp((b, 6), (a, 5), b"y");
        assert!(world.hand_in(TAP_A, &there).sent());
        assert!(world.hand_in(TAP_B, &answer).sent());
        // the entry of the connection is in force, and yet it is asked
        let error = icmp_error(router, a, &there);
        assert_eq!(world.hand_in(TAP_B, &error), Fate::Up(WHY_MISS));
        let key = world.last_upcall.take().unwrap().0.key;
        let flags = FLAG_ICMP_ERROR | FLAG_TRANSIT_ERROR;
        assert_eq!((key.state, key.flags), (STATE_REPLY, flags));
    }
}

#[test]
fn pings_are_connections_by_identifier() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    world.decide(
        TAP_B,
        STATE_REPLY,
        Action {
            flags: ACTION_REPLY,
            ..local(TAP_A)
        },
    );
    for (a, b) in [(A4, B4), (A6, B6)] {
        assert!(world.hand_in(TAP_A, &ping(a, b, 77)).sent());
        assert!(world.hand_in(TAP_B, &pong(b, a, 77)).sent());
        assert_eq!(world.hand_in(TAP_B, &pong(b, a, 78)), Fate::Up(WHY_MISS));
    }
}

#[test]
fn a_port_makes_no_more_upcalls_than_it_may() {
    let mut world = World::new();
    world.table.maps_mut().set_port(TAP_A, 3).unwrap();
    let mut frame = |port: u16| world.hand_in(TAP_A, &udp((A4, port), (B4, 1), b"x"));
    let fates: Vec<Fate> = (0..5).map(&mut frame).collect();
    assert_eq!(
        fates[..3],
        [Fate::Up(WHY_MISS), Fate::Up(WHY_MISS), Fate::Up(WHY_MISS)]
    );
    assert!(
        fates[3..].contains(&Fate::Dropped(DropReason::UpcallRate)),
        "{fates:?}"
    );
    assert_eq!(
        world.hand_in(TAP_B, &udp((B4, 1), (A4, 1), b"x")),
        Fate::Up(WHY_MISS)
    );
    let ports = world.table.maps().ports().unwrap();
    let upcalls = |port: u32| ports.iter().find(|(i, _)| *i == port).unwrap().1.upcalls;
    assert_eq!((upcalls(TAP_A), upcalls(TAP_B)), (3, 1));
}

#[test]
fn a_tap_that_is_not_a_port_is_not_served() {
    let mut world = World::new();
    world.table.maps_mut().remove_port(TAP_A).unwrap();
    let fate = world.hand_in(TAP_A, &udp((A4, 1), (B4, 1), b"x"));
    assert_eq!(fate, Fate::Dropped(DropReason::PortUnknown));
}

#[test]
fn a_full_ring_is_counted_and_drains_again() {
    let mut world = World::new();
    world.table.maps_mut().set_port(TAP_A, u32::MAX).unwrap();
    let frame = udp((A4, 1), (B4, 1), &[0; 1900]);
    let entry = datapath::Entry::Injected {
        mark: MARK_FROM_PORT | TAP_A,
        gso_size: 0,
    };
    for _ in 0..5000 {
        world
            .datapath
            .as_mut()
            .unwrap()
            .rehearse(entry, &frame)
            .unwrap();
    }
    let drops = world.table.maps().drops().unwrap();
    let full = drops
        .iter()
        .find(|(k, _)| k.reason == DropReason::UpcallRingFull as u32);
    assert!(full.unwrap().1.packets > 0);
    while world.upcalls.drain(64, |f| assert_eq!(f.bytes, frame)) > 0 {}
    world.table.maps_mut().set_port(TAP_A, RATE).unwrap();
    assert_eq!(world.hand_in(TAP_A, &frame), Fate::Up(WHY_MISS));
}

#[test]
fn frames_to_a_port_pass_as_they_are_and_chatter_does_not() {
    let mut world = World::new();
    let frame = udp((A4, 1), (B4, 1), b"x");
    assert_eq!(
        world.inject(MARK_TO_PORT | TAP_B, 0, &frame),
        Fate::Sent(frame.clone())
    );
    let chatter = datapath::Entry::Injected {
        mark: 0,
        gso_size: 0,
    };
    assert!(
        !world
            .datapath
            .as_mut()
            .unwrap()
            .rehearse(chatter, &frame)
            .unwrap()
            .redirected
    );
}

#[test]
fn an_idle_entry_is_as_good_as_none() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    world.decide(
        TAP_B,
        STATE_REPLY,
        Action {
            flags: ACTION_REPLY,
            ..local(TAP_A)
        },
    );
    let cases = [
        (UDP, 0, IDLE_OTHER_NS),
        (TCP, 0, IDLE_TCP_NS),
        (TCP, FIN, IDLE_CLOSING_NS),
    ];
    for (port, (proto, flags, limit)) in (1..).zip(cases) {
        let frame = |src, dst, flags| match proto {
            TCP => tcp(src, dst, flags | ACK),
            _ => udp(src, dst, b"x"),
        };
        let (there, back) = (
            frame((A4, port), (B4, 9), flags),
            frame((B4, 9), (A4, port), 0),
        );
        assert!(world.hand_in(TAP_A, &there).sent());
        let reply = conn_key(TAP_B, proto, (B4, 9), (A4, port));
        world.age(&reply, limit - 1_000_000_000);
        assert!(world.hand_in(TAP_B, &back).sent(), "{limit}: not yet");
        world.age(&reply, limit);
        assert_eq!(world.hand_in(TAP_B, &back), Fate::Up(WHY_MISS), "{limit}");
        assert_eq!(
            world.last_upcall.as_ref().unwrap().0.key.state,
            STATE_FORWARD
        );
    }
}

#[test]
fn a_packet_keeps_its_own_entry_and_the_reverse_alive() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    let frame = udp((A4, 1), (B4, 9), b"x");
    assert!(world.hand_in(TAP_A, &frame).sent());
    let keys = [
        conn_key(TAP_A, UDP, (A4, 1), (B4, 9)),
        conn_key(TAP_B, UDP, (B4, 9), (A4, 1)),
    ];
    let seen = |world: &World| {
        let all = world.table.maps().connections(10).unwrap();
        keys.map(|key| all.iter().find(|(k, _)| *k == key).unwrap().1.seen_ns)
    };
    let fresh = seen(&world);
    keys.iter().for_each(|key| world.age(key, 5_000_000_000));
    assert!(world.hand_in(TAP_A, &frame).sent());
    assert!(
        seen(&world)
            .iter()
            .zip(fresh)
            .all(|(now, then)| *now >= then)
    );
}

#[test]
fn large_frames_cost_more_of_a_ports_upcalls() {
    let mut world = World::new();
    world.table.maps_mut().set_port(TAP_A, 3).unwrap();
    let large = udp((A4, 1), (B4, 1), &[0; 2500]);
    assert_eq!(world.hand_in(TAP_A, &large), Fate::Up(WHY_MISS));
    assert_eq!(
        world.hand_in(TAP_A, &large),
        Fate::Dropped(DropReason::UpcallRate)
    );
    assert_eq!(world.hand_in(TAP_A, &ping(A4, B4, 1)), Fate::Up(WHY_MISS));
}

#[test]
fn tuples_are_turned_round_as_the_map_abi_says() {
    let mut world = World::new();
    world.decide(
        TAP_A,
        STATE_FORWARD,
        Action {
            mtu: 9000,
            ..local(TAP_B)
        },
    );
    let protocols = (0..=255)
        .filter(|p| ![0, 43, 44, 60].contains(p))
        .map(|p| (p, 0));
    let messages = (0..=255).flat_map(|kind| [(1, kind), (58, kind)]);
    for (proto, kind) in protocols.chain(messages) {
        for (a, b) in [(A4, B4), (A6, B6)] {
            let frame = raw_ip(
                a,
                b,
                proto,
                &[
                    kind, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x50, 0, 0, 0, 0, 0, 0, 0,
                ],
            );
            let Fate::Sent(_) = world.hand_in(TAP_A, &frame) else {
                continue;
            };
            let key = flow::parse(&frame).unwrap().key;
            let expected = reverse_ports(proto, key.sport, key.dport);
            let found = world.table.maps().connections(10).unwrap();
            let reply = found
                .iter()
                .find(|(k, _)| k.in_port == TAP_B)
                .map(|(k, _)| *k);
            let whole =
                expected.map(|(sport, dport)| conn_key(TAP_B, proto, (b, sport), (a, dport)));
            assert_eq!(reply, whole, "protocol {proto} type {kind}");
            world.forget_connections();
        }
    }
}
