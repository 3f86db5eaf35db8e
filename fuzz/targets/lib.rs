//! What the targets share: a small topology, and frames in it to start from.
#![forbid(unsafe_code)]

use sim::testing::{Payload, Town, Vm};
use std::net::IpAddr;
use wire::{Arp, ArpOperation, Dhcp4Kind, Dhcp4Request, IpPacket, Mac, nd, protocol, tcp_flag};

/// Writes the IPv4 header checksum of a frame that has one: an engine that looks for new paths
/// cannot guess it.
pub fn repair(frame: &mut [u8]) {
    let Some(&[8, 0, version]) = frame.get(12..15) else {
        return;
    };
    let end = 14 + usize::from(version & 0xf) * 4;
    if let Some(header) = frame.get_mut(14..end).filter(|h| h.len() >= 20) {
        header[10..12].fill(0);
        let sum = wire::checksum(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// One of the good frames with changes: the first byte chooses it, then offsets and values follow.
/// What is left over is appended.
pub fn patched(frames: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
    let [choice, rest @ ..] = data else {
        return Vec::new();
    };
    let mut frame = frames[usize::from(*choice) % frames.len()].clone();
    let (patches, tail) = rest.split_at(rest.len() / 2);
    for patch in patches.chunks_exact(2) {
        if let Some(byte) = frame.get_mut(usize::from(patch[0])) {
            *byte = patch[1];
        }
    }
    frame.extend(tail);
    repair(&mut frame);
    frame
}

/// A DHCP discovery of the town's first VM.
pub fn discovery(town: &Town) -> Dhcp4Request {
    Dhcp4Request {
        kind: Dhcp4Kind::Discover,
        xid: 7,
        broadcast: false,
        client: [0; 4].into(),
        relay: [0; 4].into(),
        mac: town.a.mac,
        requested: None,
        server: None,
        identifier: vec![],
        wanted: vec![],
        message_max: None,
        ipxe: false,
    }
}

/// Good frames of the town's first VM, of every kind that is looked at.
pub fn good_frames(town: &Town) -> Vec<Vec<u8>> {
    let (a, b, c) = (&town.a, &town.b, &town.c);
    let mut frames = Vec::new();
    for family in [4, 6] {
        let payloads = [
            Payload::Tcp(1000, 80, tcp_flag::SYN),
            Payload::Udp(68, 67, discovery(town).message()),
            Payload::Udp(1000, 53, b"query".to_vec()),
            Payload::Echo {
                reply: false,
                id: 1,
            },
        ];
        for payload in payloads {
            frames.push(a.to(b, family, payload.clone()).bytes());
            frames.push(a.via_gateway(c.ip(family), payload).bytes());
        }
        let echo = Payload::Echo {
            reply: false,
            id: 1,
        };
        let gateway = if family == 4 { "10.0.0.1" } else { "fd00::1" };
        frames.push(
            a.via_gateway(gateway.parse().expect("an address"), echo)
                .bytes(),
        );
    }
    let (IpAddr::V4(own), IpAddr::V4(target)) = (a.v4, b.v4) else {
        return frames;
    };
    let operation = ArpOperation::Request;
    let (sender_mac, sender_ip, target_mac, target_ip) = (a.mac, own, Mac::default(), target);
    let arp = Arp {
        operation,
        sender_mac,
        sender_ip,
        target_mac,
        target_ip,
    };
    frames.push(arp.frame(Mac::BROADCAST));
    frames.extend(nd_frames(a, b));
    frames
}

fn nd_frames(a: &Vm, b: &Vm) -> Vec<Vec<u8>> {
    let (IpAddr::V6(own), IpAddr::V6(target)) = (a.v6, b.v6) else {
        return Vec::new();
    };
    let group = nd::solicited_node(target);
    let messages = [
        (group, nd::neighbor_solicitation(own, a.mac, target, group)),
        (
            nd::ALL_NODES,
            nd::neighbor_advertisement(own, a.mac, false, nd::ALL_NODES),
        ),
        (nd::ALL_ROUTERS, nd::router_solicitation(own, a.mac)),
    ];
    let frame = |(dst, message): (std::net::Ipv6Addr, Vec<u8>)| {
        let (src, proto) = (IpAddr::V6(own), protocol::ICMPV6);
        let packet = IpPacket {
            src,
            dst: dst.into(),
            proto,
            ttl: 255,
            payload: &message,
        };
        packet.frame(a.mac, Mac::for_ipv6_multicast(dst))
    };
    messages.into_iter().filter_map(frame).collect()
}
