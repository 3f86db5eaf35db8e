//! Grants over a topology of routers with gateways.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use sync::{FromAgent, changes_frames, encode};
use topology::{
    Address, Bridge, BridgeId, Change as Delta, Gateway, Host, HostId, Link, Object, Port, PortId,
    Router, SubnetId, Versioned, View,
};
use uuid::Uuid;
use wire::Mac;

fn router(n: u128) -> RouterId {
    RouterId(Uuid::from_u128(n))
}

fn host(n: usize) -> String {
    format!("h{n}")
}

fn port(id: u128, bridge: u128) -> Port {
    Port {
        id: PortId(Uuid::from_u128(id)),
        name: String::new(),
        bridge: Some(BridgeId(Uuid::from_u128(bridge))),
        admin_up: true,
        mac: Mac([2, 0, 0, 0, 0, 0]),
        outside: false,
        addresses: Vec::new(),
        link: Link::None,
        key: 0,
        security: None,
        policy: None,
        instance: None,
        dhcp_options: vec![],
    }
}

fn bridge(id: u128) -> Object {
    Object::Bridge(Bridge {
        id: BridgeId(Uuid::from_u128(id)),
        name: String::new(),
        admin_up: true,
        mtu: 1450,
        flood_key: 1,
    })
}

/// The gateway's port of a router, on one external network for all.
fn gateway(n: u128) -> Port {
    let address = Address {
        ip: std::net::Ipv4Addr::from(0xcb00_7100 + n as u32).into(),
        subnet: SubnetId(Uuid::nil()),
    };
    Port {
        outside: true,
        addresses: vec![address],
        link: Link::Router(router(n)),
        ..port(n << 64, 1 << 80)
    }
}

fn translating(n: u128) -> Object {
    Object::Router(Router {
        id: router(n),
        name: String::new(),
        admin_up: true,
        routes: Vec::new(),
        key: n as u32,
        gateway: Some(Gateway {
            port: gateway(n).id,
            snat: true,
        }),
    })
}

/// Hosts with a port of each router's network, and routers to one external network.
fn town(hosts: usize, routers: u128) -> Snapshot {
    let mut objects = vec![bridge(1 << 80)];
    for h in 0..hosts {
        objects.push(Object::Host(Host {
            id: HostId(Uuid::from_u128(h as u128 + 1)),
            name: host(h),
            tunnel: std::net::Ipv4Addr::from(0x0a00_0000 + h as u32).into(),
            draining: false,
        }));
    }
    for r in 1..=routers {
        let inside = Port {
            link: Link::Router(router(r)),
            ..port(r << 32, r)
        };
        objects.extend([bridge(r), translating(r)]);
        objects.extend([Object::Port(gateway(r)), Object::Port(inside)]);
        objects.extend((0..hosts).map(|h| {
            let link = Link::Host {
                host: host(h),
                interface: None,
                trunk: None,
                vlan: None,
            };
            Object::Port(Port {
                link,
                ..port((r << 32) + 1 + h as u128, r)
            })
        }));
    }
    Snapshot::of(objects)
}

fn wish(topology: &Snapshot, host: &str, n: u128, want: u16, unused: &[u8]) -> BlockWish {
    let lease = Lease::id_of(router(n), host);
    BlockWish {
        router: router(n),
        seen: topology.revision(ObjectId::Lease(lease)),
        want,
        unused: unused.iter().copied().collect(),
    }
}

/// Carries out what is answered, at a revision of its own.
fn carry_out(topology: &mut Snapshot, changes: Vec<Change>, revision: u64) {
    for change in changes {
        topology.apply(match change {
            Change::Put(lease) => Delta::Put(Versioned {
                revision,
                object: Object::Lease(lease),
            }),
            Change::End(id) => Delta::Delete(ObjectId::Lease(id)),
        });
    }
}

fn blocks(topology: &Snapshot, host: &str, n: u128) -> Vec<u8> {
    let lease = topology.lease(Lease::id_of(router(n), host));
    lease
        .map(|l| l.blocks.iter().copied().collect())
        .unwrap_or_default()
}

#[test]
fn a_host_gets_what_it_wishes_and_keeps_it() {
    let mut town = town(2, 1);
    for (revision, (host, want, unused, blocks_then)) in [
        ("h0", 1, &[][..], &[4][..]),
        ("h1", 2, &[], &[5, 6]),
        ("h0", 2, &[], &[4, 7]),
        ("h0", 1, &[], &[4, 7]),
        ("h0", 1, &[4], &[7]),
        ("h0", 2, &[], &[4, 7]),
        ("h0", 0, &[4, 7, 200], &[]),
    ]
    .into_iter()
    .enumerate()
    {
        let answers = answer(&town, host, &[wish(&town, host, 1, want, unused)]);
        carry_out(&mut town, answers, revision as u64 + 2);
        assert_eq!(blocks(&town, host, 1), blocks_then, "step {revision}");
    }
}

#[test]
fn a_wish_made_before_the_last_change_is_void() {
    let mut town = town(1, 1);
    let old = wish(&town, "h0", 1, 1, &[]);
    let first = answer(&town, "h0", std::slice::from_ref(&old));
    carry_out(&mut town, first, 2);
    let returned = wish(&town, "h0", 1, 0, &[4]);
    let given = answer(&town, "h0", std::slice::from_ref(&returned));
    carry_out(&mut town, given, 3);
    let again = answer(&town, "h0", &[wish(&town, "h0", 1, 1, &[])]);
    carry_out(&mut town, again, 4);
    assert_eq!(blocks(&town, "h0", 1), [4]);
    // the message that gave it back comes once more, from a connection that died
    assert_eq!(answer(&town, "h0", &[returned, old]), []);
}

#[test]
fn without_source_nat_there_are_no_ports() {
    let mut town = town(1, 1);
    let given = answer(&town, "h0", &[wish(&town, "h0", 1, 1, &[])]);
    carry_out(&mut town, given, 2);
    let Object::Router(mut plain) = translating(1) else {
        unreachable!()
    };
    plain.gateway = plain.gateway.map(|g| Gateway { snat: false, ..g });
    town.apply(Delta::Put(Versioned {
        revision: 3,
        object: Object::Router(plain),
    }));
    let lost = groundless(&town, &BTreeSet::from([router(1)]));
    assert_eq!(lost, [Lease::id_of(router(1), "h0")]);
    assert_eq!(answer(&town, "h0", &[wish(&town, "h0", 1, 9, &[])]), []);
    assert_eq!(answer(&town, "h0", &[wish(&town, "h0", 7, 1, &[])]), []);
}

#[test]
fn one_host_cannot_take_what_others_start_with() {
    let mut town = town(40, 1);
    for (h, want) in [(0, u16::MAX), (1, u16::MAX)]
        .into_iter()
        .chain((2..40).map(|h| (h, 1)))
    {
        let host = host(h);
        let given = answer(&town, &host, &[wish(&town, &host, 1, 1, &[])]);
        carry_out(&mut town, given, 2 * h as u64 + 2);
        let given = answer(&town, &host, &[wish(&town, &host, 1, want, &[])]);
        carry_out(&mut town, given, 2 * h as u64 + 3);
    }
    assert_eq!(blocks(&town, "h0", 1).len(), HOST_BLOCKS_MAX);
    assert_eq!(blocks(&town, "h1", 1).len(), 252 - HOST_BLOCKS_MAX - 38);
    assert!((2..40).all(|h| blocks(&town, &host(h), 1).len() == 1));
}

proptest! {
    #[test]
    fn no_block_ever_has_two_holders(
        wishes in prop::collection::vec(
            (0_usize..4, 1_u128..3, any::<u16>(), prop::collection::vec(4_u8..40, 0..8), any::<bool>()),
            1..60,
        )
    ) {
        let mut town = town(4, 2);
        let mut stale = HashMap::new();
        for (step, (h, r, want, unused, late)) in wishes.into_iter().enumerate() {
            let name = host(h);
            let new = wish(&town, &name, r, want % 90, &unused);
            // a message may come once more, from a connection that died
            let wish = match late {
                true => stale.get(&(h, r)).cloned().unwrap_or(new),
                false => stale.entry((h, r)).insert_entry(new).get().clone(),
            };
            let held: BTreeSet<u8> = blocks(&town, &name, r).into_iter().collect();
            let current = wish.seen == town.revision(ObjectId::Lease(Lease::id_of(router(r), &name)));
            let changes = answer(&town, &name, std::slice::from_ref(&wish));
            prop_assert!(current || changes.is_empty());
            carry_out(&mut town, changes, step as u64 + 2);
            for r in 1..3 {
                let of_all: Vec<u8> = town.router_leases(router(r)).flat_map(|l| l.blocks.clone()).collect();
                let apart: BTreeSet<u8> = of_all.iter().copied().collect();
                prop_assert_eq!(of_all.len(), apart.len());
                prop_assert!(apart.first().is_none_or(|first| *first >= BLOCK_FIRST));
            }
            let now: BTreeSet<u8> = blocks(&town, &name, r).into_iter().collect();
            prop_assert!(held.difference(&now).all(|block| wish.unused.contains(block)));
        }
    }
}

/// What it costs that every host gets its first block of every router: messages and bytes of all
/// wishes, and of all that is pushed for it.
fn cost(hosts: usize, routers: u128) -> [usize; 4] {
    let mut town = town(hosts, routers);
    let mut views: Vec<View> = (0..hosts)
        .map(|h| {
            let mut view = View::default();
            view.advance(&town, &host(h));
            view
        })
        .collect();
    let [mut asked, mut asked_bytes, mut sent, mut sent_bytes] = [0; 4];
    for h in 0..hosts {
        let wishes: Vec<BlockWish> = (1..=routers)
            .map(|r| wish(&town, &host(h), r, 1, &[]))
            .collect();
        let changes = answer(&town, &host(h), &wishes);
        assert_eq!(changes.len(), routers as usize);
        for part in wishes.chunks(sync::BLOCK_WISHES) {
            asked += 1;
            asked_bytes += encode(&FromAgent::Blocks(part.to_vec())).unwrap().len();
        }
        carry_out(&mut town, changes, h as u64 + 2);
    }
    for (h, view) in views.iter_mut().enumerate() {
        let changes = view.advance(&town, &host(h));
        for frame in changes_frames(hosts as u64 + 2, changes) {
            sent += 1;
            sent_bytes += encode(&frame).unwrap().len();
        }
    }
    [asked, asked_bytes, sent, sent_bytes]
}

#[test]
fn traffic_grows_as_leases_do() {
    let [asked, asked_bytes, ..] = cost(16, 50);
    assert_eq!(asked, 16, "one message of each host");
    let all = |hosts, routers| {
        let [asked, asked_bytes, sent, sent_bytes] = cost(hosts, routers);
        println!(
            "{hosts} hosts, {routers} routers: {asked} messages of {asked_bytes} bytes ask, \
             {sent} frames of {sent_bytes} bytes answer, {} bytes for a host",
            sent_bytes / hosts
        );
        [asked_bytes, sent_bytes / hosts]
    };
    let (base, routers, hosts) = (all(16, 50), all(16, 100), all(32, 50));
    all(64, 200);
    assert_eq!(base[0], asked_bytes);
    for (now, what) in [(routers, "routers"), (hosts, "hosts")] {
        for (before, after) in base.iter().zip(now) {
            let growth = after as f64 / *before as f64;
            assert!(
                (1.8..2.2).contains(&growth),
                "{growth} for twice the {what}"
            );
        }
    }
}
