//! Several ways to one destination, ways by source, and routes that lead nowhere.

use crate::{answered, delivered, ip, reason, send};
use flow::{DropReason, Verdict};
use sim::testing::{Payload, Town, World};
use std::collections::BTreeMap;
use topology::{Nexthop, Object, PortId, Route};

/// A town whose router has these routes; VMs `b` (on red) and `c` (on blue) stand as next hops.
fn town(routes: Vec<Route>) -> Town {
    let mut town = Town::new(World::new(), None);
    for object in &mut town.world.objects {
        if let Object::Router(router) = object {
            router.routes.clone_from(&routes);
        }
    }
    town
}

fn via(net: &str, next: &str) -> Route {
    Route::via(net.parse().unwrap(), ip(next))
}

/// How many connections from `a`, each with a source port of its own, take each way.
fn spread(town: &Town, dst: &str) -> BTreeMap<PortId, Vec<u16>> {
    let snapshot = town.snapshot();
    let mut ways: BTreeMap<PortId, Vec<u16>> = BTreeMap::new();
    for sport in (32_768..61_000).step_by(94) {
        let payload = Payload::Udp(sport, 53, vec![0; 8]);
        let frame = town.a.via_gateway(ip(dst), payload).bytes();
        let verdict = send(&snapshot, town.a.port, &frame);
        let (port, _) = delivered(&verdict).expect("it is forwarded");
        ways.entry(port).or_default().push(sport);
    }
    ways
}

#[test]
fn equal_ways_share_the_connections_and_each_keeps_its_own() {
    for (net, hops, dst) in [
        ("192.0.2.0/24", ["10.0.0.11", "10.0.1.10"], "192.0.2.7"),
        ("2001:db8::/32", ["fd00::11", "fd00:1::10"], "2001:db8::7"),
    ] {
        let mut town = town(hops.map(|hop| via(net, hop)).to_vec());
        let ways = spread(&town, dst);
        assert_eq!(ways, spread(&town, dst));
        let counts: Vec<usize> = ways.values().map(Vec::len).collect();
        let all: usize = counts.iter().sum();
        assert_eq!(counts.len(), 2, "{dst}");
        assert!(counts.iter().all(|n| n * 10 >= all * 4), "{counts:?}");
        // one goes: its connections move to the other
        town.world.change_port(town.c.port, |p| p.admin_up = false);
        assert_eq!(
            spread(&town, dst).keys().collect::<Vec<_>>(),
            [&town.b.port]
        );
    }
}

#[test]
fn of_equal_destinations_the_longer_source_wins() {
    let from = |net: &str, next: &str| Route {
        source: Some(net.parse().unwrap()),
        ..via("192.0.2.0/24", next)
    };
    let routes = vec![
        via("192.0.2.0/24", "10.0.1.10"),
        from("10.0.0.10/32", "10.0.0.11"),
        from("10.0.0.0/8", "10.0.1.10"),
    ];
    let town = town(routes);
    assert_eq!(
        spread(&town, "192.0.2.7").keys().collect::<Vec<_>>(),
        [&town.b.port]
    );
}

#[test]
fn blackholes_are_silent_and_reject_routes_are_not() {
    for (dst, code) in [("192.0.2.7", (3, 13)), ("2001:db8::7", (1, 6))] {
        let net = ip(dst).to_string() + if ip(dst).is_ipv4() { "/32" } else { "/128" };
        let judge = |nexthop| {
            let town = town(vec![Route {
                nexthop,
                ..via(&net, dst)
            }]);
            let frame = town.a.via_gateway(ip(dst), Payload::Tcp(1, 2, 2)).bytes();
            send(&town.snapshot(), town.a.port, &frame)
        };
        let silent = judge(Nexthop::Blackhole);
        assert_eq!(reason(&silent), Some(DropReason::BlackholeRoute));
        assert!(matches!(silent, Verdict::Drop { .. }));
        let told = judge(Nexthop::Reject);
        assert_eq!(reason(&told), Some(DropReason::RejectRoute));
        let answer = answered(told);
        let at = if ip(dst).is_ipv4() { 34 } else { 54 };
        assert_eq!((answer[at], answer[at + 1]), code);
    }
}
