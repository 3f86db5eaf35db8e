//! Frames that are made to hurt: each is read or named, simulated, and nothing panics.

use crate::send;
use flow::{DropReason, Verdict, parse};
use sim::testing::{Dice, Payload, Town, key_of};
use sim::{Ingress, Packet, simulate};
use wire::{ethertype, protocol, tcp_flag};

/// Good frames to start from.
fn seeds(town: &Town) -> Vec<Vec<u8>> {
    let payloads = || {
        [
            Payload::Tcp(1, 80, tcp_flag::SYN),
            Payload::Udp(68, 67, vec![1; 300]),
            Payload::Udp(1, 53, vec![]),
            Payload::Echo {
                reply: false,
                id: 1,
            },
            Payload::Other(protocol::ICMP, vec![3; 60]),
            Payload::Other(protocol::ICMPV6, vec![135; 40]),
            Payload::Other(132, vec![0; 12]),
        ]
    };
    let mut all = Vec::new();
    for family in [4, 6] {
        for payload in payloads() {
            all.push(town.a.to(&town.b, family, payload.clone()).bytes());
            all.push(town.a.via_gateway(town.c.ip(family), payload).bytes());
        }
    }
    let arp = [[0xff; 6], town.a.mac.0].concat();
    all.push(
        [
            &arp[..],
            &ethertype::ARP.to_be_bytes(),
            &[0, 1, 8, 0, 6, 4, 0, 1],
            &[1; 20],
        ]
        .concat(),
    );
    all
}

#[test]
fn every_cut_and_every_changed_byte_of_a_good_frame() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    let run = |frame: &[u8]| {
        for state in [0, 1] {
            let packet = Packet {
                key: key_of(frame, state),
                frame,
                gso_size: 0,
            };
            simulate(&snapshot, Ingress::Port(town.a.port), &packet);
            simulate(&snapshot, Ingress::Network(town.red), &packet);
        }
    };
    for seed in seeds(&town) {
        (0..seed.len()).for_each(|len| run(&seed[..len]));
        for at in 0..seed.len().min(120) {
            for value in [0, 1, 0x0f, 0x45, 0x60, 0x7f, 0x80, 0xff] {
                let mut frame = seed.clone();
                frame[at] = value;
                run(&frame);
            }
        }
    }
}

#[test]
fn pure_noise() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    let mut dice = Dice::new(1);
    for _ in 0..20_000 {
        let mut frame: Vec<u8> = (0..dice.below(160)).map(|_| dice.any() as u8).collect();
        if let (true, Some(kind)) = (dice.once_in(2), frame.get_mut(12..15)) {
            let kinds: [[u8; 3]; 3] = [[8, 0, 0x45], [0x86, 0xdd, 0x60], [8, 6, 0]];
            kind.copy_from_slice(&kinds[dice.below(3)]);
        }
        if parse(&frame).is_ok() {
            send(&snapshot, town.a.port, &frame);
        }
    }
}

#[test]
fn known_attacks_are_named() {
    let town = Town::with_default_group();
    let good = town
        .a
        .to(&town.b, 6, Payload::Tcp(1, 80, tcp_flag::SYN))
        .bytes();
    let extension = |headers: &[u8], first: u8| {
        let mut frame = good.clone();
        frame[20] = first;
        frame[19] += headers.len() as u8;
        frame.splice(54..54, headers.iter().copied());
        parse(&frame).err()
    };
    let chain: Vec<u8> = [60, 0, 0, 0, 0, 0, 0, 0].repeat(40);
    let cases = [
        (
            extension(&[6, 0, 0, 1, 0, 0, 0, 0], 43),
            DropReason::ExtensionHeaders,
            "routing header",
        ),
        (
            extension(&chain, 60),
            DropReason::ExtensionHeaders,
            "long chain",
        ),
        (
            extension(&[6, 255, 0, 0, 0, 0, 0, 0], 0),
            DropReason::Malformed,
            "too long",
        ),
    ];
    for (got, wanted, name) in cases {
        assert_eq!(got, Some(wanted), "{name}");
    }
}

#[test]
fn nothing_of_one_network_reaches_another_without_a_router() {
    let mut town = Town::new(sim::testing::World::new(), None);
    town.world
        .objects
        .retain(|o| !matches!(o, topology::Object::Router(_)));
    let snapshot = town.snapshot();
    let foreign = [town.c.port];
    let mut dice = Dice::new(3);
    for _ in 0..5000 {
        let family = *dice.pick(&[4, 6]);
        let mut frame = town.a.to(&town.c, family, Payload::Udp(1, 2, vec![0; 8]));
        frame.dmac = *dice.pick(&[town.c.mac, town.a.gateway, town.b.mac, wire::Mac::BROADCAST]);
        let reached = match send(&snapshot, town.a.port, &frame.bytes()) {
            Verdict::Forward { to, .. } => to.port().into_iter().collect(),
            Verdict::Flood { ports } => ports,
            _ => vec![],
        };
        assert!(!reached.iter().any(|p| foreign.contains(p)));
    }
}
