//! Router advertisements, asked for and unasked.

use crate::{answered, send};
use flow::Verdict;
use sim::testing::{Town, World};
use sim::{Advertisement, Ingress, Packet, advertisements, farewells, simulate};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};
use topology::{Family, Ipv6Mode, Object, PortId, RouterId};
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

fn said(town: &Town) -> Vec<Advertisement> {
    let ports = BTreeSet::from([town.a.port]);
    let mut said = advertisements(&town.snapshot(), &ports);
    said.remove(&town.a.port).unwrap()
}

fn frames(said: &[Advertisement]) -> Vec<Vec<u8>> {
    said.iter().map(|a| a.unasked().unwrap()).collect()
}

/// The only advertisement.
fn frame(town: &Town) -> Vec<u8> {
    let [frame] = frames(&said(town)).try_into().unwrap();
    frame
}

fn set_mode(town: &mut Town, mode: Option<Ipv6Mode>) {
    for object in &mut town.world.objects {
        if let Object::Subnet(subnet) = object
            && subnet.cidr.addr().is_ipv6()
        {
            (subnet.ipv6_mode, subnet.ipv6_address_mode) = (mode, mode);
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
        let frame = frame(&town);
        assert_eq!(summary(&frame), (flags, 1800, prefix), "{mode:?}");
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
    }
}

#[test]
fn without_a_mode_there_is_no_advertisement() {
    let mut town = Town::new(World::new(), None);
    set_mode(&mut town, None);
    let snapshot = town.snapshot();
    assert_eq!(said(&town), []);
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
    let frame = frame(&town);
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

/// A second router on the first network, with an interface in its IPv6 subnet.
fn second_router(town: &mut Town) -> (RouterId, PortId) {
    let red = town.red;
    let subnet = town.world.objects.iter().find_map(|o| match o {
        Object::Subnet(s) if s.bridge == red && s.cidr.addr().is_ipv6() => Some(s.id),
        _ => None,
    });
    let router = town.world.router(vec![]);
    let ends = [(subnet.unwrap(), "fd00::2")];
    (router, town.world.interface(router, red, &ends))
}

#[test]
fn each_router_of_a_network_advertises_and_the_gateway_is_preferred() {
    let mut town = Town::with_default_group();
    second_router(&mut town);
    let mut seen: Vec<_> = frames(&said(&town)).iter().map(|f| summary(f)).collect();
    seen.sort_unstable();
    assert_eq!(seen, [(0, 1800, 0xc0), (0x18, 1800, 0xc0)]);
    let asked = solicitation(&town, town.a.mac.link_local());
    let Verdict::Answer(answers) = send(&town.snapshot(), town.a.port, &asked) else {
        panic!("not answered");
    };
    assert_eq!(answers.len(), 2);
}

#[test]
fn a_subnet_without_a_gateway_has_no_default_router() {
    let mut town = Town::with_default_group();
    for object in &mut town.world.objects {
        if let Object::Subnet(subnet) = object {
            subnet.gateway = None;
        }
    }
    let frame = frame(&town);
    assert_eq!(summary(&frame), (0, 0, 0xc0));
    assert_eq!(frame[6..12], town.a.gateway.0, "the router says so itself");
}

#[test]
fn a_router_that_goes_says_farewell_and_one_that_stays_does_not() {
    let mut town = Town::with_default_group();
    let (router, _) = second_router(&mut town);
    let before = said(&town);
    assert_eq!(farewells(&before, &before), []);
    for object in &mut town.world.objects {
        if let Object::Router(r) = object
            && r.id == router
        {
            r.admin_up = false;
        }
    }
    let now = said(&town);
    let parting = frames(&farewells(&before, &now));
    let [parting] = &parting[..] else {
        panic!("{} farewells", parting.len());
    };
    assert_eq!(parting[60..62], [0, 0], "no default router any more");
    assert_eq!(parting.len(), 54 + 16 + 8 + 8, "and nothing else");
    assert_ne!(parting[6..12], town.a.gateway.0);
}

#[test]
fn a_prefix_that_goes_is_taken_back() {
    let mut town = Town::with_default_group();
    let before = said(&town);
    set_mode(&mut town, None);
    let parting = frames(&farewells(&before, &said(&town)));
    assert_eq!(parting.len(), 1);
    let prefix = &parting[0][54 + 32..];
    assert_eq!((prefix[0], &prefix[4..12]), (3, &[0; 8][..]));
}

#[test]
fn name_servers_and_domains_of_the_port_are_those_of_its_dhcp_options() {
    let mut town = Town::with_default_group();
    let id = town.a.port;
    for object in &mut town.world.objects {
        if let Object::Port(port) = object
            && port.id == id
        {
            let option = |code, data| topology::DhcpOption {
                family: Family::V6,
                code,
                data,
                ipxe: None,
            };
            port.dhcp_options = vec![option(23, vec![0xfd; 16]), option(24, b"\x03lab\0".into())];
        }
    }
    let frame = frame(&town);
    let options = &frame[54 + 64..];
    assert_eq!((options[0], &options[8..24]), (25, &[0xfd; 16][..]));
    assert_eq!((options[24], &options[32..37]), (31, &b"\x03lab\0"[..]));
}
