//! Router advertisements, asked for and unasked.

use crate::{answered, send};
use flow::Verdict;
use sim::testing::{Town, World};
use sim::{Ingress, Packet, advertise, simulate};
use std::net::{IpAddr, Ipv6Addr};
use topology::{Ipv6Mode, Object};
use wire::{IpPacket, Mac, nd, protocol};

fn solicitation(town: &Town, src: Ipv6Addr) -> Vec<u8> {
    let packet = IpPacket {
        src: IpAddr::V6(src),
        dst: IpAddr::V6(nd::ALL_ROUTERS),
        proto: protocol::ICMPV6,
        ttl: 255,
        payload: &nd::router_solicitation(src, town.a.mac),
    };
    packet
        .frame(town.a.mac, Mac::for_ipv6_multicast(nd::ALL_ROUTERS))
        .unwrap()
}

/// M and O flags, lifetime, and the flags of the first prefix.
fn summary(frame: &[u8]) -> (u8, u16, u8) {
    let body = &frame[54..];
    (body[5], u16::from_be_bytes([body[6], body[7]]), body[35])
}

fn set_mode(town: &mut Town, mode: Option<Ipv6Mode>) {
    for object in &mut town.world.objects {
        if let Object::Subnet(subnet) = object
            && subnet.cidr.addr().is_ipv6()
        {
            subnet.ipv6_mode = mode;
        }
    }
}

#[test]
fn a_solicitation_is_answered_by_the_gateway() {
    let town = Town::with_default_group();
    let src = town.a.mac.link_local();
    let answer = answered(send(
        &town.snapshot(),
        town.a.port,
        &solicitation(&town, src),
    ));
    assert_eq!(answer[..6], town.a.mac.0);
    assert_eq!(answer[6..12], town.a.gateway.0);
    assert_eq!(answer[22..38], town.a.gateway.link_local().octets());
    assert_eq!(answer[38..54], src.octets());
    assert_eq!(answer[21], 255);
    assert_eq!(summary(&answer), (0, 1800, 0xc0));
    assert!(nd::icmp6_checksum_ok(
        town.a.gateway.link_local(),
        src,
        &answer[54..]
    ));
    let prefix: Ipv6Addr = "fd00::".parse().unwrap();
    assert_eq!(answer[54 + 48..54 + 64], prefix.octets());
}

#[test]
fn one_without_an_address_is_answered_at_all_nodes() {
    let town = Town::with_default_group();
    let frame = solicitation(&town, Ipv6Addr::UNSPECIFIED);
    let verdict = send(&town.snapshot(), town.a.port, &frame);
    assert_eq!(answered(verdict)[38..54], nd::ALL_NODES.octets());
}

#[test]
fn flags_follow_the_mode() {
    let cases = [
        (Ipv6Mode::Slaac, 0, 0xc0),
        (Ipv6Mode::Dhcpv6Stateless, 0x40, 0xc0),
        (Ipv6Mode::Dhcpv6Stateful, 0xc0, 0x80),
    ];
    for (mode, flags, prefix) in cases {
        let mut town = Town::with_default_group();
        set_mode(&mut town, Some(mode));
        let frame = advertise(&town.snapshot(), town.a.port).unwrap();
        assert_eq!(summary(&frame), (flags, 1800, prefix), "{mode:?}");
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
    }
}

#[test]
fn without_a_mode_there_is_no_advertisement() {
    let mut town = Town::new(World::new(), None);
    set_mode(&mut town, None);
    let snapshot = town.snapshot();
    assert_eq!(advertise(&snapshot, town.a.port), None);
    let frame = solicitation(&town, town.a.mac.link_local());
    let flood = Verdict::Flood {
        ports: vec![town.b.port],
    };
    assert_eq!(send(&snapshot, town.a.port, &frame), flood);
}

#[test]
fn a_network_without_a_router_gives_prefixes_but_no_default_route() {
    let mut town = Town::with_default_group();
    for object in &mut town.world.objects {
        if let Object::Router(router) = object {
            router.admin_up = false;
        }
    }
    let frame = advertise(&town.snapshot(), town.a.port).unwrap();
    assert_eq!(summary(&frame), (0, 0, 0xc0));
}

#[test]
fn copies_on_the_network_are_not_answered_again() {
    let town = Town::with_default_group();
    let frame = solicitation(&town, town.a.mac.link_local());
    let key = sim::testing::key_of(&frame, 0);
    let packet = Packet {
        key,
        frame: &frame,
        gso_size: 0,
    };
    let decision = simulate(&town.snapshot(), Ingress::Network(town.red), &packet);
    assert_eq!(decision.verdict, Verdict::Flood { ports: vec![] });
}
