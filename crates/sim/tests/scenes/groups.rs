//! Security groups, stateful and stateless.

use crate::{decide, delivered, reason, send, send_reply};
use bpf_abi::{FLAG_ICMP_ERROR, FlowKey, STATE_FORWARD, STATE_REPLY};
use flow::{DropReason, Verdict};
use ipnet::IpNet;
use sim::testing::{Payload, Town, World, key_of, rule};
use std::net::IpAddr;
use topology::{Change, Direction, Family, Layer4, Object, Remote, Rule, Snapshot, Tag, Versioned};
use wire::{Icmp, protocol, tcp_flag};

fn syn(dport: u16) -> Payload {
    Payload::Tcp(40_000, dport, tcp_flag::SYN)
}

fn ack(sport: u16) -> Payload {
    Payload::Tcp(sport, 40_000, tcp_flag::ACK)
}

/// In on TCP port 80 from anybody, out to anybody, in both families.
fn web(stateful: bool) -> Town {
    let mut world = World::new();
    let rules = [Family::V4, Family::V6].into_iter().flat_map(|family| {
        let layer4 = Layer4::Ports { min: 80, max: 80 };
        let ingress = rule(Direction::Ingress, family);
        let web = Rule {
            protocol: Some(protocol::TCP),
            layer4,
            ..ingress
        };
        [rule(Direction::Egress, family), web]
    });
    let group = world.group(stateful, rules.collect());
    Town::new(world, Some(&[group]))
}

#[test]
fn what_a_rule_allows_passes_and_is_tracked() {
    let town = web(true);
    let snapshot = town.snapshot();
    for family in [4, 6] {
        let verdict = send(
            &snapshot,
            town.a.port,
            &town.a.to(&town.b, family, syn(80)).bytes(),
        );
        let tracked = matches!(
            verdict,
            Verdict::Forward {
                track: true,
                reply: false,
                ..
            }
        );
        assert!(tracked, "{verdict:?}");
        let verdict = send(
            &snapshot,
            town.a.port,
            &town.a.to(&town.b, family, syn(22)).bytes(),
        );
        // the port's only group is what an operator has to look at
        let receiver = snapshot.port(town.b.port).unwrap();
        let groups = &receiver.security.as_ref().unwrap().groups;
        let wanted = Verdict::Drop {
            reason: DropReason::SecurityGroupIngress,
            cause: Some(groups[0].0),
        };
        assert_eq!(verdict, wanted);
    }
}

#[test]
fn replies_pass_while_what_they_answer_is_allowed() {
    let town = web(true);
    let mut snapshot = town.snapshot();
    let reply = town.b.to(&town.a, 4, ack(80)).bytes();
    let verdict = send_reply(&snapshot, town.b.port, &reply);
    let is_reply = matches!(
        verdict,
        Verdict::Forward {
            track: false,
            reply: true,
            ..
        }
    );
    assert!(is_reply, "{verdict:?}");
    // the same packet is nothing without its record
    let verdict = send(&snapshot, town.b.port, &reply);
    assert_eq!(reason(&verdict), Some(DropReason::SecurityGroupIngress));
    // and nothing once the rule is gone, which the decision's tags know
    let decision = decide(&snapshot, town.b.port, key_of(&reply, STATE_REPLY), &reply);
    let group = town.world.objects.iter().find_map(|o| match o {
        Object::Group(group) => Some(group.clone()),
        _ => None,
    });
    let mut group = group.unwrap();
    group.rules.retain(|r| r.direction == Direction::Egress);
    let id = group.id;
    let object = Object::Group(group);
    let touched = snapshot.apply(Change::Put(Versioned {
        revision: 2,
        object,
    }));
    assert!(touched.contains(&Tag::Group(id)) && !decision.tags.is_disjoint(&touched));
    let verdict = send_reply(&snapshot, town.b.port, &reply);
    assert_eq!(reason(&verdict), Some(DropReason::SecurityGroupIngress));
}

#[test]
fn stateless_groups_know_no_replies() {
    let town = web(false);
    let snapshot = town.snapshot();
    let verdict = send(
        &snapshot,
        town.a.port,
        &town.a.to(&town.b, 4, syn(80)).bytes(),
    );
    assert!(
        matches!(verdict, Verdict::Forward { track: false, .. }),
        "{verdict:?}"
    );
    let reply = town.b.to(&town.a, 4, ack(80)).bytes();
    let verdict = send_reply(&snapshot, town.b.port, &reply);
    assert_eq!(reason(&verdict), Some(DropReason::SecurityGroupIngress));
}

#[test]
fn trusted_ports_ask_nobody_and_track_nothing() {
    let town = Town::new(World::new(), None);
    let verdict = send(
        &town.snapshot(),
        town.a.port,
        &town.a.to(&town.b, 6, syn(22)).bytes(),
    );
    assert!(
        matches!(
            verdict,
            Verdict::Forward {
                track: false,
                reply: false,
                ..
            }
        ),
        "{verdict:?}"
    );
}

#[test]
fn a_trusted_sender_reaches_a_guarded_receiver_and_gets_replies() {
    let mut town = web(true);
    town.world.change_port(town.a.port, |p| p.security = None);
    let snapshot = town.snapshot();
    let opening = send(
        &snapshot,
        town.a.port,
        &town.a.to(&town.b, 4, syn(80)).bytes(),
    );
    assert!(
        matches!(opening, Verdict::Forward { track: true, .. }),
        "{opening:?}"
    );
    let reply = send_reply(
        &snapshot,
        town.b.port,
        &town.b.to(&town.a, 4, ack(80)).bytes(),
    );
    assert!(
        matches!(reply, Verdict::Forward { reply: true, .. }),
        "{reply:?}"
    );
    // and the other way round: the guarded one opens, the trusted one answers
    let opening = send(
        &snapshot,
        town.b.port,
        &town.b.to(&town.a, 4, syn(22)).bytes(),
    );
    assert!(
        matches!(opening, Verdict::Forward { track: true, .. }),
        "{opening:?}"
    );
    let back = town.a.to(&town.b, 4, ack(22)).bytes();
    let reply = send_reply(&snapshot, town.a.port, &back);
    assert!(
        matches!(reply, Verdict::Forward { reply: true, .. }),
        "{reply:?}"
    );
    let alone = send(&snapshot, town.a.port, &back);
    assert_eq!(reason(&alone), Some(DropReason::SecurityGroupIngress));
}

#[test]
fn no_group_allows_nothing() {
    let town = Town::new(World::new(), Some(&[]));
    let verdict = send(
        &town.snapshot(),
        town.a.port,
        &town.a.to(&town.b, 4, syn(80)).bytes(),
    );
    let wanted = Verdict::Drop {
        reason: DropReason::SecurityGroupEgress,
        cause: Some(town.a.port.0),
    };
    assert_eq!(verdict, wanted);
}

#[test]
fn members_of_the_remote_group_are_let_in_and_others_are_not() {
    let mut town = Town::with_default_group();
    let snapshot = town.snapshot();
    for family in [4, 6] {
        let frame = town.a.to(&town.b, family, syn(22)).bytes();
        assert!(delivered(&send(&snapshot, town.a.port, &frame)).is_some());
    }
    town.world.change_port(town.a.port, |p| p.security = None);
    let frame = town.a.to(&town.b, 4, syn(22)).bytes();
    let verdict = send(&town.snapshot(), town.a.port, &frame);
    assert_eq!(reason(&verdict), Some(DropReason::SecurityGroupIngress));
}

#[test]
fn an_echo_reply_is_allowed_by_the_rule_for_the_request() {
    for (family, name, proto, kind) in [
        (4, Family::V4, protocol::ICMP, 8),
        (6, Family::V6, protocol::ICMPV6, 128),
    ] {
        let mut world = World::new();
        let layer4 = Layer4::Icmp {
            kind,
            code: Some(0),
        };
        let ping = Rule {
            protocol: Some(proto),
            layer4,
            ..rule(Direction::Ingress, name)
        };
        let group = world.group(true, vec![rule(Direction::Egress, name), ping]);
        let town = Town::new(world, Some(&[group]));
        let snapshot = town.snapshot();
        let request = town
            .a
            .to(
                &town.b,
                family,
                Payload::Echo {
                    reply: false,
                    id: 3,
                },
            )
            .bytes();
        assert!(delivered(&send(&snapshot, town.a.port, &request)).is_some());
        let reply = town
            .b
            .to(&town.a, family, Payload::Echo { reply: true, id: 3 })
            .bytes();
        assert!(delivered(&send_reply(&snapshot, town.b.port, &reply)).is_some());
        assert!(delivered(&send(&snapshot, town.b.port, &reply)).is_none());
    }
}

/// Port unreachable from `b` about a packet of `a`.
fn unreachable(town: &Town) -> Vec<u8> {
    let opening = town.a.to(&town.b, 4, syn(80)).bytes();
    let body = &opening[14..];
    let error = Icmp {
        kind: 3,
        code: 3,
        rest: [0; 4],
        body,
    }
    .message(town.b.v4, town.a.v4);
    let error = town
        .b
        .to(&town.a, 4, Payload::Other(protocol::ICMP, error))
        .bytes();
    assert_eq!(key_of(&error, 0).flags, FLAG_ICMP_ERROR);
    error
}

#[test]
fn icmp_errors_pass_with_their_connection_only() {
    let town = web(true);
    let (snapshot, error) = (town.snapshot(), unreachable(&town));
    assert!(delivered(&send_reply(&snapshot, town.b.port, &error)).is_some());
    let verdict = send(&snapshot, town.b.port, &error);
    assert_eq!(reason(&verdict), Some(DropReason::UnrelatedIcmpError));
    // between trusted ports there is no connection to ask for
    let town = Town::new(World::new(), None);
    let verdict = send(&town.snapshot(), town.b.port, &unreachable(&town));
    assert!(delivered(&verdict).is_some());
}

#[test]
fn an_allow_all_rule_costs_no_more_than_the_family() {
    let mut world = World::new();
    let mut rules = vec![rule(Direction::Egress, Family::V4)];
    let prefix = Remote::Prefix("192.0.2.0/24".parse().unwrap());
    rules.insert(
        0,
        Rule {
            remote: prefix,
            ..rule(Direction::Egress, Family::V4)
        },
    );
    rules.push(rule(Direction::Ingress, Family::V4));
    let group = world.group(true, rules);
    let town = Town::new(world, Some(&[group]));
    let frame = town.a.to(&town.b, 4, syn(80)).bytes();
    let key = key_of(&frame, STATE_FORWARD);
    let mask = decide(&town.snapshot(), town.a.port, key, &frame).mask.0;
    let wanted = FlowKey {
        sport: 0,
        dport: 0,
        dst: [0; 16],
        ..mask
    };
    assert_eq!(mask, wanted);
    assert_eq!(mask.state, 0xff);
}

/// Egress to everybody; ingress of IPv4 from what `remote` says, for `b` alone.
fn guarded_by(remote: impl FnOnce(&mut World) -> Remote) -> Town {
    let mut world = World::new();
    let remote = remote(&mut world);
    let out = world.group(true, vec![rule(Direction::Egress, Family::V4)]);
    let ingress = rule(Direction::Ingress, Family::V4);
    let into = world.group(true, vec![Rule { remote, ..ingress }]);
    let mut town = Town::new(world, Some(&[out]));
    town.world.change_port(town.b.port, |p| {
        p.security.as_mut().unwrap().groups = vec![into];
    });
    town
}

/// The object of a world that `pick` turns into another, as a change.
fn changed(town: &Town, pick: impl Fn(&Object) -> Option<Object>) -> Change {
    let object = town.world.objects.iter().find_map(pick).unwrap();
    Change::Put(Versioned {
        revision: 2,
        object,
    })
}

#[test]
fn an_address_more_or_less_takes_only_decisions_about_it() {
    let prefix = |text: &str| text.parse().unwrap();
    let town =
        guarded_by(|world| Remote::Addresses(world.address_group(vec![prefix("10.0.0.10/32")])));
    let mut snapshot = town.snapshot();
    let from_a = town.a.to(&town.b, 4, syn(80)).bytes();
    let from_c = town.c.via_gateway(town.b.v4, syn(80)).bytes();
    let judge = |snapshot: &Snapshot| {
        [(town.a.port, &from_a), (town.c.port, &from_c)]
            .map(|(port, frame)| decide(snapshot, port, key_of(frame, STATE_FORWARD), frame))
    };
    let [a, c] = judge(&snapshot);
    assert!(delivered(&a.verdict).is_some());
    assert_eq!(reason(&c.verdict), Some(DropReason::SecurityGroupIngress));
    let more = changed(&town, |object| match object {
        Object::AddressGroup(group) => {
            let mut group = group.clone();
            group.nets.push(prefix("10.0.1.10/32"));
            Some(Object::AddressGroup(group))
        }
        _ => None,
    });
    let touched = snapshot.apply(more);
    assert_eq!(touched.len(), 1, "{touched:?}");
    assert!(a.tags.is_disjoint(&touched) && !c.tags.is_disjoint(&touched));
    assert!(
        judge(&snapshot)
            .iter()
            .all(|d| delivered(&d.verdict).is_some())
    );
}

#[test]
fn a_large_group_costs_a_decision_no_more_than_a_small_one() {
    let town = guarded_by(|world| {
        let members = (0..2000_u32).map(|n| {
            let [.., high, low] = n.to_be_bytes();
            IpNet::from(IpAddr::from([172, 16, high, low]))
        });
        Remote::Addresses(world.address_group(members.collect()))
    });
    let frame = town.a.to(&town.b, 4, syn(80)).bytes();
    let missed = decide(&town.snapshot(), town.a.port, key_of(&frame, 0), &frame);
    assert_eq!(
        reason(&missed.verdict),
        Some(DropReason::SecurityGroupIngress)
    );
    let about_set = |tag: &&Tag| matches!(tag, Tag::Covered(..) | Tag::Lengths(_));
    assert_eq!(missed.tags.iter().filter(about_set).count(), 2);
}

#[test]
fn several_groups_of_a_port_allow_together() {
    // Neutron refuses a port both kinds; were it to have them, answers would go by the stateful one
    let mut world = World::new();
    let only = |port: u16, direction| Rule {
        protocol: Some(protocol::TCP),
        layer4: Layer4::Ports {
            min: port,
            max: port,
        },
        ..rule(direction, Family::V4)
    };
    let out = rule(Direction::Egress, Family::V4);
    let opener = world.group(true, vec![out]);
    let stateful = world.group(true, vec![only(80, Direction::Ingress)]);
    let stateless = world.group(false, vec![only(81, Direction::Ingress)]);
    let mut town = Town::new(world, Some(&[opener]));
    town.world.change_port(town.b.port, |p| {
        p.security.as_mut().unwrap().groups = vec![stateful, stateless];
    });
    let snapshot = town.snapshot();
    for port in [80, 81] {
        let frame = town.a.to(&town.b, 4, syn(port)).bytes();
        let verdict = send(&snapshot, town.a.port, &frame);
        assert!(delivered(&verdict).is_some(), "{port}: {verdict:?}");
    }
    let answer = |port| {
        let frame = town.b.to(&town.a, 4, ack(port)).bytes();
        send_reply(&snapshot, town.b.port, &frame)
    };
    assert!(delivered(&answer(80)).is_some());
    assert_eq!(reason(&answer(81)), Some(DropReason::SecurityGroupEgress));
}

#[test]
fn stateless_ends_let_errors_pass_by_a_rule_for_errors() {
    let into = |protocol, layer4| Rule {
        protocol: Some(protocol),
        layer4,
        ..rule(Direction::Ingress, Family::V4)
    };
    let icmp = |kind| into(protocol::ICMP, Layer4::Icmp { kind, code: None });
    let cases = [
        (icmp(3), true),
        (into(protocol::ICMP, Layer4::Any), true),
        (icmp(8), false),
        (into(protocol::TCP, Layer4::Any), true),
        (into(protocol::UDP, Layer4::Any), false),
    ];
    for (ingress, passes) in cases {
        let mut world = World::new();
        let rules = vec![rule(Direction::Egress, Family::V4), ingress.clone()];
        let group = world.group(false, rules);
        let town = Town::new(world, Some(&[group]));
        let verdict = send(&town.snapshot(), town.b.port, &unreachable(&town));
        assert_eq!(delivered(&verdict).is_some(), passes, "{ingress:?}");
    }
}
