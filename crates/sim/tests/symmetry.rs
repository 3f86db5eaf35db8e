//! Replies pass exactly if what they answer passes, and the two families are treated alike.

use bpf_abi::{FlowKey, STATE_FORWARD, STATE_REPLY, reverse_ports};
use flow::Verdict;
use proptest::prelude::*;
use sim::testing::{Dice, Payload, Town, World, rule};
use sim::{Ingress, Packet, simulate};
use topology::{Direction, Family, GroupId, Layer4, PortId, Remote, Rule, Snapshot};
use wire::{protocol, tcp_flag};

fn random_groups(dice: &mut Dice, world: &mut World) -> Vec<GroupId> {
    (0..1 + dice.below(2))
        .map(|_| {
            let rules = (0..dice.below(6))
                .flat_map(|_| rules_of_both_families(dice))
                .collect();
            world.group(true, rules)
        })
        .collect()
}

/// The same rule for IPv4 and for IPv6.
fn rules_of_both_families(dice: &mut Dice) -> [Rule; 2] {
    let direction = *dice.pick(&[Direction::Ingress, Direction::Egress]);
    let kind = dice.below(4);
    let (net, len) = (dice.below(2), *dice.pick(&[(24, 64), (32, 128), (0, 0)]));
    let remote = dice.below(2);
    [Family::V4, Family::V6].map(|family| {
        let v4 = family == Family::V4;
        let (protocol, layer4) = match kind {
            0 => (None, Layer4::Any),
            1 => (Some(protocol::TCP), Layer4::Ports { min: 20, max: 80 }),
            2 => (Some(protocol::UDP), Layer4::Ports { min: 53, max: 53 }),
            _ if v4 => (
                Some(protocol::ICMP),
                Layer4::Icmp {
                    kind: 8,
                    code: None,
                },
            ),
            _ => (
                Some(protocol::ICMPV6),
                Layer4::Icmp {
                    kind: 128,
                    code: None,
                },
            ),
        };
        let prefix = match v4 {
            true => format!("10.0.{net}.10/{}", len.0),
            false => format!("fd00:{net}::10/{}", len.1),
        };
        let remote = match remote {
            0 => Remote::Any,
            _ => Remote::Prefix(prefix.parse().expect("a prefix")),
        };
        Rule {
            protocol,
            layer4,
            remote,
            ..rule(direction, family)
        }
    })
}

fn random_payload(dice: &mut Dice) -> Payload {
    let (a, b) = (
        *dice.pick(&[40_000, 53, 80]),
        *dice.pick(&[22, 53, 80, 443]),
    );
    match dice.below(3) {
        0 => Payload::Tcp(a, b, tcp_flag::SYN),
        1 => Payload::Udp(a, b, vec![1, 2, 3]),
        _ => Payload::Echo {
            reply: dice.once_in(3),
            id: 9,
        },
    }
}

fn verdict(snapshot: &Snapshot, port: PortId, key: FlowKey, frame: &[u8]) -> Verdict {
    simulate(
        snapshot,
        Ingress::Port(port),
        &Packet {
            key,
            frame,
            gso_size: 0,
        },
    )
    .verdict
}

/// What kind of verdict it is, without what differs between families.
fn kind(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Forward {
            to,
            rewrite,
            track,
            reply,
            ..
        } => {
            format!("forward {to:?} {} {track} {reply}", rewrite.hops)
        }
        Verdict::Drop { reason, .. } => format!("drop {}", reason.name()),
        Verdict::Refuse { reason, answer, .. } => {
            format!("refuse {} {}", reason.name(), answer.is_some())
        }
        Verdict::Answer(frames) => format!("answer {}", frames.len()),
        Verdict::Metadata => "metadata".to_owned(),
        Verdict::Flood { ports } => format!("flood {ports:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn a_reply_passes_as_one_exactly_if_its_opening_is_allowed(seed: u64) {
        let mut dice = Dice::new(seed);
        let mut world = World::new();
        let groups = random_groups(&mut dice, &mut world);
        let town = Town::new(world, Some(&groups));
        let snapshot = town.snapshot();
        for family in [4, 6] {
            let routed = dice.once_in(2);
            let (from, to) = (town.a, if routed { town.c } else { town.b });
            let payload = random_payload(&mut dice);
            let frame = match routed {
                true => from.via_gateway(to.ip(family), payload),
                false => from.to(&to, family, payload),
            };
            let forward = sim::testing::key_of(&frame.bytes(), STATE_FORWARD);
            let opening = verdict(&snapshot, from.port, forward, &frame.bytes());
            let ports = reverse_ports(forward.proto, forward.sport, forward.dport);
            let (sport, dport) = ports.expect("it has a reply");
            let reply = FlowKey {
                state: STATE_REPLY,
                smac: to.mac.0,
                dmac: if routed { to.gateway.0 } else { from.mac.0 },
                src: forward.dst,
                dst: forward.src,
                sport,
                dport,
                ..forward
            };
            let back = verdict(&snapshot, to.port, reply, &[]);
            let opens = matches!(opening, Verdict::Forward { .. });
            let replies = matches!(back, Verdict::Forward { reply: true, .. });
            prop_assert_eq!(opens, replies, "{:?}\n{:?}", opening, back);
        }
    }

    #[test]
    fn both_families_get_the_same_verdict(seed: u64) {
        let mut dice = Dice::new(seed);
        let mut world = World::new();
        let groups = random_groups(&mut dice, &mut world);
        let groups = (!dice.once_in(4)).then_some(&groups[..]);
        let town = Town::new(world, groups);
        let snapshot = town.snapshot();
        let payload = random_payload(&mut dice);
        let (ttl, state) = (*dice.pick(&[64, 1]), dice.below(2) as u8);
        let to = *dice.pick(&[town.b, town.c, town.a]);
        let unknown = dice.once_in(5);
        let kinds = [4, 6].map(|family| {
            let mut frame = match to.gateway == town.a.gateway {
                true => town.a.to(&to, family, payload.clone()),
                false => town.a.via_gateway(to.ip(family), payload.clone()),
            };
            if unknown {
                let nobody = if family == 4 { "10.0.1.99" } else { "fd00:1::99" };
                frame.dst = nobody.parse().expect("an address");
            }
            frame.ttl = ttl;
            let bytes = frame.bytes();
            kind(&verdict(&snapshot, town.a.port, sim::testing::key_of(&bytes, state), &bytes))
        });
        prop_assert_eq!(&kinds[0], &kinds[1]);
    }
}
