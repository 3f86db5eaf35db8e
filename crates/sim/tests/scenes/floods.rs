//! Broadcast and multicast: to those who may receive it, and nobody else.

use crate::{ip, reason, send};
use flow::{DropReason, Verdict};
use sim::testing::{Frame, Payload, Town, World, key_of, rule};
use sim::{Ingress, Packet, simulate};
use topology::{Direction, Family, Layer4, Rule};
use wire::{Mac, protocol};

fn broadcast(town: &Town, dport: u16) -> Vec<u8> {
    let frame = town.a.to(&town.b, 4, Payload::Udp(1000, dport, vec![0; 8]));
    Frame {
        dmac: Mac::BROADCAST,
        dst: ip("10.0.0.255"),
        ..frame
    }
    .bytes()
}

fn town() -> Town {
    let mut world = World::new();
    let layer4 = Layer4::Ports {
        min: 5353,
        max: 5353,
    };
    let ingress = rule(Direction::Ingress, Family::V4);
    let rules = vec![
        rule(Direction::Egress, Family::V4),
        Rule {
            protocol: Some(protocol::UDP),
            layer4,
            ..ingress
        },
    ];
    let group = world.group(true, rules);
    Town::new(world, Some(&[group]))
}

#[test]
fn receivers_are_asked_before_a_copy_is_sent() {
    let town = town();
    let snapshot = town.snapshot();
    let wanted = Verdict::Flood {
        ports: vec![town.b.port],
    };
    assert_eq!(
        send(&snapshot, town.a.port, &broadcast(&town, 5353)),
        wanted
    );
    let unwanted = Verdict::Flood { ports: vec![] };
    assert_eq!(
        send(&snapshot, town.a.port, &broadcast(&town, 80)),
        unwanted
    );
}

#[test]
fn the_receiving_host_asks_again() {
    let town = town();
    let snapshot = town.snapshot();
    let judge = |frame: &[u8]| {
        let packet = Packet {
            key: key_of(frame, 0),
            frame,
            gso_size: 0,
        };
        simulate(&snapshot, Ingress::Network(town.red), &packet).verdict
    };
    let Verdict::Flood { ports } = judge(&broadcast(&town, 5353)) else {
        panic!("not flooded")
    };
    assert!(ports.contains(&town.b.port));
    assert_eq!(
        judge(&broadcast(&town, 80)),
        Verdict::Flood { ports: vec![] }
    );
    let unicast = town.a.to(&town.b, 4, Payload::Udp(1, 5353, vec![])).bytes();
    assert_eq!(
        judge(&unicast),
        Verdict::Flood {
            ports: vec![town.b.port]
        }
    );
    let mut stray = unicast;
    stray[..6].copy_from_slice(&[2, 0, 0, 9, 9, 9]);
    assert_eq!(reason(&judge(&stray)), Some(DropReason::UnknownMac));
}

#[test]
fn routers_ports_that_are_down_and_the_sender_get_none() {
    let mut town = Town::new(World::new(), None);
    let frame = broadcast(&town, 80);
    let wanted = Verdict::Flood {
        ports: vec![town.b.port],
    };
    assert_eq!(send(&town.snapshot(), town.a.port, &frame), wanted);
    town.world.change_port(town.b.port, |p| p.admin_up = false);
    let nobody = Verdict::Flood { ports: vec![] };
    assert_eq!(send(&town.snapshot(), town.a.port, &frame), nobody);
}

#[test]
fn unknown_unicast_is_dropped() {
    let town = town();
    let frame = town.a.to(&town.b, 4, Payload::Udp(1, 5353, vec![]));
    let frame = Frame {
        dmac: sim::testing::mac(99),
        ..frame
    }
    .bytes();
    let verdict = send(&town.snapshot(), town.a.port, &frame);
    let wanted = Verdict::Drop {
        reason: DropReason::UnknownMac,
        cause: Some(town.red.0),
    };
    assert_eq!(verdict, wanted);
}
