//! Neighbour discovery is answered from the topology, as ARP is.

use crate::{answered, reason, send};
use flow::{DropReason, Verdict};
use sim::testing::{Town, Vm};
use std::net::{IpAddr, Ipv6Addr};
use wire::{Icmp, IpPacket, Mac, nd, nd::Nd, protocol};

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V6(ip) => ip,
        IpAddr::V4(_) => panic!("not IPv6"),
    }
}

fn frame(from: &Vm, src: Ipv6Addr, dst: Ipv6Addr, ttl: u8, message: &[u8]) -> Vec<u8> {
    let (src, proto) = (IpAddr::V6(src), protocol::ICMPV6);
    let dmac = Mac::for_ipv6_multicast(dst);
    let packet = IpPacket {
        src,
        dst: IpAddr::V6(dst),
        proto,
        ttl,
        payload: message,
    };
    packet.frame(from.mac, dmac).unwrap()
}

/// A solicitation as a host sends it.
fn solicit(from: &Vm, src: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let group = nd::solicited_node(target);
    frame(
        from,
        src,
        group,
        255,
        &nd::neighbor_solicitation(src, from.mac, target, group),
    )
}

fn read(frame: &[u8]) -> Nd {
    Nd::read(&Icmp::read(&frame[54..]).unwrap()).unwrap()
}

#[test]
fn neighbours_routers_and_link_local_addresses_are_answered_for() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    let own = v6(town.a.v6);
    let targets = [
        (v6(town.b.v6), town.b.mac),
        ("fd00::1".parse().unwrap(), town.a.gateway),
        (town.a.gateway.link_local(), town.a.gateway),
        (town.b.mac.link_local(), town.b.mac),
    ];
    for (target, owner) in targets {
        for src in [own, town.a.mac.link_local()] {
            let answer = answered(send(&snapshot, town.a.port, &solicit(&town.a, src, target)));
            let wanted = Nd::NeighborAdvertisement {
                target,
                mac: Some(owner),
            };
            assert_eq!(read(&answer), wanted);
            assert_eq!(answer[..6], town.a.mac.0);
            let is_router = answer[58] & 0x80 != 0;
            assert_eq!(is_router, owner == town.a.gateway);
        }
    }
}

#[test]
fn duplicate_address_detection_finds_duplicates_only() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    let probe = |target| {
        let frame = solicit(&town.a, Ipv6Addr::UNSPECIFIED, target);
        send(&snapshot, town.a.port, &frame)
    };
    assert_eq!(probe(v6(town.a.v6)), Verdict::Answer(vec![]));
    assert_eq!(probe(town.a.mac.link_local()), Verdict::Answer(vec![]));
    let conflict = answered(probe(v6(town.b.v6)));
    assert_eq!(conflict[..6], [0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!(conflict[38..54], nd::ALL_NODES.octets());
    let nobody = Verdict::Flood { ports: vec![] };
    assert_eq!(probe("fd00::99".parse().unwrap()), nobody);
}

#[test]
fn lies_are_named() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    let (own, b) = (v6(town.a.v6), v6(town.b.v6));
    let group = nd::solicited_node(b);
    let other_mac = nd::neighbor_solicitation(own, town.b.mac, b, group);
    let other_ip = nd::neighbor_advertisement(b, town.a.mac, false, nd::ALL_NODES);
    let other_owner = nd::neighbor_advertisement(own, town.b.mac, false, nd::ALL_NODES);
    let ra = nd::RouterAdvertisement::default().message(own, nd::ALL_NODES);
    // advertisements are made for their target as source; here it is the sender's own address
    let other_ip = resend(other_ip, own, nd::ALL_NODES);
    let cases = [
        (
            frame(&town.a, own, group, 255, &other_mac),
            "MAC option of another",
        ),
        (
            frame(&town.a, own, nd::ALL_NODES, 255, &other_ip),
            "address of another",
        ),
        (
            frame(&town.a, own, nd::ALL_NODES, 255, &other_owner),
            "advertised MAC of another",
        ),
        (
            frame(&town.a, own, nd::ALL_NODES, 255, &ra),
            "router advertisement",
        ),
    ];
    for (frame, why) in cases {
        let verdict = send(&snapshot, town.a.port, &frame);
        assert_eq!(reason(&verdict), Some(DropReason::SpoofedNd), "{why}");
    }
    let verdict = send(&snapshot, town.a.port, &solicit(&town.a, b, own));
    assert_eq!(reason(&verdict), Some(DropReason::SpoofedIp));
}

/// Gives a message the checksum for other addresses.
fn resend(mut message: Vec<u8>, src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    message[2..4].fill(0);
    let sum = wire::icmp_checksum(IpAddr::V6(src), IpAddr::V6(dst), &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

#[test]
fn messages_that_crossed_a_router_or_are_damaged_are_refused() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    let (own, b) = (v6(town.a.v6), v6(town.b.v6));
    let group = nd::solicited_node(b);
    let message = nd::neighbor_solicitation(own, town.a.mac, b, group);
    let crossed = frame(&town.a, own, group, 254, &message);
    let mut damaged = frame(&town.a, own, group, 255, &message);
    *damaged.last_mut().unwrap() ^= 1;
    let judge = |frame: &[u8]| reason(&send(&snapshot, town.a.port, frame));
    assert_eq!(judge(&crossed), Some(DropReason::Malformed));
    assert_eq!(judge(&damaged), Some(DropReason::BadChecksum));
}
