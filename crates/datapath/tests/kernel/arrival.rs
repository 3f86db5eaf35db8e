//! Frames from the underlay, right and wrong.

use crate::{
    frames::*,
    net::Net,
    outside::{F4, ROUTER},
    rewriting::written,
    world::{RATE, World, local},
};
use bpf_abi::*;
use datapath::Maps;
use flow::DropReason;
use std::{
    collections::BTreeSet,
    net::UdpSocket,
    time::{Duration, Instant},
};
use wire::protocol::UDP;

const KEY: u32 = 7;
const FLOOD_KEY: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(5);
/// Garbage frames.
const GARBAGE: u32 = 3000;

/// A host with one VM, and a socket that plays the other hosts.
struct Arrival {
    world: World,
    tap: u32,
    outside: UdpSocket,
    inside: UdpSocket,
    _nets: [Net; 2],
}

impl Arrival {
    fn new() -> Self {
        let (host, vm) = (Net::new(), Net::new());
        vm.plug(&host, "tap", MAC_B, &[B4, B6]);
        host.ip("link add mn-vxlan type vxlan external dstport 4789");
        host.ip("link set mn-vxlan up");
        let (tap, device) = (host.index("tap"), host.index("mn-vxlan"));
        let mut world = World::new();
        let datapath = world.datapath.as_mut().unwrap();
        host.enter(|| {
            datapath.attach_port(tap, RATE).unwrap();
            datapath
                .attach_tunnel(device, "127.0.0.1".parse().unwrap(), RATE)
                .unwrap();
        });
        world.table.maps_mut().set_tunnel(KEY, tap).unwrap();
        world.table.maps_mut().set_tunnel(FLOOD_KEY, 0).unwrap();
        let outside = host.enter(|| UdpSocket::bind("127.0.0.2:0").unwrap());
        let inside = vm.enter(|| UdpSocket::bind((B4, 53)).unwrap());
        inside.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            world,
            tap,
            outside,
            inside,
            _nets: [host, vm],
        }
    }

    fn send(&self, vni: u32, frame: &[u8]) {
        let [_, a, b, c] = vni.to_be_bytes();
        let datagram = [&[8, 0, 0, 0, a, b, c, 0], frame].concat();
        self.outside.send_to(&datagram, "127.0.0.1:4789").unwrap();
    }

    fn received(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let length = self.inside.recv(&mut buffer).expect("the VM hears of it");
        buffer[..length].to_vec()
    }

    fn drops(&self, reason: DropReason) -> u64 {
        let all = self.world.table.maps().drops().unwrap();
        all.iter()
            .filter(|(k, _)| k.in_port == 0 && k.reason == reason as u32)
            .map(|(_, c)| c.packets)
            .sum()
    }

    /// Waits for the count: the kernel may handle a datagram a moment after it was sent.
    fn expect_drops(&self, reason: DropReason, count: u64) {
        let start = Instant::now();
        while self.drops(reason) != count {
            assert!(
                start.elapsed() < PATIENCE,
                "{reason:?}: {} not {count}",
                self.drops(reason)
            );
            std::thread::yield_now();
        }
    }
}

fn question(sport: u16) -> Vec<u8> {
    udp((A4, sport), (B4, 53), b"question")
}

#[test]
fn an_authorised_packet_is_delivered_and_recorded_as_its_flags_say() {
    let arrival = Arrival::new();
    let cases = [
        (1, 0, true),
        (2, VNI_REPLY, false),
        (3, VNI_UNTRACKED, false),
    ];
    for (sport, flags, recorded) in cases {
        arrival.send(KEY | flags, &question(sport));
        assert_eq!(arrival.received(), b"question");
        let record = arrival.world.conn(arrival.tap, UDP, (B4, 53), (A4, sport));
        assert_eq!(
            record.map(|c| (c.state, c.action)),
            recorded.then_some((STATE_REPLY, 0))
        );
    }
}

/// The flags do not matter at a router, and what came in there is not recorded as it came.
#[test]
fn a_handed_over_packet_goes_on_at_its_router() {
    let mut arrival = Arrival::new();
    let maps = arrival.world.table.maps_mut();
    maps.set_tunnel(9, ROUTER).unwrap();
    let inward = Action {
        flags: ACTION_DST,
        dst: written(B4),
        ..local(arrival.tap)
    };
    arrival.world.decide(ROUTER, STATE_FORWARD, inward);
    for (sport, flags) in [(1, 0), (2, VNI_REPLY), (3, VNI_UNTRACKED)] {
        arrival.send(9 | flags, &udp((A4, sport), (F4, 53), b"question"));
        assert_eq!(arrival.received(), b"question");
        let record = arrival.world.conn(arrival.tap, UDP, (B4, 53), (A4, sport));
        assert_eq!(record.unwrap().to.src, written(F4));
    }
}

#[test]
fn icmp_errors_and_later_fragments_are_delivered_without_a_record() {
    let mut arrival = Arrival::new();
    let mut later = raw_ip(A4, B4, UDP, &[0; 16]);
    later[21] = 3;
    fix_ipv4(&mut later);
    arrival.send(KEY, &later);
    arrival.send(KEY, &icmp_error(A4, B4, &udp((B4, 1), (A4, 2), b"x")));
    arrival.send(KEY, &question(9));
    arrival.received();
    let records = arrival.world.table.maps().connections(10).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(arrival.world.drop_counts(), BTreeSet::new());
    arrival
        .world
        .upcalls
        .drain(100, |f| assert_ne!(f.header.key.in_port, 0));
}

#[test]
fn what_no_port_here_may_get_is_dropped_by_name() {
    let mut arrival = Arrival::new();
    arrival.send(KEY + 100, &question(1));
    arrival.expect_drops(DropReason::TunnelKeyUnknown, 1);
    let mut wrong = question(1);
    wrong[24] ^= 1;
    arrival.send(KEY, &wrong);
    arrival.expect_drops(DropReason::BadChecksum, 1);
    let peers = |address: &str| BTreeSet::from([address.parse().unwrap()]);
    arrival
        .world
        .table
        .maps_mut()
        .set_peers(&peers("192.0.2.9"))
        .unwrap();
    arrival.send(KEY, &question(1));
    arrival.expect_drops(DropReason::TunnelSource, 1);
    arrival
        .world
        .table
        .maps_mut()
        .set_peers(&peers("127.0.0.2"))
        .unwrap();
    arrival.send(KEY, &question(1));
    assert_eq!(arrival.received(), b"question");
}

#[test]
fn a_flood_goes_to_the_agent_with_its_key() {
    let mut arrival = Arrival::new();
    let mut frame = udp((A4, 1), ("224.0.0.1", 2), &[5; 1000]);
    frame[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 1]);
    arrival.send(FLOOD_KEY, &frame);
    let mut flood = None;
    let start = Instant::now();
    while flood.is_none() {
        assert!(start.elapsed() < PATIENCE);
        arrival
            .world
            .upcalls
            .wait(Duration::from_millis(100))
            .unwrap();
        arrival.world.upcalls.drain(10, |f| {
            if f.header.vni != 0 {
                flood = Some((f.header, f.bytes.to_vec()));
            }
        });
    }
    let (header, bytes) = flood.unwrap();
    assert_eq!(
        (header.why, header.vni, header.key.in_port),
        (WHY_FLOOD, FLOOD_KEY, 0)
    );
    assert_eq!((bytes, header.key.dport), (frame, 2));
}

#[test]
fn garbage_from_the_underlay_is_delivered_or_counted_and_nothing_else() {
    let mut arrival = Arrival::new();
    let mut state = 1u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let samples = [
        question(1),
        tcp((A6, 1), (B6, 2), SYN),
        ping(A4, B4, 1),
        raw_ip(A6, B6, 44, &[0; 30]),
    ];
    for _ in 0..GARBAGE {
        let mut frame = samples[random() as usize % samples.len()].clone();
        for _ in 0..random() % 6 {
            let at = random() as usize % frame.len();
            frame[at] = random() as u8;
        }
        frame.truncate(random() as usize % (frame.len() + 20));
        arrival.send([KEY, FLOOD_KEY, random()][random() as usize % 3], &frame);
        arrival.world.upcalls.drain(10, |_| ());
    }
    assert!(arrival.drops(DropReason::Malformed) > 0);
    arrival.inside.set_nonblocking(true).unwrap();
    while arrival.inside.recv(&mut [0; 2048]).is_ok() {}
    arrival.inside.set_nonblocking(false).unwrap();
    arrival.send(KEY, &question(500));
    assert_eq!(arrival.received(), b"question", "it still works");
}
