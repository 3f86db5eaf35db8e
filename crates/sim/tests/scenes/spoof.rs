//! A VM speaks for itself only.

use crate::{delivered, ip, reason, send, send_reply, with_smac};
use flow::DropReason;
use sim::testing::{Frame, Payload, Town, World, mac};
use topology::AddressPair;
use wire::{Icmp, Mac, icmp4, icmp6, protocol};

const UDP: fn() -> Payload = || Payload::Udp(1000, 2000, vec![0; 8]);

#[test]
fn other_macs_and_addresses_are_named() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    for family in [4, 6] {
        let good = town.a.to(&town.b, family, UDP());
        let judge = |frame: &[u8]| reason(&send(&snapshot, town.a.port, frame));
        assert_eq!(judge(&good.bytes()), None);
        let spoofed_mac = Some(DropReason::SpoofedMac);
        assert_eq!(judge(&with_smac(good.clone(), mac(99))), spoofed_mac);
        assert_eq!(judge(&with_smac(good.clone(), Mac::BROADCAST)), spoofed_mac);
        let other = Frame {
            src: town.b.ip(family),
            ..good.clone()
        };
        assert_eq!(judge(&other.bytes()), Some(DropReason::SpoofedIp));
        let nobody = if family == 4 { "0.0.0.0" } else { "::" };
        let unspecified = Frame {
            src: ip(nobody),
            ..good
        };
        assert_eq!(judge(&unspecified.bytes()), Some(DropReason::SpoofedIp));
    }
}

#[test]
fn without_port_security_everything_goes_but_group_macs() {
    let town = Town::new(World::new(), None);
    let snapshot = town.snapshot();
    let good = Frame {
        src: ip("192.0.2.7"),
        ..town.a.to(&town.b, 4, UDP())
    };
    let verdict = send(&snapshot, town.a.port, &with_smac(good.clone(), mac(99)));
    assert_eq!(delivered(&verdict), Some((town.b.port, 0)));
    let verdict = send(&snapshot, town.a.port, &with_smac(good, Mac::BROADCAST));
    assert_eq!(reason(&verdict), Some(DropReason::SpoofedMac));
}

#[test]
fn allowed_pairs_are_allowed_with_their_mac_only() {
    let mut town = Town::with_default_group();
    let pair = mac(0x500);
    town.world.change_port(town.a.port, |port| {
        let security = port.security.as_mut().unwrap();
        security.pairs.push(AddressPair {
            net: "10.0.0.200/32".parse().unwrap(),
            mac: pair,
        });
        security.pairs.push(AddressPair {
            net: "fd00:77::/64".parse().unwrap(),
            mac: port.mac,
        });
    });
    let snapshot = town.snapshot();
    let judge = |src: &str, smac| {
        let family = if ip(src).is_ipv4() { 4 } else { 6 };
        let frame = Frame {
            src: ip(src),
            ..town.a.to(&town.b, family, UDP())
        };
        reason(&send(&snapshot, town.a.port, &with_smac(frame, smac)))
    };
    assert_eq!(judge("10.0.0.200", pair), None);
    assert_eq!(judge("10.0.0.200", town.a.mac), Some(DropReason::SpoofedIp));
    assert_eq!(judge("10.0.0.10", pair), Some(DropReason::SpoofedIp));
    assert_eq!(judge("fd00:77::5", town.a.mac), None);
}

/// What A, on the way to somebody behind it, says of a packet of B.
fn too_late(town: &Town, family: u8) -> Vec<u8> {
    let behind = ip(if family == 4 {
        "192.0.2.9"
    } else {
        "fd00:77::9"
    });
    let opening = Frame {
        dst: behind,
        ..town.b.to(&town.a, family, UDP())
    };
    let (proto, kind) = match family {
        4 => (protocol::ICMP, icmp4::TIME_EXCEEDED),
        _ => (protocol::ICMPV6, icmp6::TIME_EXCEEDED),
    };
    let message = Icmp {
        kind,
        code: 0,
        rest: [0; 4],
        body: &opening.bytes()[14..],
    }
    .message(town.a.ip(family), town.b.ip(family));
    let error = town.a.to(&town.b, family, Payload::Other(proto, message));
    error.bytes()
}

#[test]
fn errors_about_packets_to_others_come_from_those_who_may_route() {
    let judge = |town: &Town, family| {
        let error = too_late(town, family);
        send_reply(&town.snapshot(), town.a.port, &error)
    };
    let mut town = Town::with_default_group();
    for family in [4, 6] {
        assert_eq!(reason(&judge(&town, family)), Some(DropReason::SpoofedIp));
    }
    // who may speak for a prefix may not for the routers in front of it
    let allow = |town: &mut Town, nets: [&str; 2]| {
        town.world.change_port(town.a.port, |port| {
            let mac = port.mac;
            let pair = |net: &str| AddressPair {
                net: net.parse().unwrap(),
                mac,
            };
            port.security.as_mut().unwrap().pairs = nets.map(pair).into();
        });
    };
    allow(&mut town, ["192.0.2.0/24", "fd00:77::/64"]);
    assert_eq!(reason(&judge(&town, 4)), Some(DropReason::SpoofedIp));
    allow(&mut town, ["0.0.0.0/0", "::/0"]);
    for family in [4, 6] {
        assert_eq!(delivered(&judge(&town, family)), Some((town.b.port, 0)));
    }
    town.world
        .change_port(town.a.port, |port| port.security = None);
    for family in [4, 6] {
        assert_eq!(delivered(&judge(&town, family)), Some((town.b.port, 0)));
    }
}

#[test]
fn the_link_local_address_of_its_mac_is_its_own() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    let judge = |mac: Mac| {
        let frame = town.a.to(&town.b, 6, UDP());
        let frame = Frame {
            src: mac.link_local().into(),
            ..frame
        };
        reason(&send(&snapshot, town.a.port, &frame.bytes()))
    };
    // not spoofed; the default group of the receiver knows members by fixed address only
    assert_eq!(judge(town.a.mac), Some(DropReason::SecurityGroupIngress));
    assert_eq!(judge(town.b.mac), Some(DropReason::SpoofedIp));
}

#[test]
fn a_vm_is_no_dhcp_server() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    for (family, sport, dport) in [(4, 67, 68), (6, 547, 546)] {
        let frame = town
            .a
            .to(&town.b, family, Payload::Udp(sport, dport, vec![0; 8]));
        let verdict = send(&snapshot, town.a.port, &frame.bytes());
        assert_eq!(reason(&verdict), Some(DropReason::DhcpServer));
    }
}
