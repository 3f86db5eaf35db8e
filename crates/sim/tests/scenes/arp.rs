//! ARP is answered from the topology; what it does not know is asked of those who may.

use crate::{answered, reason, send};
use flow::{DropReason, Verdict};
use sim::testing::{Town, Vm, mac};
use sim::{Ingress, Packet, simulate};
use std::net::{IpAddr, Ipv4Addr};
use wire::{Arp, ArpOperation, Mac};

fn v4(ip: IpAddr) -> Ipv4Addr {
    match ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => panic!("not IPv4"),
    }
}

fn request(from: &Vm, target: &str) -> Arp {
    Arp {
        operation: ArpOperation::Request,
        sender_mac: from.mac,
        sender_ip: v4(from.v4),
        target_mac: Mac::default(),
        target_ip: target.parse().unwrap(),
    }
}

#[test]
fn neighbours_and_routers_are_answered_for() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    for (target, owner) in [("10.0.0.11", town.b.mac), ("10.0.0.1", town.a.gateway)] {
        let ask = request(&town.a, target).frame(Mac::BROADCAST);
        let answer = answered(send(&snapshot, town.a.port, &ask));
        let reply = Arp::read(&answer[14..]).unwrap();
        assert_eq!((reply.sender_mac, reply.target_mac), (owner, town.a.mac));
        assert_eq!(reply.sender_ip.to_string(), target);
    }
}

#[test]
fn a_probe_for_another_is_answered_and_for_itself_is_not() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    let probe = |target| {
        let arp = Arp {
            sender_ip: Ipv4Addr::UNSPECIFIED,
            ..request(&town.a, target)
        };
        send(&snapshot, town.a.port, &arp.frame(Mac::BROADCAST))
    };
    assert_eq!(probe("10.0.0.10"), Verdict::Answer(vec![]));
    answered(probe("10.0.0.11"));
}

#[test]
fn unknown_targets_are_asked_of_those_who_may_have_them_whatever_the_groups_say() {
    let mut town = Town::new(sim::testing::World::new(), Some(&[]));
    let ask = request(&town.a, "10.0.0.99").frame(Mac::BROADCAST);
    let nobody = Verdict::Flood { ports: vec![] };
    assert_eq!(send(&town.snapshot(), town.a.port, &ask), nobody);
    town.world.change_port(town.b.port, |port| {
        let net = "10.0.0.96/28".parse().unwrap();
        let mac = port.mac;
        let security = port.security.as_mut().unwrap();
        security.pairs.push(topology::AddressPair { net, mac });
    });
    let snapshot = town.snapshot();
    let flood = Verdict::Flood {
        ports: vec![town.b.port],
    };
    assert_eq!(send(&snapshot, town.a.port, &ask), flood);
    let key = sim::testing::key_of(&ask, 0);
    let packet = Packet {
        key,
        frame: &ask,
        gso_size: 0,
    };
    let copy = simulate(&snapshot, Ingress::Network(town.red), &packet);
    assert_eq!(copy.verdict, flood);
}

#[test]
fn replies_go_to_their_receiver_only() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    let reply = Arp {
        operation: ArpOperation::Reply,
        ..request(&town.a, "10.0.0.11")
    };
    let frame = reply.frame(town.b.mac);
    let flood = Verdict::Flood {
        ports: vec![town.b.port],
    };
    assert_eq!(send(&snapshot, town.a.port, &frame), flood);
    let to_router = reply.frame(town.a.gateway);
    assert_eq!(
        send(&snapshot, town.a.port, &to_router),
        Verdict::Answer(vec![])
    );
}

#[test]
fn announcements_of_what_is_known_go_nowhere() {
    let town = Town::with_default_group();
    let announce = request(&town.a, "10.0.0.10").frame(Mac::BROADCAST);
    assert_eq!(
        send(&town.snapshot(), town.a.port, &announce),
        Verdict::Answer(vec![])
    );
}

#[test]
fn a_port_that_is_down_is_not_answered_for() {
    let mut town = Town::with_default_group();
    town.world.change_port(town.b.port, |p| p.admin_up = false);
    let ask = request(&town.a, "10.0.0.11").frame(Mac::BROADCAST);
    let verdict = send(&town.snapshot(), town.a.port, &ask);
    assert_eq!(verdict, Verdict::Flood { ports: vec![] });
}

#[test]
fn lies_are_named() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    let good = request(&town.a, "10.0.0.11");
    let cases = [
        (
            Arp {
                sender_ip: v4(town.b.v4),
                ..good
            },
            good.sender_mac,
            DropReason::SpoofedArp,
        ),
        (
            Arp {
                sender_mac: town.b.mac,
                ..good
            },
            good.sender_mac,
            DropReason::SpoofedArp,
        ),
        (
            Arp {
                sender_mac: mac(99),
                ..good
            },
            mac(99),
            DropReason::SpoofedMac,
        ),
    ];
    for (arp, smac, wanted) in cases {
        let mut frame = arp.frame(Mac::BROADCAST);
        frame[6..12].copy_from_slice(&smac.0);
        assert_eq!(
            reason(&send(&snapshot, town.a.port, &frame)),
            Some(wanted),
            "{arp:?}"
        );
    }
    let mut cut = good.frame(Mac::BROADCAST);
    cut.truncate(40);
    let verdict = send(&snapshot, town.a.port, &cut);
    assert_eq!(reason(&verdict), Some(DropReason::Malformed));
}
