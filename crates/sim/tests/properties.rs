//! What holds for every topology and every packet.

use bpf_abi::{FLAG_FRAGMENT, FLAG_ICMP_ERROR, FLAG_TRANSIT_ERROR, FLAG_TRANSLATED, FlowKey};
use flow::{Decision, Verdict, key_bytes, key_from_bytes};
use proptest::prelude::*;
use sim::testing::{
    Dice, key_of, random_change, random_coast, random_entry, random_frame, random_tide,
    random_world,
};
use sim::{Ingress, Packet, simulate};
use topology::{PortId, Snapshot, View};

fn judge(snapshot: &Snapshot, port: PortId, key: FlowKey, frame: &[u8]) -> Decision {
    judge_at(snapshot, Ingress::Port(port), key, frame)
}

fn judge_at(snapshot: &Snapshot, ingress: Ingress, key: FlowKey, frame: &[u8]) -> Decision {
    let packet = Packet {
        key,
        frame,
        gso_size: 0,
    };
    simulate(snapshot, ingress, &packet)
}

/// The verdict, if it may be cached.
fn cached(decision: &Decision) -> Option<&Verdict> {
    matches!(
        decision.verdict,
        Verdict::Forward { .. } | Verdict::Drop { .. }
    )
    .then_some(&decision.verdict)
}

/// A random key that is equal to `key` in the bits of the mask, and that a packet can have: the
/// first 12 bytes of IPv4 addresses are always the same.
fn equal_under(dice: &mut Dice, decision: &Decision, key: &FlowKey) -> FlowKey {
    let (mask, key) = (key_bytes(&decision.mask.0), key_bytes(key));
    // all bits that do not matter at random, or only one of eight
    let few = dice.once_in(2);
    let noise = |dice: &mut Dice| {
        let any = dice.any() as u8;
        if few {
            any & dice.any() as u8 & dice.any() as u8
        } else {
            any
        }
    };
    let bytes = std::array::from_fn(|i| key[i] ^ (noise(dice) & !mask[i]));
    let (key, mut other) = (key_from_bytes(&key), key_from_bytes(&bytes));
    if key.family == 4 {
        other.src[..12].copy_from_slice(&key.src[..12]);
        other.dst[..12].copy_from_slice(&key.dst[..12]);
    }
    other
}

const FLAGS: u8 = FLAG_ICMP_ERROR | FLAG_FRAGMENT | FLAG_TRANSIT_ERROR | FLAG_TRANSLATED;

/// Keys that the kernel program makes: no ports where there are none, two states.
fn is_real(key: &FlowKey) -> bool {
    key.state <= 1 && key.flags & !FLAGS == 0
}

/// Whether a host has to judge such a packet: of a port of its own, or handed over to it.
fn comes_in_at(all: &Snapshot, ingress: Ingress, host: &str, key: &FlowKey, frame: &[u8]) -> bool {
    match ingress {
        Ingress::Port(port) => all.port(port).and_then(|p| p.host()) == Some(host),
        Ingress::Router(_) => {
            let second = judge_at(all, ingress, *key, frame);
            let Verdict::Forward { to, .. } = second.verdict else {
                return false;
            };
            let port = to.port().and_then(|port| all.port(port));
            port.and_then(|p| p.host()) == Some(host)
        }
        Ingress::Network(_) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn packets_equal_under_the_mask_get_the_same_verdict(seed: u64) {
        let mut dice = Dice::new(seed);
        let snapshot = random_world(&mut dice).snapshot();
        for _ in 0..8 {
            let (port, frame, state) = random_frame(&mut dice, &snapshot);
            let key = key_of(&frame, state);
            let decision = judge(&snapshot, port, key, &frame);
            let Some(verdict) = cached(&decision) else { continue };
            for _ in 0..8 {
                let other = equal_under(&mut dice, &decision, &key);
                if is_real(&other) {
                    let same = judge(&snapshot, port, other, &frame);
                    prop_assert_eq!(&same.verdict, verdict, "{:?}\n{:?}", key, other);
                    prop_assert_eq!(&same.mask, &decision.mask);
                }
            }
        }
    }

    #[test]
    fn a_decision_holds_until_one_of_its_tags_is_touched(seed: u64) {
        let mut dice = Dice::new(seed);
        let world = random_world(&mut dice);
        let before = world.snapshot();
        let packets: Vec<_> = (0..16).map(|_| random_frame(&mut dice, &before)).collect();
        let decide = |snapshot: &Snapshot| -> Vec<Decision> {
            packets.iter().map(|(p, f, s)| judge(snapshot, *p, key_of(f, *s), f)).collect()
        };
        let old = decide(&before);
        for revision in 2..6 {
            let change = random_change(&mut dice, &world, revision);
            let mut after = before.clone();
            let touched = after.apply(change.clone());
            for (old, new) in old.iter().zip(decide(&after)) {
                if cached(old).is_some() && old.tags.is_disjoint(&touched) {
                    prop_assert_eq!(&old.verdict, &new.verdict, "{:?}\n{:?}", change, touched);
                }
            }
        }
    }

    #[test]
    fn a_host_decides_by_its_part_as_by_the_whole(seed: u64) {
        let mut dice = Dice::new(seed);
        let all = random_world(&mut dice).snapshot();
        for host in ["host1", "host2"] {
            let changes = View::default().advance(&all, host);
            let mut part = Snapshot::default();
            changes.into_iter().for_each(|change| drop(part.apply(change)));
            for _ in 0..8 {
                let (port, frame, state) = random_frame(&mut dice, &all);
                if all.port(port).and_then(|p| p.host()) == Some(host) {
                    let key = key_of(&frame, state);
                    let decisions = [&all, &part].map(|s| judge(s, port, key, &frame));
                    prop_assert_eq!(&decisions[0], &decisions[1]);
                }
            }
        }
    }

    #[test]
    fn with_an_outside_packets_equal_under_the_mask_get_the_same_verdict(seed: u64) {
        let mut dice = Dice::new(seed);
        let snapshot = random_coast(&mut dice).snapshot();
        for _ in 0..8 {
            let (ingress, key, frame) = random_entry(&mut dice, &snapshot);
            let decision = judge_at(&snapshot, ingress, key, &frame);
            let Some(verdict) = cached(&decision) else { continue };
            for _ in 0..8 {
                let other = equal_under(&mut dice, &decision, &key);
                if is_real(&other) {
                    let same = judge_at(&snapshot, ingress, other, &frame);
                    prop_assert_eq!(&same.verdict, verdict, "{:?}\n{:?}", key, other);
                    prop_assert_eq!(&same.mask, &decision.mask);
                }
            }
        }
    }

    #[test]
    fn with_an_outside_a_decision_holds_until_one_of_its_tags_is_touched(seed: u64) {
        let mut dice = Dice::new(seed);
        let coast = random_coast(&mut dice);
        let before = coast.snapshot();
        let packets: Vec<_> = (0..16).map(|_| random_entry(&mut dice, &before)).collect();
        let decide = |snapshot: &Snapshot| -> Vec<Decision> {
            packets.iter().map(|(i, k, f)| judge_at(snapshot, *i, *k, f)).collect()
        };
        let old = decide(&before);
        for revision in 2..6 {
            let mut after = before.clone();
            let touched = match dice.once_in(5) {
                true => {
                    let plug = dice.pick(&coast.uplinks).plug;
                    after.set_carrier(plug, false).into_iter().collect()
                }
                false => after.apply(random_tide(&mut dice, &coast, revision)),
            };
            for ((old, new), packet) in old.iter().zip(decide(&after)).zip(&packets) {
                if cached(old).is_some() && old.tags.is_disjoint(&touched) {
                    prop_assert_eq!(&old.verdict, &new.verdict, "{:?}\n{:?}", packet, touched);
                }
            }
        }
    }

    #[test]
    fn with_an_outside_a_host_decides_by_its_part_as_by_the_whole(seed: u64) {
        let mut dice = Dice::new(seed);
        let all = random_coast(&mut dice).snapshot();
        for host in ["host1", "host2", "host3", "host4"] {
            let mut part = Snapshot::default();
            let changes = View::default().advance(&all, host);
            changes.into_iter().for_each(|change| drop(part.apply(change)));
            for station in all.stations() {
                part.learn(*station);
            }
            for _ in 0..8 {
                let (ingress, key, frame) = random_entry(&mut dice, &all);
                if !comes_in_at(&all, ingress, host, &key, &frame) {
                    continue;
                }
                let decisions = [&all, &part].map(|s| judge_at(s, ingress, key, &frame));
                prop_assert_eq!(&decisions[0], &decisions[1], "{:?} {:?}", ingress, key);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(seed: u64, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut dice = Dice::new(seed);
        let snapshot = random_world(&mut dice).snapshot();
        let (port, mut frame, state) = random_frame(&mut dice, &snapshot);
        judge(&snapshot, port, key_of(&bytes, state), &bytes);
        // a good frame with some bytes changed gets further
        for _ in 0..dice.below(6) {
            let at = dice.below(frame.len());
            frame[at] = dice.any() as u8;
        }
        frame.truncate(frame.len() - dice.below(frame.len() / 2));
        judge(&snapshot, port, key_of(&frame, state), &frame);
        let bridge = snapshot.port(port).and_then(|p| p.bridge).expect("it is on a network");
        let packet = Packet { key: key_of(&frame, state), frame: &frame, gso_size: 1400 };
        simulate(&snapshot, Ingress::Network(bridge), &packet);
    }
}
/// The properties above say something only if random packets get everywhere.
#[test]
fn random_packets_meet_every_kind_of_verdict() {
    let mut missing: Vec<&str> = vec![
        "forward 0 false",
        "forward 1 false",
        "forward 2 false",
        "forward 0 true",
        "forward 1 true",
        "forward 2 true",
        "security_group_egress",
        "security_group_ingress",
        "spoofed_mac",
        "spoofed_ip",
        "unknown_mac",
        "no_route",
        "unknown_neighbor",
        "ttl_expired",
        "router_address",
        "martian_address",
        "hairpin",
        "port_down",
        "port_unbound",
        "network_down",
        "router_down",
        "dhcp_server",
        "too_many_devices",
        "answer",
        "flood",
    ];
    for seed in 0..2000 {
        let mut dice = Dice::new(seed);
        let snapshot = random_world(&mut dice).snapshot();
        for _ in 0..4 {
            let (port, frame, state) = random_frame(&mut dice, &snapshot);
            let name = match judge(&snapshot, port, key_of(&frame, state), &frame).verdict {
                Verdict::Forward { rewrite, reply, .. } => {
                    format!("forward {} {reply}", rewrite.hops)
                }
                Verdict::Drop { reason, .. } | Verdict::Refuse { reason, .. } => {
                    reason.name().into()
                }
                Verdict::Answer(_) => "answer".to_owned(),
                Verdict::Metadata => "metadata".to_owned(),
                Verdict::Flood { .. } => "flood".to_owned(),
            };
            missing.retain(|wanted| *wanted != name);
        }
    }
    assert_eq!(missing, Vec::<&str>::new());
}

/// The same of the properties about outsides.
#[test]
fn random_entries_meet_every_kind_of_verdict() {
    let mut missing: Vec<&str> = vec![
        "to router, record true, hops 0",
        "to router, record true, hops 1",
        "to router, record false, hops 1",
        "to port, record true, hops 2",
        "to port, record false, hops 2",
        "source translated",
        "source shared",
        "destination translated",
        "destination port translated",
        "nat64",
        "reply",
        "not_forwarded",
        "translation_gone",
        "snat_protocol",
        "nat64_protocol",
        "router_address",
        "no_route",
        "port_unbound",
        "answer",
    ];
    for seed in 0..3000 {
        let mut dice = Dice::new(seed);
        let snapshot = random_coast(&mut dice).snapshot();
        for _ in 0..8 {
            let (ingress, key, frame) = random_entry(&mut dice, &snapshot);
            let names = match judge_at(&snapshot, ingress, key, &frame).verdict {
                Verdict::Forward {
                    to,
                    rewrite,
                    record,
                    reply,
                    ..
                } => {
                    let kind = if to.port().is_some() {
                        "port"
                    } else {
                        "router"
                    };
                    let (record, hops) = (record.is_some(), rewrite.hops);
                    let mut names = vec![format!("to {kind}, record {record}, hops {hops}")];
                    let mut note = |holds: bool, what: &str| {
                        names.extend(holds.then(|| what.to_owned()));
                    };
                    note(rewrite.src.is_some(), "source translated");
                    note(rewrite.snat, "source shared");
                    note(rewrite.dst.is_some(), "destination translated");
                    note(rewrite.dst_port.is_some(), "destination port translated");
                    note(rewrite.nat64.is_some(), "nat64");
                    note(reply, "reply");
                    names
                }
                Verdict::Drop { reason, .. } | Verdict::Refuse { reason, .. } => {
                    vec![reason.name().to_owned()]
                }
                Verdict::Answer(_) => vec!["answer".to_owned()],
                Verdict::Metadata | Verdict::Flood { .. } => vec![],
            };
            missing.retain(|wanted| !names.iter().any(|name| name == wanted));
        }
    }
    assert_eq!(missing, Vec::<&str>::new());
}
