//! What holds for every topology and every packet.

use bpf_abi::{FLAG_FRAGMENT, FLAG_ICMP_ERROR, FLAG_TRANSIT_ERROR, FlowKey};
use flow::{Decision, Verdict, key_bytes, key_from_bytes};
use proptest::prelude::*;
use sim::testing::{Dice, key_of, random_change, random_frame, random_world};
use sim::{Ingress, Packet, simulate};
use topology::{PortId, Snapshot, View};

fn judge(snapshot: &Snapshot, port: PortId, key: FlowKey, frame: &[u8]) -> Decision {
    simulate(
        snapshot,
        Ingress::Port(port),
        &Packet {
            key,
            frame,
            gso_size: 0,
        },
    )
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

const FLAGS: u8 = FLAG_ICMP_ERROR | FLAG_FRAGMENT | FLAG_TRANSIT_ERROR;

/// Keys that the kernel program makes: no ports where there are none, two states.
fn is_real(key: &FlowKey) -> bool {
    key.state <= 1 && key.flags & !FLAGS == 0
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
