//! Frames judged by a world over the fake maps.

use super::*;
use datapath::FakeMaps;
use sim::testing::{Frame, Payload, World as Made, key_of, mac};
use std::net::Ipv4Addr;
use topology::{Change, Object, ObjectId, Versioned};
use wire::Mac;

/// One network; `a` and `b` on this host, `c` on another.
struct Bench {
    made: Made,
    bridge: BridgeId,
    a: PortId,
    b: PortId,
    c: PortId,
    world: World<FakeMaps>,
}

impl Bench {
    fn new() -> Self {
        let mut made = Made::new();
        let bridge = made.bridge();
        let subnet = made.subnet(bridge, "10.0.0.0/24");
        let a = made.vm(bridge, "host1", &[(subnet, "10.0.0.11")], None);
        let b = made.vm(bridge, "host1", &[(subnet, "10.0.0.12")], None);
        let c = made.vm(bridge, "host2", &[(subnet, "10.0.0.13")], None);
        let mut world = World::new("host1".into(), FakeMaps::default());
        let put = |object: &Object| {
            Change::Put(Versioned {
                revision: 1,
                object: object.clone(),
            })
        };
        world
            .apply(Uuid::nil(), 1, made.objects.iter().map(put).collect())
            .unwrap();
        let mut bench = Self {
            made,
            bridge,
            a,
            b,
            c,
            world,
        };
        bench.plug(7, a);
        bench.plug(8, b);
        bench
    }

    fn plug(&mut self, ifindex: u32, port: PortId) {
        let key = self.world.snapshot().port(port).unwrap().key;
        let name = format!("tap{ifindex}");
        let plugged = Plugged {
            vlan: None,
            port,
            name,
            key,
            flood_key: self.flood_key(),
            mtu: 1450,
            uplink: false,
        };
        self.world.plugged(ifindex, plugged).unwrap();
    }

    fn flood_key(&self) -> u32 {
        self.world.snapshot().bridge(self.bridge).unwrap().flood_key
    }

    fn change(&mut self, revision: u64, change: Change) {
        self.world
            .apply(Uuid::nil(), revision, vec![change])
            .unwrap();
    }

    /// A datagram from `a` to a MAC and an address.
    fn datagram(&self, dmac: Mac, last: u8) -> Vec<u8> {
        let frame = Frame {
            smac: mac_of(self.a),
            dmac,
            src: Ipv4Addr::new(10, 0, 0, 11).into(),
            dst: Ipv4Addr::new(10, 0, 0, last).into(),
            ttl: 64,
            payload: Payload::Udp(1, 2, vec![0; 8]),
        };
        frame.bytes()
    }

    fn judge(&mut self, bytes: &[u8], why: u8, vni: u32) -> Outcome {
        let key = bpf_abi::FlowKey {
            in_port: if vni == 0 { 7 } else { 0 },
            ..key_of(bytes, 0)
        };
        let len = bytes.len() as u32;
        let header = bpf_abi::Upcall {
            key,
            why,
            vni,
            len,
            captured: len,
            ..Default::default()
        };
        self.world.decide(&Upcall { header, bytes })
    }

    /// What the kernel would do with it now.
    fn action(&mut self, bytes: &[u8]) -> Option<bpf_abi::Action> {
        let key = key_of(bytes, 0);
        self.world
            .table_mut()
            .unwrap()
            .maps_mut()
            .look_up(&key)
            .map(|(_, action)| action)
    }
}

fn mac_of(port: PortId) -> Mac {
    mac(port.0.as_u128() as u16)
}

#[test]
fn a_miss_is_judged_once_and_sent_again() {
    let mut bench = Bench::new();
    let frame = bench.datagram(mac_of(bench.b), 12);
    assert_eq!(bench.judge(&frame, bpf_abi::WHY_MISS, 0), Outcome::Again);
    let action = bench.action(&frame).unwrap();
    assert_eq!((action.kind, action.ifindex), (bpf_abi::ACTION_LOCAL, 8));

    let frame = bench.datagram(mac_of(bench.c), 13);
    assert_eq!(bench.judge(&frame, bpf_abi::WHY_MISS, 0), Outcome::Again);
    let action = bench.action(&frame).unwrap();
    let key = bench.world.snapshot().port(bench.c).unwrap().key;
    assert_eq!(action.kind, bpf_abi::ACTION_TUNNEL);
    assert_eq!(action.vni & !bpf_abi::VNI_UNTRACKED, key);
}

#[test]
fn what_a_decision_depends_on_takes_it_out() {
    let mut bench = Bench::new();
    let frame = bench.datagram(mac_of(bench.b), 12);
    bench.judge(&frame, bpf_abi::WHY_MISS, 0);
    bench.world.unplugged(8).unwrap();
    assert_eq!(bench.action(&frame), None);
    assert_eq!(bench.judge(&frame, bpf_abi::WHY_MISS, 0), Outcome::Again);
    assert_eq!(
        bench.action(&frame).unwrap().reason,
        DropReason::PortUnbound as u8
    );
    let b = bench.b;
    bench.plug(9, b);
    assert_eq!(bench.action(&frame), None);
    bench.judge(&frame, bpf_abi::WHY_MISS, 0);
    assert_eq!(bench.action(&frame).unwrap().ifindex, 9);
    bench.change(2, Change::Delete(ObjectId::Port(b)));
    assert_eq!(bench.action(&frame), None);
}

#[test]
fn a_port_that_moves_is_reached_where_it_is() {
    let mut bench = Bench::new();
    let frame = bench.datagram(mac_of(bench.b), 12);
    bench.judge(&frame, bpf_abi::WHY_MISS, 0);
    let link = topology::Link::Host {
        host: "host2".into(),
        interface: None,
        trunk: None,
        vlan: None,
    };
    let b = bench.b;
    bench.made.change_port(b, |port| port.link = link);
    let object = bench
        .made
        .objects
        .iter()
        .find(|o| o.id() == ObjectId::Port(b))
        .unwrap()
        .clone();
    bench.change(
        2,
        Change::Put(Versioned {
            revision: 2,
            object,
        }),
    );
    // its tap is here still, as during a migration
    assert_eq!(bench.judge(&frame, bpf_abi::WHY_MISS, 0), Outcome::Again);
    assert_eq!(bench.action(&frame).unwrap().kind, bpf_abi::ACTION_TUNNEL);
}

#[test]
fn a_broadcast_goes_to_local_taps_and_once_to_each_other_host() {
    let mut bench = Bench::new();
    let frame = bench.datagram(Mac::BROADCAST, 255);
    let flood_key = bench.flood_key();
    let remote = BTreeSet::from([([192, 0, 2, 2].into(), flood_key)]);
    let wanted = Outcome::Deliver {
        taps: vec![8],
        remote,
    };
    assert_eq!(bench.judge(&frame, bpf_abi::WHY_FLOOD, 0), wanted);

    let wanted = Outcome::Deliver {
        taps: vec![7, 8],
        remote: BTreeSet::new(),
    };
    assert_eq!(bench.judge(&frame, bpf_abi::WHY_FLOOD, flood_key), wanted);
    assert!(bench.world.table().unwrap().is_empty());
}

#[test]
fn frames_nobody_knows_are_counted() {
    let mut bench = Bench::new();
    let frame = bench.datagram(mac_of(bench.b), 12);
    let unknown = Outcome::Dropped(DropReason::TunnelKeyUnknown);
    assert_eq!(bench.judge(&frame, bpf_abi::WHY_FLOOD, 99), unknown);
    bench.world.unplugged(7).unwrap();
    let unknown = Outcome::Dropped(DropReason::PortUnknown);
    assert_eq!(bench.judge(&frame, bpf_abi::WHY_MISS, 0), unknown);
    let counted: Vec<_> = bench
        .world
        .drops()
        .iter()
        .map(|(k, d)| (*k, d.packets))
        .collect();
    let wanted = [
        ((0, DropReason::TunnelKeyUnknown), 1),
        ((7, DropReason::PortUnknown), 1),
    ];
    assert_eq!(counted, wanted);
}

#[test]
fn a_frame_that_the_kernel_always_sends_up_is_never_sent_again() {
    let mut bench = Bench::new();
    let frame = bench.datagram(mac_of(bench.b), 12);
    for why in [
        bpf_abi::WHY_CONTROL,
        bpf_abi::WHY_TTL,
        bpf_abi::WHY_MTU,
        bpf_abi::WHY_FLOOD,
    ] {
        assert_ne!(bench.judge(&frame, why, 0), Outcome::Again);
    }
    assert!(bench.world.table().unwrap().is_empty());
}

#[test]
fn tunnelled_frames_are_taken_from_known_hosts_only() {
    let mut bench = Bench::new();
    let peers = |bench: &Bench| {
        bench
            .world
            .table()
            .unwrap()
            .maps()
            .peers()
            .cloned()
            .unwrap()
    };
    assert_eq!(peers(&bench).len(), 2);
    let host = bench.world.snapshot().host("host2").unwrap().id;
    bench.change(2, Change::Delete(ObjectId::Host(host)));
    assert_eq!(peers(&bench), BTreeSet::from([[192, 0, 2, 1].into()]));
}

#[test]
fn before_there_is_a_topology_nothing_is_decided() {
    let mut world: World<FakeMaps> = World::new("host1".into(), FakeMaps::default());
    let header = bpf_abi::Upcall::default();
    let outcome = world.decide(&Upcall { header, bytes: &[] });
    assert_eq!(outcome, Outcome::Dropped(DropReason::PortUnknown));
    assert!(!world.is_ready());
}

mod outside {
    //! Frames at routers, on the coast.

    use super::*;
    use bpf_abi::router_number;
    use sim::testing::Coast;
    use topology::Router;

    /// The coast as host2 sees it.
    fn coast() -> (Coast, World<FakeMaps>) {
        let coast = Coast::new(Made::new(), None);
        let mut world = World::new("host2".into(), FakeMaps::default());
        put(&mut world, &coast.world.objects);
        (coast, world)
    }

    fn put(world: &mut World<FakeMaps>, objects: &[Object]) {
        let put = |object: &Object| {
            Change::Put(Versioned {
                revision: 1,
                object: object.clone(),
            })
        };
        let changes = objects.iter().map(put).collect();
        world.apply(Uuid::nil(), 1, changes).unwrap();
    }

    fn tunnels(world: &World<FakeMaps>) -> BTreeMap<TunnelKey, u32> {
        let maps = world.table().unwrap().maps();
        maps.tunnels().unwrap().into_iter().collect()
    }

    fn numbers(world: &World<FakeMaps>) -> BTreeSet<u32> {
        let maps = world.table().unwrap().maps();
        maps.ports().unwrap().into_iter().map(|(n, _)| n).collect()
    }

    #[test]
    fn routers_that_can_be_entered_have_numbers_and_keys() {
        let (coast, mut world) = coast();
        let key = |world: &World<FakeMaps>, id| world.snapshot().router(id).unwrap().key;
        let tenant = coast.tenants[1];
        let gateway = world.snapshot().port(tenant.gateway).unwrap().key;
        for router in [coast.edge, tenant.router] {
            let (key, number) = (key(&world, router), router_number(key(&world, router)));
            assert_eq!(tunnels(&world).get(&key), Some(&number));
            assert!(numbers(&world).contains(&number));
            assert_eq!(world.router_of(number), Some(router));
        }
        assert!(numbers(&world).contains(&(bpf_abi::PORT_VIRTUAL | gateway)));
        // what keeps taps in order does not take them for taps
        world.set_flood_keys(&BTreeSet::new()).unwrap();
        assert!(tunnels(&world).contains_key(&key(&world, tenant.router)));

        let closed = Router {
            gateway: None,
            ..Router::clone(world.snapshot().router(tenant.router).unwrap())
        };
        let before = router_number(closed.key);
        let mut gateway = topology::Port::clone(world.snapshot().port(tenant.gateway).unwrap());
        gateway.link = topology::Link::None;
        let fips = [coast.fip_a, coast.fip_c].map(ObjectId::FloatingIp);
        let gone = fips.map(Change::Delete).into_iter().collect();
        world.apply(Uuid::nil(), 2, gone).unwrap();
        put(&mut world, &[Object::Router(closed), Object::Port(gateway)]);
        assert!(!numbers(&world).contains(&before));
        assert_eq!(world.router_of(before), None);
    }

    #[test]
    fn what_an_earlier_process_left_is_taken_over_or_forgotten() {
        let (coast, world) = coast();
        let number = router_number(world.snapshot().router(coast.edge).unwrap().key);
        let mut maps = FakeMaps::default();
        for left in [number, router_number(999_999), 7] {
            maps.set_port(left, 5).unwrap();
        }
        let mut again = World::new("host2".into(), maps);
        put(&mut again, &coast.world.objects);
        let numbers = numbers(&again);
        assert!(numbers.contains(&number) && numbers.contains(&7));
        assert!(!numbers.contains(&router_number(999_999)));
    }

    #[test]
    fn a_router_s_complaint_leaves_by_the_port_that_the_packet_came_by() {
        let (coast, mut world) = coast();
        let tenant = coast.tenants[1];
        let (router, gateway) = {
            let snapshot = world.snapshot();
            let port = snapshot.port(tenant.gateway).unwrap();
            (
                snapshot.router(tenant.router).unwrap().key,
                (port.mac, port.key),
            )
        };
        // from outside to the floating IP of c, with no hop left for the router
        let frame = Frame {
            smac: mac_of(coast.edge_port),
            dmac: gateway.0,
            src: "198.51.100.7".parse().unwrap(),
            dst: "203.0.113.102".parse().unwrap(),
            ttl: 1,
            payload: Payload::Udp(1, 2, vec![0; 8]),
        };
        let bytes = frame.bytes();
        let key = bpf_abi::FlowKey {
            in_port: router_number(router),
            ..key_of(&bytes, 0)
        };
        let header = bpf_abi::Upcall {
            key,
            why: bpf_abi::WHY_TTL,
            len: bytes.len() as u32,
            captured: bytes.len() as u32,
            ..Default::default()
        };
        let upcall = Upcall {
            header,
            bytes: &bytes,
        };
        match world.decide(&upcall) {
            Outcome::Said { number, frame } => {
                assert_eq!(number, bpf_abi::PORT_VIRTUAL | gateway.1);
                assert_eq!(frame[6..12], gateway.0.0, "from the gateway's MAC");
            }
            other => panic!("{other:?}"),
        }
        let drops = world.drops();
        assert!(drops.contains_key(&(router_number(router), DropReason::TtlExpired)));
    }
}
