//! Stations behind ports: what is heard of them, where frames for them go, and who is asked.

use crate::{decide, delivered, ip, reason, send};
use bpf_abi::STATE_FORWARD;
use flow::{DropReason, Verdict};
use sim::testing::{Frame, Payload, Town, Vm, World, key_of};
use sim::{Packet, question, stations_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use topology::{AddressPair, Learned, PortId, Snapshot, Station, Tag};
use wire::{Arp, ArpOperation, IpPacket, Mac, nd, protocol};

const VIRTUAL: Mac = Mac([0, 0, 0x5e, 0, 1, 51]);

/// A default group, and on `b` an address of each family with the virtual MAC.
fn town() -> Town {
    let mut town = Town::with_default_group();
    town.world.change_port(town.b.port, |port| {
        let security = port.security.as_mut().unwrap();
        for net in ["10.0.0.100/32", "fd00::100/128"] {
            let net = net.parse().unwrap();
            security.pairs.push(AddressPair { net, mac: VIRTUAL });
        }
    });
    town
}

fn heard(snapshot: &Snapshot, port: PortId, frame: &[u8]) -> Vec<(Mac, Option<IpAddr>)> {
    let packet = Packet {
        key: key_of(frame, STATE_FORWARD),
        frame,
        gso_size: 0,
    };
    let stations = stations_of(snapshot, port, &packet);
    stations.iter().map(|s| (s.mac, s.ip)).collect()
}

fn gratuitous(mac: Mac, ip: [u8; 4]) -> Vec<u8> {
    let arp = Arp {
        operation: ArpOperation::Reply,
        sender_mac: mac,
        sender_ip: Ipv4Addr::from(ip),
        target_mac: Mac::BROADCAST,
        target_ip: Ipv4Addr::from(ip),
    };
    arp.frame(Mac::BROADCAST)
}

fn unsolicited(mac: Mac, ip: Ipv6Addr) -> Vec<u8> {
    let message = nd::neighbor_advertisement(ip, mac, false, nd::ALL_NODES);
    let packet = IpPacket {
        src: ip.into(),
        dst: nd::ALL_NODES.into(),
        proto: protocol::ICMPV6,
        ttl: nd::ND_HOP_LIMIT,
        payload: &message,
    };
    let dmac = Mac::for_ipv6_multicast(nd::ALL_NODES);
    packet.frame(mac, dmac).unwrap()
}

/// What a frame teaches is learned.
fn learn(snapshot: &mut Snapshot, bridge: topology::BridgeId, port: PortId, frame: &[u8]) {
    let learned = heard(snapshot, port, frame);
    assert!(!learned.is_empty());
    for (mac, ip) in learned {
        let station = Station {
            bridge,
            port,
            mac,
            ip,
        };
        assert_eq!(snapshot.learn(station), Learned::Changed);
    }
}

#[test]
fn only_who_may_speak_is_heard_and_only_of_what_neutron_did_not_give() {
    let town = town();
    let snapshot = town.snapshot();
    let (v4, v6) = (ip("10.0.0.100"), ip("fd00::100"));
    let shared = gratuitous(VIRTUAL, [10, 0, 0, 100]);
    let both = |ip| vec![(VIRTUAL, None), (VIRTUAL, Some(ip))];
    assert_eq!(heard(&snapshot, town.b.port, &shared), both(v4));
    assert_eq!(heard(&snapshot, town.a.port, &shared), []);
    let shared6 = unsolicited(VIRTUAL, "fd00::100".parse().unwrap());
    assert_eq!(heard(&snapshot, town.b.port, &shared6), both(v6));

    let of_another = gratuitous(VIRTUAL, [10, 0, 0, 10]);
    assert_eq!(
        heard(&snapshot, town.b.port, &of_another),
        [(VIRTUAL, None)]
    );
    let own = gratuitous(town.b.mac, [10, 0, 0, 11]);
    assert_eq!(heard(&snapshot, town.b.port, &own), []);
    // an ordinary packet says where its MAC is, and nothing of addresses
    let data = Frame {
        smac: VIRTUAL,
        ..town.b.to(&town.a, 4, Payload::Udp(1, 2, vec![]))
    };
    assert_eq!(
        heard(&snapshot, town.b.port, &data.bytes()),
        [(VIRTUAL, None)]
    );
    let data = town.b.to(&town.a, 4, Payload::Udp(1, 2, vec![]));
    assert_eq!(heard(&snapshot, town.b.port, &data.bytes()), []);
    let mut broken = shared6;
    broken[60] ^= 1;
    assert_eq!(heard(&snapshot, town.b.port, &broken), [(VIRTUAL, None)]);
}

#[test]
fn an_owner_takes_back_what_another_was_heard_to_have() {
    let mut town = town();
    town.world.change_port(town.b.port, |port| {
        let (net, mac) = ("10.0.0.10/32".parse().unwrap(), port.mac);
        let security = port.security.as_mut().unwrap();
        security.pairs.push(AddressPair { net, mac });
    });
    let mut snapshot = town.snapshot();
    let own = gratuitous(town.a.mac, [10, 0, 0, 10]);
    assert_eq!(heard(&snapshot, town.a.port, &own), []);
    assert_eq!(
        send(&snapshot, town.a.port, &own),
        Verdict::Answer(Vec::new())
    );
    let taken = gratuitous(town.b.mac, [10, 0, 0, 10]);
    learn(&mut snapshot, town.red, town.b.port, &taken);
    learn(&mut snapshot, town.red, town.a.port, &own);
    // its neighbours, who have believed the other, hear it
    let everybody = Verdict::Flood {
        ports: vec![town.b.port],
    };
    assert_eq!(send(&snapshot, town.a.port, &own), everybody);
}

#[test]
fn frames_for_a_station_go_to_its_port() {
    let mut town = town();
    town.world.change_port(town.a.port, |port| {
        let net = "10.0.0.100/32".parse().unwrap();
        let security = port.security.as_mut().unwrap();
        security.pairs.push(AddressPair { net, mac: VIRTUAL });
    });
    let mut snapshot = town.snapshot();
    let to_station = |from: &Vm| {
        let frame = Frame {
            dmac: VIRTUAL,
            dst: ip("10.0.0.100"),
            ..from.to(&town.b, 4, Payload::Udp(1, 2, vec![]))
        };
        frame.bytes()
    };
    let frame = to_station(&town.a);
    let maybe = Verdict::Flood {
        ports: vec![town.b.port],
    };
    assert_eq!(send(&snapshot, town.a.port, &frame), maybe);
    let shared = gratuitous(VIRTUAL, [10, 0, 0, 100]);
    learn(&mut snapshot, town.red, town.b.port, &shared);
    let key = key_of(&frame, STATE_FORWARD);
    let decision = decide(&snapshot, town.a.port, key, &frame);
    assert_eq!(delivered(&decision.verdict), Some((town.b.port, 0)));
    assert!(decision.tags.contains(&Tag::Mac(town.red, VIRTUAL)));
    // what the station says is decided anew when it is heard elsewhere
    let said = Frame {
        smac: VIRTUAL,
        src: ip("10.0.0.100"),
        ..town.b.to(&town.a, 4, Payload::Udp(1, 2, vec![]))
    };
    let said = said.bytes();
    let decision = decide(&snapshot, town.b.port, key_of(&said, STATE_FORWARD), &said);
    assert!(decision.tags.contains(&Tag::Mac(town.red, VIRTUAL)));
}

#[test]
fn routers_ask_for_what_they_do_not_know() {
    let town = town();
    let mut snapshot = town.snapshot();
    for (target, announce) in [
        ("10.0.0.100", gratuitous(VIRTUAL, [10, 0, 0, 100])),
        (
            "fd00::100",
            unsolicited(VIRTUAL, "fd00::100".parse().unwrap()),
        ),
    ] {
        let frame = town.c.via_gateway(ip(target), Payload::Udp(1, 2, vec![]));
        let frame = frame.bytes();
        let key = key_of(&frame, STATE_FORWARD);
        let decision = decide(&snapshot, town.c.port, key, &frame);
        assert_eq!(
            reason(&decision.verdict),
            Some(DropReason::NeighborUnresolved)
        );
        let asked = decision.question.unwrap();
        assert_eq!((asked.bridge, asked.ip), (town.red, ip(target)));
        assert_eq!(asked.ports, [town.b.port]);
        assert_eq!(
            Some(&asked),
            question(&snapshot, town.red, ip(target)).as_ref()
        );
        assert_eq!(asked.frame[6..12], town.a.gateway.0);

        for (mac, said) in heard(&snapshot, town.b.port, &announce) {
            let (bridge, port, ip) = (town.red, town.b.port, said);
            snapshot.learn(Station {
                bridge,
                port,
                mac,
                ip,
            });
        }
        let decision = decide(&snapshot, town.c.port, key, &frame);
        assert_eq!(decision.question, None);
        let Verdict::Forward { to, rewrite, .. } = decision.verdict else {
            panic!("{:?}", decision.verdict);
        };
        assert_eq!((to.port(), rewrite.dmac), (Some(town.b.port), VIRTUAL));
        assert!(decision.tags.contains(&Tag::Neighbor(town.red, ip(target))));
    }
}

#[test]
fn an_address_that_is_only_reserved_is_asked_of_those_who_share_it() {
    let mut town = town();
    let subnet = |town: &Town| town.snapshot().bridge_subnets(town.red).next().unwrap().id;
    let subnet = subnet(&town);
    let reserved = town.world.vm(town.red, "", &[(subnet, "10.0.0.100")], None);
    town.world
        .change_port(reserved, |port| port.link = topology::Link::None);
    let ask = Arp {
        operation: ArpOperation::Request,
        sender_mac: town.a.mac,
        sender_ip: "10.0.0.10".parse().unwrap(),
        target_mac: Mac::default(),
        target_ip: "10.0.0.100".parse().unwrap(),
    };
    let ask = ask.frame(Mac::BROADCAST);
    let shared = Verdict::Flood {
        ports: vec![town.b.port],
    };
    assert_eq!(send(&town.snapshot(), town.a.port, &ask), shared);
    let routed = town
        .c
        .via_gateway(ip("10.0.0.100"), Payload::Udp(1, 2, vec![]));
    let verdict = send(&town.snapshot(), town.c.port, &routed.bytes());
    assert_eq!(reason(&verdict), Some(DropReason::NeighborUnresolved));
}

#[test]
fn a_port_without_port_security_may_have_anybody_behind_it() {
    let mut town = Town::new(World::new(), Some(&[]));
    town.world
        .change_port(town.b.port, |port| port.security = None);
    let snapshot = town.snapshot();
    let foreign = Mac([2, 9, 9, 9, 9, 9]);
    let news = gratuitous(foreign, [10, 0, 0, 77]);
    assert_eq!(
        heard(&snapshot, town.b.port, &news),
        [(foreign, None), (foreign, Some(ip("10.0.0.77")))]
    );
    let flood = Verdict::Flood {
        ports: vec![town.a.port],
    };
    assert_eq!(send(&snapshot, town.b.port, &news), flood);
}
