//! IPv6 floating IPs that stand for IPv4 addresses.

use crate::outside::{SSH, answer_key, at, at_router, carried, coast, forward_at, sent};
use crate::{answered, decide, delivered, ip, reason, send};
use flow::{Destination, DropReason, Nat64};
use sim::testing::{Coast, FAR6, Frame, Payload};
use topology::{Direction, Family, Remote, Rule};
use wire::tcp_flag;

const FIP6: &str = "2001:db8::6464";

/// A coast where b, whose group knows only IPv4, has an IPv6 floating IP.
fn town() -> Coast {
    let mut coast = coast();
    let only_v4 = Rule {
        remote: Remote::Prefix("100.64.0.0/10".parse().unwrap()),
        ..sim::testing::rule(Direction::Ingress, Family::V4)
    };
    let group = coast.world.group(true, vec![only_v4]);
    coast.world.change_port(coast.b.port, |p| {
        p.security.as_mut().unwrap().groups = vec![group];
    });
    let fip = (coast.external, FIP6);
    let fixed = (coast.b.port, coast.b.v4);
    coast.world.floating_ip(fip, coast.tenants[0].router, fixed);
    coast
}

#[test]
fn an_ipv6_client_meets_an_ipv4_server_and_its_groups_see_the_pool() {
    let coast = town();
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    let Coast { b, .. } = coast;
    let ping = Payload::Echo {
        reply: false,
        id: 7,
    };
    for payload in [SSH, Payload::Udp(53, 53, vec![]), ping] {
        let opening = coast.from_upstream(0, ip(FIP6), payload);
        let first = send(&snapshot, coast.uplinks[0].plug, &opening.bytes());
        assert_eq!(*sent(&first).0, at_router(router, "host2"));
        let second = at(&snapshot, router, &carried(&opening, sent(&first).1));
        let (to, rewrite, record, track, reply) = sent(&second.verdict);
        assert_eq!(*to, Destination::Port(b.port));
        assert_eq!((record, track, reply), (None, true, false));
        let dst = "10.1.0.11".parse().unwrap();
        assert_eq!(rewrite.nat64, Some(Nat64 { dst }));
        assert_eq!((rewrite.src, rewrite.dst, rewrite.hops), (None, None, 1));
        // whoever the client is
        assert!(u128::from_be_bytes(second.mask.0.src).count_ones() < 32);

        let key = answer_key(&opening, b.mac, b.gateway, ip(FIP6), ip(FAR6));
        let back = decide(&snapshot, b.port, key, &[]);
        let (to, rewrite, record, _, reply) = sent(&back.verdict);
        assert!(
            coast
                .uplinks
                .map(|u| Destination::Port(u.plug))
                .contains(to)
        );
        assert_eq!((record, reply), (None, true));
        assert_eq!((rewrite.nat64, rewrite.src), (None, None));
    }
    let odd = coast.from_upstream(0, ip(FIP6), Payload::Other(132, vec![0; 12]));
    let first = send(&snapshot, coast.uplinks[0].plug, &odd.bytes());
    let second = at(&snapshot, router, &carried(&odd, sent(&first).1));
    assert_eq!(reason(&second.verdict), Some(DropReason::Nat64Protocol));
}

#[test]
fn the_pool_is_the_hosts() {
    let coast = town();
    let mut snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    let opening = coast.from_upstream(0, ip(FIP6), SSH);
    let first = send(&snapshot, coast.uplinks[0].plug, &opening.bytes());
    let frame = carried(&opening, sent(&first).1);
    // a part of what the group lets in, and another
    for (pool, passes) in [("100.80.0.0/16", true), ("198.18.0.0/15", false)] {
        snapshot.set_nat64_pool(pool.parse().unwrap());
        let second = at(&snapshot, router, &frame);
        assert_eq!(delivered(&second.verdict).is_some(), passes, "{pool}");
    }
}

#[test]
fn sizes_are_those_of_the_packet_as_it_will_be() {
    let mut coast = town();
    let Coast { b, .. } = coast;
    for object in &mut coast.world.objects {
        if let topology::Object::Bridge(bridge) = object {
            bridge.mtu = if bridge.id == coast.tenants[0].net {
                1400
            } else {
                1500
            };
        }
    }
    let snapshot = coast.snapshot();
    let router = coast.tenants[0].router;
    let far = coast.clone();
    let big = |len: usize| far.from_upstream(0, ip(FIP6), Payload::Udp(1, 2, vec![0; len - 48]));
    for (len, fits) in [(1420, true), (1421, false)] {
        let first = send(&snapshot, coast.uplinks[0].plug, &big(len).bytes());
        let second = at(&snapshot, router, &carried(&big(len), sent(&first).1));
        assert_eq!(delivered(&second.verdict).is_some(), fits, "{len}");
        if fits {
            let flow::Verdict::Forward { mtu, .. } = second.verdict else {
                panic!("{second:?}")
            };
            assert_eq!(mtu, 1420);
        } else {
            // an ICMPv6 packet too big, which says the size that an IPv6 packet may have
            let error = answered(second.verdict);
            assert_eq!((error[54], error[55]), (2, 0));
            assert_eq!(error[58..62], 1420_u32.to_be_bytes());
        }
    }
    // the answer grows: what is too large is told to its sender as it knows it
    for object in &mut coast.world.objects {
        if let topology::Object::Bridge(bridge) = object {
            bridge.mtu = if bridge.id == coast.tenants[0].net {
                1500
            } else {
                1400
            };
        }
    }
    let snapshot = coast.snapshot();
    let key = answer_key(&big(100), b.mac, b.gateway, ip(FIP6), ip(FAR6));
    for (len, fits) in [(1380, true), (1381, false)] {
        let answer = b.to(ip("100.64.0.1"), Payload::Udp(2, 1, vec![0; len - 28]));
        let mut bytes = answer.bytes();
        bytes[20] |= 0x40; // do not fragment
        bytes[24..26].fill(0);
        let sum = wire::checksum(&bytes[14..34]);
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
        let back = decide(&snapshot, b.port, key, &bytes);
        assert_eq!(delivered(&back.verdict).is_some(), fits, "{len}");
        if !fits {
            let error = answered(back.verdict);
            assert_eq!((error[34], error[35]), (3, 4));
            assert_eq!(error[40..42], 1380_u16.to_be_bytes());
            assert_eq!(error[30..34], [10, 1, 0, 11]);
        }
    }
}

#[test]
fn ports_of_an_ipv6_address_are_forwarded_to_an_ipv4_server() {
    let mut coast = town();
    forward_at(&mut coast, "2001:db8::6465", (2222, 2222), (22, 22));
    let snapshot = coast.snapshot();
    let payload = Payload::Tcp(40_000, 2222, tcp_flag::SYN);
    let opening = coast.from_upstream(0, ip("2001:db8::6465"), payload);
    let first = send(&snapshot, coast.uplinks[0].plug, &opening.bytes());
    let frame: Frame = carried(&opening, sent(&first).1);
    let second = at(&snapshot, coast.tenants[0].router, &frame);
    let rewrite = sent(&second.verdict).1;
    assert_eq!(rewrite.dst_port, Some(22));
    assert!(rewrite.nat64.is_some());
}
