//! Neighbour discovery messages byte by byte.

use super::*;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

#[test]
fn solicited_node_groups_follow_rfc_4291() {
    assert_eq!(
        solicited_node(ip("4037::1:800:200e:8c6c")),
        ip("ff02::1:ff0e:8c6c")
    );
}

#[test]
fn a_solicitation_is_read_back() {
    let (from, target) = (ip("fe80::1"), ip("fd00::2"));
    let group = solicited_node(target);
    let message = neighbor_solicitation(from, MAC, target, group);
    assert!(icmp6_checksum_ok(from, group, &message));
    let read = Nd::read(&Icmp::read(&message).unwrap());
    assert_eq!(
        read,
        Some(Nd::NeighborSolicitation {
            target,
            source: Some(MAC)
        })
    );
}

#[test]
fn duplicate_address_detection_names_no_mac() {
    let target = ip("fd00::2");
    let group = solicited_node(target);
    let message = neighbor_solicitation(Ipv6Addr::UNSPECIFIED, MAC, target, group);
    let read = Nd::read(&Icmp::read(&message).unwrap());
    assert_eq!(
        read,
        Some(Nd::NeighborSolicitation {
            target,
            source: None
        })
    );
}

#[test]
fn an_advertisement_says_router_solicited_and_override() {
    let (target, to) = (ip("fd00::2"), ip("fd00::1"));
    let message = neighbor_advertisement(target, MAC, true, to);
    assert_eq!(message[4], 0xe0);
    assert!(icmp6_checksum_ok(target, to, &message));
    assert_eq!(
        neighbor_advertisement(target, MAC, false, ALL_NODES)[4],
        0x20
    );
    let read = Nd::read(&Icmp::read(&message).unwrap());
    assert_eq!(
        read,
        Some(Nd::NeighborAdvertisement {
            target,
            mac: Some(MAC)
        })
    );
}

#[test]
fn a_router_advertisement_has_its_options_in_order() {
    let ra = RouterAdvertisement {
        managed: false,
        other: true,
        lifetime_seconds: 1800,
        fallback: false,
        mtu: 1450,
        source: MAC,
        prefixes: vec![Prefix {
            net: ip("fd00:1::"),
            len: 64,
            autonomous: true,
            valid_seconds: 3600,
        }],
        dns: vec![ip("fd00::53")],
        search: b"\x03lab\x00".to_vec(),
        valid_seconds: 86_400,
    };
    let message = ra.message(ip("fe80::1"), ALL_NODES);
    assert!(icmp6_checksum_ok(ip("fe80::1"), ALL_NODES, &message));
    assert_eq!(&message[4..8], &[64, 0x40, 7, 8]);
    assert_eq!(&message[16..24], &[1, 1, 2, 0, 0, 0, 0, 1]);
    assert_eq!(&message[24..32], &[5, 1, 0, 0, 0, 0, 5, 0xaa]);
    assert_eq!(&message[32..36], &[3, 4, 64, 0xc0]);
    assert_eq!(&message[48..64], &ip("fd00:1::").octets());
    assert_eq!(&message[36..44], &[0, 0, 14, 16, 0, 0, 14, 16]);
    assert_eq!(&message[64..66], &[25, 3]);
    assert_eq!(&message[88..96], &[31, 2, 0, 0, 0, 1, 0x51, 0x80]);
    assert_eq!(&message[96..104], b"\x03lab\x00\x00\x00\x00");
    assert_eq!(message.len(), 104);
    // nothing but the sender's MAC, and the lowest preference
    let little = RouterAdvertisement {
        fallback: true,
        mtu: 1279,
        prefixes: vec![],
        dns: vec![],
        search: vec![],
        ..ra
    };
    let message = little.message(ip("fe80::1"), ALL_NODES);
    assert_eq!((message[5], message.len()), (0x58, 24));
}

#[test]
fn bad_options_codes_and_targets_are_refused() {
    let message = neighbor_solicitation(ip("fe80::1"), MAC, ip("fd00::2"), ip("fd00::2"));
    let changed = |at: usize, value: u8| {
        let mut bad = message.clone();
        bad[at] = value;
        Nd::read(&Icmp::read(&bad).unwrap())
    };
    assert_eq!(changed(25, 0), None, "an option of length 0");
    assert_eq!(changed(25, 2), None, "an option past the end");
    assert_eq!(changed(1, 1), None, "a code");
    assert_eq!(changed(8, 0xff), None, "a multicast target");
    assert_eq!(
        Nd::read(&Icmp::read(&message[..20]).unwrap()),
        None,
        "cut short"
    );
}
