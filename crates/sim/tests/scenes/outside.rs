//! Floating IPs and what is routed to the outside and back, in both stages.

use crate::{answered, decide, delivered, ip, reason, send};
use bpf_abi::{
    FLAG_TRANSIT_ERROR, FLAG_TRANSLATED, FlowKey, STATE_FORWARD, STATE_REPLY, reverse_ports,
};
use flow::{Decision, Destination, DropReason, Rewrite, Verdict, mapped, parse, unmapped};
use sim::testing::{Coast, FAR, FAR6, Frame, Payload, World, key_of, mac_of, rule, upstream};
use sim::{Ingress, Packet, simulate};
use std::net::IpAddr;
use topology::{
    Change, Direction, Family, Forwarded, GroupId, Layer4, Object, PortId, PortRange, Remote,
    RouterId, Rule, Snapshot, Tag, Versioned,
};
use wire::{Arp, ArpOperation, Mac, protocol, tcp_flag};

pub(crate) const SSH: Payload = Payload::Tcp(40_000, 22, tcp_flag::SYN);

/// A group that lets everything out, and TCP to port 22 and echo requests in.
pub(crate) fn group(world: &mut World) -> GroupId {
    let mut rules = Vec::new();
    for family in [Family::V4, Family::V6] {
        let icmp = match family {
            Family::V4 => protocol::ICMP,
            Family::V6 => protocol::ICMPV6,
        };
        rules.push(rule(Direction::Egress, family));
        rules.push(Rule {
            protocol: Some(protocol::TCP),
            layer4: Layer4::Ports { min: 22, max: 22 },
            ..rule(Direction::Ingress, family)
        });
        rules.push(Rule {
            protocol: Some(icmp),
            ..rule(Direction::Ingress, family)
        });
    }
    world.group(true, rules)
}

pub(crate) fn coast() -> Coast {
    let mut world = World::new();
    let group = group(&mut world);
    Coast::new(world, Some(&[group]))
}

/// What a decision forwards to, and as what.
pub(crate) fn sent(verdict: &Verdict) -> (&Destination, &Rewrite, Option<RouterId>, bool, bool) {
    match verdict {
        Verdict::Forward {
            to,
            rewrite,
            record,
            track,
            reply,
            ..
        } => (to, rewrite, *record, *track, *reply),
        other => panic!("not forwarded: {other:?}"),
    }
}

pub(crate) fn at_router(router: RouterId, host: &str) -> Destination {
    let host = host.into();
    Destination::Router { router, host }
}

/// A frame as it is after a rewrite without a choice of ports.
pub(crate) fn carried(frame: &Frame, rewrite: &Rewrite) -> Frame {
    let mut frame = frame.clone();
    if rewrite.hops > 0 {
        (frame.smac, frame.dmac) = (rewrite.smac, rewrite.dmac);
        frame.ttl -= rewrite.hops;
    }
    frame.src = rewrite.src.unwrap_or(frame.src);
    frame.dst = rewrite.dst.unwrap_or(frame.dst);
    frame
}

/// The second stage of a frame that opens a connection.
pub(crate) fn at(snapshot: &Snapshot, router: RouterId, frame: &Frame) -> Decision {
    let bytes = frame.bytes();
    judge_at(snapshot, router, key_of(&bytes, STATE_FORWARD), &bytes)
}

pub(crate) fn judge_at(
    snapshot: &Snapshot,
    router: RouterId,
    key: FlowKey,
    frame: &[u8],
) -> Decision {
    let packet = Packet {
        key,
        frame,
        gso_size: 0,
    };
    simulate(snapshot, Ingress::Router(router), &packet)
}

/// The key of an answer whose record has translated it: from, to.
pub(crate) fn answer_key(
    opening: &Frame,
    smac: Mac,
    dmac: Mac,
    src: IpAddr,
    dst: IpAddr,
) -> FlowKey {
    let key = parse(&opening.bytes()).unwrap().key;
    let (sport, dport) = reverse_ports(key.proto, key.sport, key.dport).unwrap();
    FlowKey {
        in_port: 7,
        state: STATE_REPLY,
        flags: FLAG_TRANSLATED,
        smac: smac.0,
        dmac: dmac.0,
        src: mapped(src),
        dst: mapped(dst),
        sport,
        dport,
        ..key
    }
}

const FIP_A: &str = "203.0.113.101";
const FIP_C: &str = "203.0.113.102";

#[test]
fn a_floating_ip_is_spoken_to_from_outside_and_answers_as_it_was_spoken_to() {
    let coast = coast();
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    for uplink in [0, 1] {
        let frame = coast.from_upstream(uplink, ip(FIP_A), SSH);
        let bytes = frame.bytes();
        let plug = coast.uplinks[uplink].plug;
        let decision = decide(&snapshot, plug, key_of(&bytes, STATE_FORWARD), &bytes);
        let (to, rewrite, record, track, reply) = sent(&decision.verdict);
        assert_eq!(*to, at_router(router, "host1"));
        assert_eq!((record, track, reply), (None, false, false));
        assert_eq!((rewrite.hops, rewrite.src, rewrite.dst), (1, None, None));
        assert_eq!(rewrite.smac, mac_of(coast.edge_port));
        assert_eq!(rewrite.dmac, mac_of(coast.tenants[0].gateway));
        // whoever speaks, on whatever port
        let mask = decision.mask.0;
        assert_eq!((mask.sport, mask.dport), (0, 0));
        assert!(u128::from_be_bytes(mask.src).count_ones() < 8, "{mask:?}");

        let second = at(&snapshot, router, &carried(&frame, rewrite));
        let (to, rewrite, record, track, reply) = sent(&second.verdict);
        assert_eq!(*to, Destination::Port(coast.a.port));
        assert_eq!((record, track, reply), (None, true, false));
        assert_eq!((rewrite.hops, rewrite.dst), (1, Some(coast.a.v4)));
        assert_eq!((rewrite.dst_port, rewrite.src), (None, None));
        assert_eq!((rewrite.smac, rewrite.dmac), (coast.a.gateway, coast.a.mac));
    }
    // the record at its tap has made the source what it was spoken to as
    let opening = coast.from_upstream(0, ip(FIP_A), SSH);
    let key = answer_key(&opening, coast.a.mac, coast.a.gateway, ip(FIP_A), ip(FAR));
    let answer = decide(&snapshot, coast.a.port, key, &[]);
    let (to, rewrite, record, track, reply) = sent(&answer.verdict);
    let plugs = coast.uplinks.map(|u| Destination::Port(u.plug));
    assert!(plugs.contains(to));
    assert_eq!((record, track, reply), (None, false, true));
    assert_eq!((rewrite.hops, rewrite.src, rewrite.dst), (2, None, None));
}

#[test]
fn groups_judge_who_speaks_to_a_floating_ip() {
    let coast = coast();
    let snapshot = coast.snapshot();
    let web = Payload::Tcp(40_000, 80, tcp_flag::SYN);
    let frame = coast.from_upstream(0, ip(FIP_A), web);
    let first = send(&snapshot, coast.uplinks[0].plug, &frame.bytes());
    let frame = carried(&frame, sent(&first).1);
    let second = at(&snapshot, coast.tenants[0].router, &frame);
    assert_eq!(
        reason(&second.verdict),
        Some(DropReason::SecurityGroupIngress)
    );
}

#[test]
fn a_vm_leaves_with_its_floating_ip_and_its_router_knows_the_answer() {
    let coast = coast();
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    let frame = coast.a.to(ip(FAR), SSH);
    let bytes = frame.bytes();
    let decision = decide(
        &snapshot,
        coast.a.port,
        key_of(&bytes, STATE_FORWARD),
        &bytes,
    );
    let (to, rewrite, record, track, _) = sent(&decision.verdict);
    let plugs = coast.uplinks.map(|u| Destination::Port(u.plug));
    let way = plugs.iter().position(|p| p == to).expect("by an uplink");
    assert_eq!((record, track), (Some(router), false));
    assert_eq!((rewrite.hops, rewrite.src), (2, Some(ip(FIP_A))));
    assert_eq!(
        (rewrite.smac, rewrite.dmac),
        (mac_of(coast.uplinks[way].port), upstream(way))
    );
    assert!(decision.tags.contains(&Tag::FloatingIps(coast.a.port)));

    // the answer is handed over like anything for the address, and found at the router
    let answer = Frame {
        payload: Payload::Tcp(22, 40_000, tcp_flag::SYN | tcp_flag::ACK),
        ..coast.from_upstream(1, ip(FIP_A), SSH)
    };
    let first = send(&snapshot, coast.uplinks[1].plug, &answer.bytes());
    let (to, rewrite, ..) = sent(&first);
    assert_eq!(*to, at_router(router, "host1"));
    let key = answer_key(&frame, rewrite.smac, rewrite.dmac, ip(FAR), coast.a.v4);
    let second = judge_at(&snapshot, router, key, &carried(&answer, rewrite).bytes());
    let (to, rewrite, record, track, reply) = sent(&second.verdict);
    assert_eq!(*to, Destination::Port(coast.a.port));
    assert_eq!((record, track, reply), (None, false, true));
    assert_eq!((rewrite.hops, rewrite.dst), (1, None));
}

#[test]
fn two_tenants_speak_by_their_floating_ips() {
    let coast = coast();
    let snapshot = coast.snapshot();
    let [mine, theirs] = [0, 1].map(|n| coast.tenants[n].router);
    let frame = coast.a.to(ip(FIP_C), SSH);
    let first = send(&snapshot, coast.a.port, &frame.bytes());
    let (to, rewrite, record, ..) = sent(&first);
    assert_eq!(*to, at_router(theirs, "host2"));
    assert_eq!(record, Some(mine));
    assert_eq!((rewrite.hops, rewrite.src), (1, Some(ip(FIP_A))));
    let frame2 = carried(&frame, rewrite);
    let second = at(&snapshot, theirs, &frame2);
    let (to, rewrite, ..) = sent(&second.verdict);
    assert_eq!(*to, Destination::Port(coast.c.port));
    assert_eq!(rewrite.dst, Some(coast.c.v4));

    let key = answer_key(&frame, coast.c.mac, coast.c.gateway, ip(FIP_C), ip(FIP_A));
    let back = decide(&snapshot, coast.c.port, key, &[]);
    let (to, rewrite, record, _, reply) = sent(&back.verdict);
    assert_eq!(*to, at_router(mine, "host1"));
    assert_eq!((record, reply), (None, true));
    let key = answer_key(&frame, rewrite.smac, rewrite.dmac, ip(FIP_C), coast.a.v4);
    let last = judge_at(&snapshot, mine, key, &[]);
    assert_eq!(delivered(&last.verdict), Some((coast.a.port, 1)));
}

#[test]
fn a_vm_speaks_to_its_own_floating_ip() {
    let coast = coast();
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    let frame = coast.a.to(ip(FIP_A), SSH);
    let first = send(&snapshot, coast.a.port, &frame.bytes());
    let (to, rewrite, record, ..) = sent(&first);
    assert_eq!(*to, at_router(router, "host1"));
    assert_eq!((record, rewrite.src), (Some(router), Some(ip(FIP_A))));
    let second = at(&snapshot, router, &carried(&frame, rewrite));
    let (to, rewrite, _, track, _) = sent(&second.verdict);
    assert_eq!(*to, Destination::Port(coast.a.port));
    assert_eq!((track, rewrite.dst), (true, Some(coast.a.v4)));
}

#[test]
fn a_station_of_the_external_network_and_a_floating_ip() {
    let coast = coast();
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    // from there: it finds the router's MAC by asking for the address
    let ask = Arp {
        operation: ArpOperation::Request,
        sender_mac: coast.x.mac,
        sender_ip: "203.0.113.50".parse().unwrap(),
        target_mac: Mac::default(),
        target_ip: FIP_A.parse().unwrap(),
    };
    let told = answered(send(&snapshot, coast.x.port, &ask.frame(Mac::BROADCAST)));
    let gateway = mac_of(coast.tenants[0].gateway);
    assert_eq!(told[6..12], gateway.0);
    let frame = Frame {
        dmac: gateway,
        ..coast.x.to(ip(FIP_A), SSH)
    };
    let first = send(&snapshot, coast.x.port, &frame.bytes());
    let (to, rewrite, record, ..) = sent(&first);
    assert_eq!(*to, at_router(router, "host1"));
    assert_eq!((rewrite.hops, record), (0, None));
    // to there: delivered at once, judged as it arrives
    let frame = coast.a.to(coast.x.v4, SSH);
    let first = send(&snapshot, coast.a.port, &frame.bytes());
    let (to, rewrite, record, track, _) = sent(&first);
    assert_eq!(*to, Destination::Port(coast.x.port));
    assert_eq!((record, track), (Some(router), true));
    assert_eq!(rewrite.src, Some(ip(FIP_A)));
}

#[test]
fn receivers_are_asked_about_the_address_that_they_see() {
    for (net, passes) in [("203.0.113.101/32", true), ("10.1.0.0/24", false)] {
        let mut coast = coast();
        let only = Rule {
            remote: Remote::Prefix(net.parse().unwrap()),
            ..rule(Direction::Ingress, Family::V4)
        };
        let strict = coast.world.group(true, vec![only]);
        for port in [coast.x.port, coast.c.port] {
            coast.world.change_port(port, |p| {
                p.security.as_mut().unwrap().groups = vec![strict];
            });
        }
        let snapshot = coast.snapshot();
        let frame = coast.a.to(coast.x.v4, SSH);
        let verdict = send(&snapshot, coast.a.port, &frame.bytes());
        assert_eq!(delivered(&verdict).is_some(), passes, "{net}");
        let frame = coast.a.to(ip(FIP_C), SSH);
        let first = send(&snapshot, coast.a.port, &frame.bytes());
        let second = at(
            &snapshot,
            coast.tenants[1].router,
            &carried(&frame, sent(&first).1),
        );
        assert_eq!(delivered(&second.verdict).is_some(), passes, "{net}");
    }
}

#[test]
fn of_several_floating_ips_the_one_of_the_network_it_leaves_by_is_chosen() {
    let mut coast = coast();
    let tenant = coast.tenants[0];
    // another network of the router's, on which the VM has a floating IP too
    let side = coast.world.bridge();
    let subnet = coast.world.subnet(side, "198.18.0.0/24");
    coast
        .world
        .interface(tenant.router, side, &[(subnet, "198.18.0.1")]);
    let other = coast
        .world
        .vm(side, "host2", &[(subnet, "198.18.0.9")], None);
    let to_side = coast.a.to(ip("198.18.0.9"), SSH);
    let as_what = |coast: &Coast, frame: &Frame| {
        let verdict = send(&coast.snapshot(), coast.a.port, &frame.bytes());
        (sent(&verdict).1.src, sent(&verdict).2)
    };
    // by an ordinary interface it goes as itself
    assert_eq!(as_what(&coast, &to_side), (None, None));
    let own = (coast.a.port, coast.a.v4);
    coast
        .world
        .floating_ip((side, "198.18.0.101"), tenant.router, own);
    let fip = (Some(ip("198.18.0.101")), Some(tenant.router));
    assert_eq!(as_what(&coast, &to_side), fip);
    let far = coast.a.to(ip(FAR), SSH);
    let gateways = (Some(ip(FIP_A)), Some(tenant.router));
    assert_eq!(as_what(&coast, &far), gateways);
    // a later one of the same network changes nothing
    coast
        .world
        .floating_ip((coast.external, "203.0.113.150"), tenant.router, own);
    assert_eq!(as_what(&coast, &far), gateways);
    // without one of the gateway's network, the other
    coast.world.objects.retain(|o| {
        !matches!(o, Object::FloatingIp(f) if f.bridge == coast.external && f.port == coast.a.port)
    });
    assert_eq!(as_what(&coast, &far), fip);

    // and the network's own stations reach it by the router's interface
    let snapshot = coast.snapshot();
    let interface = snapshot.router_port_on(tenant.router, side).unwrap();
    let frame = Frame {
        smac: mac_of(other),
        dmac: interface.mac,
        src: ip("198.18.0.9"),
        ..coast.a.to(ip("198.18.0.101"), SSH)
    };
    let first = send(&snapshot, other, &frame.bytes());
    let (to, rewrite, record, ..) = sent(&first);
    assert_eq!(*to, at_router(tenant.router, "host1"));
    assert_eq!((rewrite.hops, rewrite.src, record), (0, None, None));
    let second = at(&snapshot, tenant.router, &carried(&frame, rewrite));
    assert_eq!(delivered(&second.verdict), Some((coast.a.port, 1)));
    // a VM of the same router's too
    let frame = coast.b.to(ip("198.18.0.101"), SSH);
    let first = send(&snapshot, coast.b.port, &frame.bytes());
    let (to, rewrite, ..) = sent(&first);
    assert_eq!(*to, at_router(tenant.router, "host1"));
    let second = at(&snapshot, tenant.router, &carried(&frame, rewrite));
    assert_eq!(delivered(&second.verdict), Some((coast.a.port, 1)));
    // its answer does not go round by the outside
    let src = ip("198.18.0.101");
    let key = answer_key(&frame, coast.a.mac, coast.a.gateway, src, coast.b.v4);
    let back = decide(&snapshot, coast.a.port, key, &[]);
    assert_eq!(delivered(&back.verdict), Some((coast.b.port, 1)));
    assert!(sent(&back.verdict).4);
}

#[test]
fn an_answer_ends_with_the_floating_ip_that_it_was_asked_at() {
    let mut coast = coast();
    let opening = coast.from_upstream(0, ip(FIP_A), SSH);
    let key = answer_key(&opening, coast.a.mac, coast.a.gateway, ip(FIP_A), ip(FAR));
    let mut snapshot = coast.snapshot();
    let before = decide(&snapshot, coast.a.port, key, &[]);
    assert!(delivered(&before.verdict).is_some());
    let (fip, to) = (coast.fip_a, (coast.b.port, coast.b.v4));
    coast
        .world
        .change_floating_ip(fip, |f| (f.port, f.fixed) = to);
    let object = coast
        .world
        .objects
        .iter()
        .find(|o| matches!(o, Object::FloatingIp(f) if f.id == fip));
    let touched = snapshot.apply(Change::Put(Versioned {
        revision: 2,
        object: object.unwrap().clone(),
    }));
    assert!(!before.tags.is_disjoint(&touched));
    let after = decide(&snapshot, coast.a.port, key, &[]);
    assert_eq!(reason(&after.verdict), Some(DropReason::TranslationGone));
    // and who speaks to it speaks to the other
    let first = send(&snapshot, coast.uplinks[0].plug, &opening.bytes());
    assert_eq!(*sent(&first).0, at_router(coast.tenants[0].router, "host2"));
}

#[test]
fn ipv6_is_routed_and_its_connections_are_known_at_the_same_router() {
    let coast = coast();
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    let frame = coast.a.to(ip(FAR6), SSH);
    let first = send(&snapshot, coast.a.port, &frame.bytes());
    let (_, rewrite, record, track, _) = sent(&first);
    assert_eq!((rewrite.src, rewrite.snat), (None, false));
    assert_eq!((record, track), (Some(router), false));
    // an answer
    let answer = Frame {
        payload: Payload::Tcp(22, 40_000, tcp_flag::SYN | tcp_flag::ACK),
        ..coast.from_upstream(0, coast.a.v6, SSH)
    };
    let first = send(&snapshot, coast.uplinks[0].plug, &answer.bytes());
    let (to, rewrite, ..) = sent(&first);
    assert_eq!(*to, at_router(router, "host1"));
    assert_eq!(rewrite.hops, 1);
    let bytes = carried(&answer, rewrite).bytes();
    let second = judge_at(&snapshot, router, key_of(&bytes, STATE_REPLY), &bytes);
    let (to, _, record, track, reply) = sent(&second.verdict);
    assert_eq!(*to, Destination::Port(coast.a.port));
    assert_eq!((record, track, reply), (None, false, true));
    // without a record it opens a connection, which no rule allows
    let second = judge_at(&snapshot, router, key_of(&bytes, STATE_FORWARD), &bytes);
    assert_eq!(
        reason(&second.verdict),
        Some(DropReason::SecurityGroupIngress)
    );
    // a station of the external network itself is known at the edge router
    let frame = coast.from_upstream(0, coast.x.v6, SSH);
    let first = send(&snapshot, coast.uplinks[0].plug, &frame.bytes());
    assert_eq!(*sent(&first).0, at_router(coast.edge, "host1"));
    let second = at(&snapshot, coast.edge, &carried(&frame, sent(&first).1));
    assert_eq!(delivered(&second.verdict), Some((coast.x.port, 1)));
    let frame = coast.x.to(ip(FAR6), SSH);
    let first = send(&snapshot, coast.x.port, &frame.bytes());
    assert_eq!(sent(&first).2, Some(coast.edge));
}

#[test]
fn routers_answer_pings_from_outside_where_they_come_in() {
    let coast = coast();
    let snapshot = coast.snapshot();
    let ping = Payload::Echo {
        reply: false,
        id: 0x1234,
    };
    for dst in ["203.0.113.10", "172.16.1.1", "203.0.113.1"] {
        let frame = coast.from_upstream(0, ip(dst), ping.clone());
        let answer = answered(send(&snapshot, coast.uplinks[0].plug, &frame.bytes()));
        assert_eq!(answer[0..6], upstream(0).0, "{dst}");
    }
    let web = Payload::Tcp(1, 80, tcp_flag::SYN);
    let frame = coast.from_upstream(0, ip("203.0.113.10"), web);
    let verdict = send(&snapshot, coast.uplinks[0].plug, &frame.bytes());
    assert_eq!(reason(&verdict), Some(DropReason::RouterAddress));
}

#[test]
fn errors_of_the_second_stage_leave_by_the_routers_outside() {
    let coast = coast();
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    for (ttl, told_by) in [(1, "172.16.1.1"), (2, "203.0.113.10")] {
        let frame = Frame {
            ttl,
            ..coast.from_upstream(0, ip(FIP_A), SSH)
        };
        let first = send(&snapshot, coast.uplinks[0].plug, &frame.bytes());
        let error = match &first {
            Verdict::Refuse { .. } => answered(first),
            _ => {
                let frame = carried(&frame, sent(&first).1);
                let second = at(&snapshot, router, &frame);
                assert_eq!(reason(&second.verdict), Some(DropReason::TtlExpired));
                let error = answered(second.verdict);
                // the router itself sends it on its outside
                let out = snapshot
                    .router_ports(router)
                    .find(|p| p.mac.0 == error[6..12]);
                assert_eq!(out.unwrap().id, coast.tenants[0].gateway);
                let verdict = send(&snapshot, coast.tenants[0].gateway, &error);
                let (to, rewrite, record, ..) = sent(&verdict);
                let plugs = coast.uplinks.map(|u| Destination::Port(u.plug));
                assert!(plugs.contains(to));
                assert_eq!((rewrite.hops, rewrite.src, record), (1, None, None));
                error
            }
        };
        let src = <[u8; 4]>::try_from(&error[26..30]).unwrap();
        assert_eq!(IpAddr::from(src), ip(told_by), "ttl {ttl}");
        // it quotes what its receiver sent
        assert_eq!(error[14 + 20 + 8 + 16..][..4], [203, 0, 113, 101]);
    }
}

#[test]
fn errors_of_the_first_stage_speak_of_the_packet_as_the_sender_knows_it() {
    let coast = coast();
    let snapshot = coast.snapshot();
    let frame = Frame {
        ttl: 2,
        ..coast.a.to(ip(FAR), SSH)
    };
    let error = answered(send(&snapshot, coast.a.port, &frame.bytes()));
    assert_eq!(error[0..6], coast.a.mac.0);
    assert_eq!(error[30..34], [10, 1, 0, 10]);
    assert_eq!(error[14 + 20 + 8 + 12..][..4], [10, 1, 0, 10]);
    assert!(parse(&error).unwrap().key.flags & FLAG_TRANSIT_ERROR != 0);
    // the same for an answer that its record has translated
    let opening = coast.from_upstream(0, ip(FIP_A), SSH);
    let key = answer_key(&opening, coast.a.mac, coast.a.gateway, ip(FIP_A), ip(FAR));
    let frame = Frame {
        payload: Payload::Tcp(22, 40_000, tcp_flag::ACK),
        ..frame
    };
    let error = answered(decide(&snapshot, coast.a.port, key, &frame.bytes()).verdict);
    assert_eq!(error[30..34], [10, 1, 0, 10]);
}

#[test]
fn an_uplink_that_is_down_leaves_the_equal_ways_at_once() {
    let coast = coast();
    let mut snapshot = coast.snapshot();
    let ways = |snapshot: &Snapshot| {
        let mut ways = Vec::new();
        for sport in (32_768..61_000).step_by(94) {
            let frame = coast.a.to(ip(FAR), Payload::Udp(sport, 53, vec![0; 8]));
            let bytes = frame.bytes();
            let decision = decide(
                snapshot,
                coast.a.port,
                key_of(&bytes, STATE_FORWARD),
                &bytes,
            );
            let asked = coast
                .uplinks
                .map(|u| decision.tags.contains(&Tag::Carrier(u.plug)));
            assert!(asked == [true; 2] || delivered(&decision.verdict).is_none());
            ways.extend(delivered(&decision.verdict).map(|(port, _)| port));
        }
        let all = ways.len();
        ways.sort();
        ways.dedup();
        (ways, all)
    };
    let mut both = coast.uplinks.map(|u| u.plug).to_vec();
    both.sort();
    assert_eq!(ways(&snapshot), (both, 301));
    let [one, two] = coast.uplinks.map(|u| u.plug);
    assert_eq!(snapshot.set_carrier(one, false), Some(Tag::Carrier(one)));
    assert_eq!(ways(&snapshot), (vec![two], 301));
    snapshot.set_carrier(two, false);
    assert_eq!(ways(&snapshot), (vec![], 0));
    snapshot.set_carrier(one, true);
    assert_eq!(ways(&snapshot), (vec![one], 301));
    // whose host is drained is used where there is no other
    let drain = |snapshot: &mut Snapshot, plug: PortId, draining| {
        let host = snapshot.port(plug).and_then(|p| p.host()).unwrap();
        let host = topology::Host {
            draining,
            ..(**snapshot.host(host).unwrap()).clone()
        };
        let touched = snapshot.apply(topology::Change::Put(topology::Versioned {
            revision: 2,
            object: topology::Object::Host(host.clone()),
        }));
        assert_eq!(touched, [Tag::Host(host.name)].into());
    };
    drain(&mut snapshot, one, true);
    assert_eq!(ways(&snapshot), (vec![one], 301));
    snapshot.set_carrier(two, true);
    assert_eq!(ways(&snapshot), (vec![two], 301));
    drain(&mut snapshot, one, false);
    assert_eq!(ways(&snapshot).0.len(), 2);
}

#[test]
fn two_uplinks_on_one_subnet_are_two_ways() {
    let mut coast = coast();
    // the second uplink is on a subnet like the first one's
    let subnet = coast.world.subnet(coast.uplinks[1].bridge, "172.16.1.0/30");
    coast.world.change_port(coast.uplinks[1].port, |p| {
        p.addresses[0].subnet = subnet;
        p.addresses[0].ip = ip("172.16.1.1");
    });
    coast.world.change_router(coast.edge, |r| {
        r.routes
            .retain(|r| r.nexthop != topology::Nexthop::Via(ip("172.16.2.2")))
    });
    let mut snapshot = coast.snapshot();
    for (n, uplink) in coast.uplinks.iter().enumerate() {
        snapshot.learn(topology::Station {
            bridge: uplink.bridge,
            port: uplink.plug,
            mac: upstream(n),
            ip: Some(ip("172.16.1.2")),
        });
    }
    let mut seen = std::collections::BTreeSet::<PortId>::new();
    for sport in (32_768..61_000).step_by(94) {
        let frame = coast.a.to(ip(FAR), Payload::Udp(sport, 53, vec![0; 8]));
        let verdict = send(&snapshot, coast.a.port, &frame.bytes());
        seen.extend(delivered(&verdict).map(|d| d.0));
    }
    assert_eq!(seen.len(), 2);
    snapshot.set_carrier(coast.uplinks[0].plug, false);
    let frame = coast.a.to(ip("172.16.1.2"), SSH);
    let verdict = send(&snapshot, coast.a.port, &frame.bytes());
    assert_eq!(delivered(&verdict), Some((coast.uplinks[1].plug, 2)));
}

#[test]
fn a_floating_ip_of_an_address_that_others_hold_leads_to_the_holder() {
    let mut coast = coast();
    let tenant = coast.tenants[0];
    let vip = coast
        .world
        .vm(tenant.net, "", &[(tenant.subnets[0], "10.1.0.100")], None);
    coast
        .world
        .change_port(vip, |p| p.link = topology::Link::None);
    let fip = (coast.external, "203.0.113.111");
    coast
        .world
        .floating_ip(fip, tenant.router, (vip, ip("10.1.0.100")));
    let opening = coast.from_upstream(0, ip(fip.1), SSH);
    let plug = coast.uplinks[0].plug;
    let verdict = send(&coast.snapshot(), plug, &opening.bytes());
    assert_eq!(reason(&verdict), Some(DropReason::PortUnbound));
    let mac = coast.b.mac;
    coast.world.change_port(coast.b.port, |p| {
        let net = "10.1.0.100/32".parse().unwrap();
        let pair = topology::AddressPair { net, mac };
        p.security.as_mut().unwrap().pairs.push(pair);
    });
    let mut snapshot = coast.snapshot();
    let verdict = send(&snapshot, plug, &opening.bytes());
    assert_eq!(reason(&verdict), Some(DropReason::NeighborUnresolved));
    snapshot.learn(topology::Station {
        bridge: tenant.net,
        port: coast.b.port,
        mac,
        ip: Some(ip("10.1.0.100")),
    });
    let first = send(&snapshot, plug, &opening.bytes());
    assert_eq!(*sent(&first).0, at_router(tenant.router, "host2"));
    let second = at(&snapshot, tenant.router, &carried(&opening, sent(&first).1));
    assert_eq!(delivered(&second.verdict), Some((coast.b.port, 1)));
    let key = answer_key(&opening, mac, coast.b.gateway, ip(fip.1), ip(FAR));
    assert!(delivered(&decide(&snapshot, coast.b.port, key, &[]).verdict).is_some());
    let key = answer_key(&opening, coast.a.mac, coast.a.gateway, ip(fip.1), ip(FAR));
    let lie = decide(&snapshot, coast.a.port, key, &[]);
    assert_eq!(reason(&lie.verdict), Some(DropReason::TranslationGone));
}

fn forward(coast: &mut Coast, external: (u16, u16), internal: (u16, u16)) {
    forward_at(coast, "203.0.113.120", external, internal);
}

/// TCP ports of a floating IP, forwarded to b.
pub(crate) fn forward_at(
    coast: &mut Coast,
    address: &str,
    external: (u16, u16),
    internal: (u16, u16),
) {
    let tenant = coast.tenants[0];
    let range = |(first, last)| PortRange { first, last };
    let fip = (coast.external, address);
    let fixed = (coast.b.port, coast.b.v4);
    let id = coast.world.floating_ip(fip, tenant.router, fixed);
    coast.world.change_floating_ip(id, |f| {
        f.forwarded = Some(Forwarded {
            protocol: protocol::TCP,
            external: range(external),
            internal: range(internal),
        });
    });
}

#[test]
fn ports_are_forwarded_and_groups_judge_the_internal_ones() {
    for (external, internal, to) in [
        ((2222, 2222), (22, 22), 2222),
        ((22, 22), (22, 22), 22),
        ((2200, 2210), (20, 30), 2202),
    ] {
        let mut coast = coast();
        forward(&mut coast, external, internal);
        let snapshot = coast.snapshot();
        let router = coast.tenants[0].router;
        let tcp = |port| Payload::Tcp(40_000, port, tcp_flag::SYN);
        let opening = coast.from_upstream(0, ip("203.0.113.120"), tcp(to));
        let first = send(&snapshot, coast.uplinks[0].plug, &opening.bytes());
        assert_eq!(*sent(&first).0, at_router(router, "host2"));
        let second = at(&snapshot, router, &carried(&opening, sent(&first).1));
        let (at_port, rewrite, _, track, _) = sent(&second.verdict);
        assert_eq!(*at_port, Destination::Port(coast.b.port));
        assert_eq!((track, rewrite.dst), (true, Some(coast.b.v4)));
        assert_eq!(rewrite.dst_port, (to != 22).then_some(22));
        // the answer is judged by the port that the VM knows
        let src = ip("203.0.113.120");
        let key = answer_key(&opening, coast.b.mac, coast.b.gateway, src, ip(FAR));
        let back = decide(&snapshot, coast.b.port, key, &[]);
        assert!(sent(&back.verdict).4);
        assert_eq!(unmapped(4, key.src), src);
        // what is not forwarded ends at the gateway
        let other = coast.from_upstream(0, src, tcp(80));
        let verdict = send(&snapshot, coast.uplinks[0].plug, &other.bytes());
        assert_eq!(reason(&verdict), Some(DropReason::NotForwarded));
        // and it is no source of new connections
        let frame = coast.b.to(ip(FAR), SSH);
        assert!(sent(&send(&snapshot, coast.b.port, &frame.bytes())).1.snat);
    }
}

#[test]
fn connections_that_stay_inside_know_nothing_of_the_outside() {
    let coast = coast();
    let snapshot = coast.snapshot();
    let frame = Frame {
        dmac: coast.b.mac,
        ..coast.a.to(coast.b.v4, SSH)
    };
    let bytes = frame.bytes();
    let decision = decide(
        &snapshot,
        coast.a.port,
        key_of(&bytes, STATE_FORWARD),
        &bytes,
    );
    let (to, rewrite, record, track, _) = sent(&decision.verdict);
    assert_eq!(*to, Destination::Port(coast.b.port));
    assert_eq!((record, track), (None, true));
    assert_eq!(*rewrite, Rewrite::default());
    assert!(
        !decision
            .tags
            .iter()
            .any(|t| matches!(t, Tag::FloatingIps(_) | Tag::Carrier(_)))
    );
}
