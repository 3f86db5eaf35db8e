//! Packets through routers, and what routers say.

use crate::{answered, delivered, ip, reason, send};
use flow::{Destination, DropReason, Rewrite, Verdict};
use sim::testing::{Frame, Payload, Town, Vm, World, key_of};
use sim::{Ingress, Packet, simulate};
use std::net::IpAddr;
use topology::{BridgeId, Link, Object, PortId, Route, RouterId, Snapshot};
use wire::{Ethernet, Icmp, Ip, icmp_checksum, protocol};

const UDP: fn() -> Payload = || Payload::Udp(1000, 2000, vec![0; 8]);

fn town() -> Town {
    Town::new(World::new(), None)
}

/// Source, destination and ICMP message of an answer that a VM gets from its router.
fn icmp<'a>(vm: &Vm, frame: &'a [u8]) -> (IpAddr, IpAddr, Icmp<'a>) {
    let eth = Ethernet::read(frame).unwrap();
    assert_eq!((eth.src, eth.dst), (vm.gateway, vm.mac));
    let (src, dst, payload): (IpAddr, IpAddr, _) =
        match Ip::read(eth.ethertype, eth.payload).unwrap() {
            Ip::V4(ip) => (ip.src.into(), ip.dst.into(), ip.payload),
            Ip::V6(ip) => (ip.src.into(), ip.dst.into(), ip.payload),
        };
    assert_eq!(icmp_checksum(src, dst, payload), 0);
    (src, dst, Icmp::read(payload).unwrap())
}

#[test]
fn one_router_rewrites_macs_and_takes_one_hop() {
    let town = town();
    let snapshot = town.snapshot();
    for family in [4, 6] {
        let frame = town.a.via_gateway(town.c.ip(family), UDP()).bytes();
        let rewrite = Rewrite {
            hops: 1,
            smac: town.c.gateway,
            dmac: town.c.mac,
            ..Rewrite::default()
        };
        let (to, mtu) = (Destination::Port(town.c.port), 1450);
        let wanted = Verdict::Forward {
            to,
            rewrite,
            mtu,
            track: false,
            record: None,
            reply: false,
        };
        assert_eq!(send(&snapshot, town.a.port, &frame), wanted);
    }
}

/// A second router between blue and a third network green, where `d` is; the first router has
/// routes to green.
fn two_routers() -> (Town, Vm, [PortId; 2]) {
    let mut town = town();
    let blue_subnets: Vec<_> = town
        .world
        .objects
        .iter()
        .filter_map(|o| match o {
            Object::Subnet(s) if s.bridge == town.blue => Some(s.id),
            _ => None,
        })
        .collect();
    let back = [("10.0.0.0/24", "10.0.1.1"), ("fd00::/64", "fd00:1::1")];
    let routes = |all: [(&str, &str); 2]| {
        let route =
            |(net, next): (&str, &str)| Route::via(net.parse().unwrap(), next.parse().unwrap());
        all.map(route).to_vec()
    };
    let second = town.world.router(routes(back));
    let green = town.world.bridge();
    let green_subnets = [
        town.world.subnet(green, "10.0.2.0/24"),
        town.world.subnet(green, "fd00:2::/64"),
    ];
    let transit = [
        (blue_subnets[0], "10.0.1.2"),
        (blue_subnets[1], "fd00:1::2"),
    ];
    let transit = town.world.interface(second, town.blue, &transit);
    let inner = [
        (green_subnets[0], "10.0.2.1"),
        (green_subnets[1], "fd00:2::1"),
    ];
    let inner = town.world.interface(second, green, &inner);
    let addresses = [
        (green_subnets[0], "10.0.2.10"),
        (green_subnets[1], "fd00:2::10"),
    ];
    let port = town.world.vm(green, "host2", &addresses, None);
    let mac = |port: PortId| sim::testing::mac(port.0.as_u128() as u16);
    let (v4, v6) = (ip("10.0.2.10"), ip("fd00:2::10"));
    let d = Vm {
        port,
        mac: mac(port),
        v4,
        v6,
        gateway: mac(inner),
    };
    let there = [("10.0.2.0/24", "10.0.1.2"), ("fd00:2::/64", "fd00:1::2")];
    change_router(&mut town, |r| r.routes = routes(there));
    (town, d, [transit, inner])
}

fn change_router(town: &mut Town, change: impl FnOnce(&mut topology::Router)) {
    let id: RouterId = town.router;
    let router = town.world.objects.iter_mut().find_map(|o| match o {
        Object::Router(r) if r.id == id => Some(r),
        _ => None,
    });
    change(router.unwrap());
}

#[test]
fn two_routers_take_two_hops_there_and_back() {
    let (town, d, _) = two_routers();
    let snapshot = town.snapshot();
    for family in [4, 6] {
        let there = town.a.via_gateway(d.ip(family), UDP()).bytes();
        let verdict = send(&snapshot, town.a.port, &there);
        assert_eq!(delivered(&verdict), Some((d.port, 2)));
        let back = d.via_gateway(town.a.ip(family), UDP()).bytes();
        assert_eq!(
            delivered(&send(&snapshot, d.port, &back)),
            Some((town.a.port, 2))
        );
    }
}

#[test]
fn the_router_where_the_ttl_ends_says_so_from_its_own_address() {
    let (town, d, _) = two_routers();
    let snapshot = town.snapshot();
    let cases = [
        (4, 1, "10.0.0.1", 11),
        (4, 2, "10.0.1.2", 11),
        (6, 1, "fd00::1", 3),
        (6, 2, "fd00:1::2", 3),
    ];
    for (family, ttl, from, kind) in cases {
        let frame = Frame {
            ttl,
            ..town.a.via_gateway(d.ip(family), UDP())
        }
        .bytes();
        let verdict = send(&snapshot, town.a.port, &frame);
        assert_eq!(reason(&verdict), Some(DropReason::TtlExpired));
        let answer = answered(verdict);
        let (src, dst, icmp) = icmp(&town.a, &answer);
        assert_eq!((src, dst), (ip(from), town.a.ip(family)));
        assert_eq!((icmp.kind, icmp.code), (kind, 0));
        assert_eq!(icmp.body, &frame[14..]);
    }
    let frame = Frame {
        ttl: 3,
        ..town.a.via_gateway(d.v4, UDP())
    }
    .bytes();
    assert!(delivered(&send(&snapshot, town.a.port, &frame)).is_some());
}

#[test]
fn no_route_and_no_neighbour_are_told_apart() {
    let town = Town::with_default_group();
    let snapshot = town.snapshot();
    let cases = [
        ("192.0.2.1", DropReason::NoRoute, (3, 0)),
        ("10.0.1.99", DropReason::UnknownNeighbor, (3, 1)),
        ("2001:db8::1", DropReason::NoRoute, (1, 0)),
        ("fd00:1::99", DropReason::UnknownNeighbor, (1, 3)),
    ];
    for (dst, wanted, code) in cases {
        let verdict = send(
            &snapshot,
            town.a.port,
            &town.a.via_gateway(ip(dst), UDP()).bytes(),
        );
        assert_eq!(reason(&verdict), Some(wanted), "{dst}");
        let answer = answered(verdict);
        let (_, _, icmp) = icmp(&town.a, &answer);
        assert_eq!((icmp.kind, icmp.code), code, "{dst}");
    }
}

#[test]
fn too_large_is_told_with_the_mtu_of_the_next_network() {
    let mut town = town();
    let blue = town.blue;
    for object in &mut town.world.objects {
        if let Object::Bridge(bridge) = object
            && bridge.id == blue
        {
            bridge.mtu = 1300;
        }
    }
    let snapshot = town.snapshot();
    for (family, code, header) in [(4, (3, 4), 28), (6, (2, 0), 48)] {
        let payload = |len: usize| Payload::Udp(1, 2, vec![0; len - header]);
        let fits = town.a.via_gateway(town.c.ip(family), payload(1300)).bytes();
        let verdict = send(&snapshot, town.a.port, &fits);
        assert!(matches!(verdict, Verdict::Forward { mtu: 1300, .. }));
        let large = town.a.via_gateway(town.c.ip(family), payload(1301)).bytes();
        let verdict = send(&snapshot, town.a.port, &large);
        assert_eq!(reason(&verdict), Some(DropReason::TooBig));
        let answer = answered(verdict);
        let (_, _, icmp) = icmp(&town.a, &answer);
        assert_eq!((icmp.kind, icmp.code), code);
        assert_eq!(u32::from_be_bytes(icmp.rest), 1300);
        let most = if family == 4 { 576 } else { 1280 };
        assert!(answer.len() - 14 <= most);
    }
}

#[test]
fn an_aggregated_frame_is_as_large_as_its_segments() {
    let town = town();
    let frame = town
        .a
        .via_gateway(town.c.v4, Payload::Udp(1, 2, vec![0; 8000]))
        .bytes();
    let judge = |gso_size| {
        let packet = Packet {
            key: key_of(&frame, 0),
            frame: &frame,
            gso_size,
        };
        simulate(&town.snapshot(), Ingress::Port(town.a.port), &packet).verdict
    };
    assert!(delivered(&judge(1422)).is_some());
    assert_eq!(reason(&judge(1423)), Some(DropReason::TooBig));
    assert_eq!(reason(&judge(0)), Some(DropReason::TooBig));
}

#[test]
fn nobody_is_told_when_rfc_1812_forbids_it() {
    let town = town();
    let snapshot = town.snapshot();
    let silent = |frame: Frame, why: &str| {
        let verdict = send(&snapshot, town.a.port, &frame.bytes());
        assert!(
            matches!(verdict, Verdict::Refuse { answer: None, .. }),
            "{why}: {verdict:?}"
        );
    };
    silent(
        town.a.via_gateway(ip("10.0.1.255"), UDP()),
        "a directed broadcast",
    );
    let lone = Payload::Other(protocol::ICMP, vec![5, 0, 0, 0, 0, 0, 0, 0]);
    silent(town.a.via_gateway(ip("192.0.2.1"), lone), "a redirect");
    let opening = town.c.via_gateway(town.a.v4, UDP()).bytes();
    let body = &opening[14..];
    let error = Icmp {
        kind: 3,
        code: 3,
        rest: [0; 4],
        body,
    }
    .message(town.a.v4, town.c.v4);
    let error = town
        .a
        .via_gateway(town.c.v4, Payload::Other(protocol::ICMP, error));
    silent(Frame { ttl: 1, ..error }, "an error");
}

#[test]
fn martians_are_not_routed() {
    let town = town();
    let snapshot = town.snapshot();
    let destinations = [
        "127.0.0.1",
        "169.254.1.1",
        "0.0.0.0",
        "224.0.0.9",
        "255.255.255.255",
    ];
    let destinations6 = ["::1", "fe80::1", "ff02::1", "::ffff:10.0.1.10"];
    for dst in destinations.iter().chain(&destinations6) {
        let verdict = send(
            &snapshot,
            town.a.port,
            &town.a.via_gateway(ip(dst), UDP()).bytes(),
        );
        let wanted = Verdict::Drop {
            reason: DropReason::MartianAddress,
            cause: Some(town.router.0),
        };
        assert_eq!(verdict, wanted, "{dst}");
    }
    let source = Frame {
        src: ip("127.0.0.1"),
        ..town.a.via_gateway(town.c.v4, UDP())
    };
    let verdict = send(&snapshot, town.a.port, &source.bytes());
    assert_eq!(reason(&verdict), Some(DropReason::MartianAddress));
}

fn echo(snapshot: &Snapshot, from: &Vm, dst: IpAddr) -> Verdict {
    let frame = from.via_gateway(
        dst,
        Payload::Echo {
            reply: false,
            id: 5,
        },
    );
    send(snapshot, from.port, &frame.bytes())
}

#[test]
fn routers_answer_echoes_to_all_their_addresses() {
    let (town, _, _) = two_routers();
    let snapshot = town.snapshot();
    let own_link = IpAddr::V6(town.a.gateway.link_local());
    let near = ["10.0.0.1", "10.0.1.1", "fd00::1", "fd00:1::1"].map(ip);
    let far = ["10.0.1.2", "10.0.2.1", "fd00:1::2", "fd00:2::1"].map(ip);
    for dst in near.into_iter().chain(far).chain([own_link]) {
        let answer = answered(echo(&snapshot, &town.a, dst));
        let (src, to, icmp) = icmp(&town.a, &answer);
        assert_eq!(
            (src, to),
            (dst, town.a.ip(if dst.is_ipv4() { 4 } else { 6 }))
        );
        assert_eq!(icmp.kind, if dst.is_ipv4() { 0 } else { 129 });
        assert_eq!((icmp.rest, icmp.body), ([0, 5, 0, 1], &b"payload"[..]));
    }
    // the link-local address of an interface elsewhere is nobody's here
    let elsewhere = IpAddr::V6(town.c.gateway.link_local());
    let verdict = echo(&snapshot, &town.a, elsewhere);
    assert_eq!(reason(&verdict), Some(DropReason::MartianAddress));
}

#[test]
fn routers_answer_nothing_else() {
    let town = town();
    let verdict = send(
        &town.snapshot(),
        town.a.port,
        &town
            .a
            .via_gateway(ip("10.0.0.1"), Payload::Tcp(1, 22, 2))
            .bytes(),
    );
    let wanted = Verdict::Drop {
        reason: DropReason::RouterAddress,
        cause: Some(town.router.0),
    };
    assert_eq!(verdict, wanted);
    let mut wrong = town
        .a
        .via_gateway(
            ip("fd00::1"),
            Payload::Echo {
                reply: false,
                id: 5,
            },
        )
        .bytes();
    *wrong.last_mut().unwrap() ^= 1;
    let verdict = send(&town.snapshot(), town.a.port, &wrong);
    assert_eq!(reason(&verdict), Some(DropReason::RouterAddress));
}

#[test]
fn the_longest_prefix_wins_and_dead_routes_do_not_count() {
    let (mut town, d, [transit, _]) = two_routers();
    let route = |net: &str, next: &str| Route::via(net.parse().unwrap(), ip(next));
    change_router(&mut town, |r| {
        r.routes = vec![
            route("0.0.0.0/0", "10.0.1.10"),
            route("10.0.2.0/24", "10.0.1.2"),
            route("10.0.2.10/32", "172.16.0.1"),
        ];
    });
    let to_d = town.a.via_gateway(d.v4, UDP()).bytes();
    let out = town.a.via_gateway(ip("192.0.2.1"), UDP()).bytes();
    let snapshot = town.snapshot();
    let verdict = send(&snapshot, town.a.port, &to_d);
    assert_eq!(
        delivered(&verdict),
        Some((d.port, 2)),
        "172.16.0.1 is not reachable"
    );
    let verdict = send(&snapshot, town.a.port, &out);
    assert_eq!(
        delivered(&verdict),
        Some((town.c.port, 1)),
        "a VM as next hop"
    );
    town.world.change_port(transit, |p| p.admin_up = false);
    let verdict = send(&town.snapshot(), town.a.port, &to_d);
    assert_eq!(reason(&verdict), Some(DropReason::PortDown));
}

#[test]
fn things_that_are_down_are_named() {
    let judge = |change: &dyn Fn(&mut Town)| {
        let mut town = town();
        change(&mut town);
        let frame = town.a.via_gateway(town.c.v4, UDP()).bytes();
        reason(&send(&town.snapshot(), town.a.port, &frame))
    };
    let a_down = judge(&|t| t.world.change_port(t.a.port, |p| p.admin_up = false));
    let c_down = judge(&|t| t.world.change_port(t.c.port, |p| p.admin_up = false));
    let c_unbound = judge(&|t| t.world.change_port(t.c.port, |p| p.link = Link::None));
    let router_down = judge(&|t| change_router(t, |r| r.admin_up = false));
    let red_down = judge(&|t| take_down(t, t.red));
    let blue_down = judge(&|t| take_down(t, t.blue));
    assert_eq!([a_down, c_down], [Some(DropReason::PortDown); 2]);
    assert_eq!(c_unbound, Some(DropReason::PortUnbound));
    assert_eq!(router_down, Some(DropReason::RouterDown));
    assert_eq!([red_down, blue_down], [Some(DropReason::NetworkDown); 2]);
}

fn take_down(town: &mut Town, id: BridgeId) {
    for object in &mut town.world.objects {
        if let Object::Bridge(bridge) = object
            && bridge.id == id
        {
            bridge.admin_up = false;
        }
    }
}

#[test]
fn a_loop_between_routers_ends() {
    let (mut town, d, _) = two_routers();
    let to = |next: &str| {
        let all = "0.0.0.0/0".parse().unwrap();
        vec![Route::via(all, next.parse().unwrap())]
    };
    change_router(&mut town, |r| r.routes = to("10.0.1.2"));
    for object in &mut town.world.objects {
        if let Object::Router(router) = object
            && router.id != town.router
        {
            router.routes = to("10.0.1.1");
        }
    }
    let snapshot = town.snapshot();
    let frame = town.a.via_gateway(ip("192.0.2.1"), UDP());
    let verdict = send(&snapshot, town.a.port, &frame.bytes());
    assert_eq!(reason(&verdict), Some(DropReason::TooManyDevices));
    let short = Frame { ttl: 5, ..frame }.bytes();
    assert_eq!(
        reason(&send(&snapshot, town.a.port, &short)),
        Some(DropReason::TtlExpired)
    );
    let _ = d;
}

#[test]
fn back_to_where_it_came_from_is_named() {
    let town = town();
    let snapshot = town.snapshot();
    let routed = town.a.via_gateway(town.a.v4, UDP()).bytes();
    let direct = town.a.to(&town.a, 4, UDP()).bytes();
    for frame in [routed, direct] {
        let verdict = send(&snapshot, town.a.port, &frame);
        assert_eq!(reason(&verdict), Some(DropReason::Hairpin));
    }
}
