//! Limits of ports: packets a second, and the shaper.

use crate::{
    forwarding::{OneHost, PATIENCE, exchange, tcp_transfer},
    frames::*,
    net::Net,
    subports::{NUMBER, TrunkHost},
    world::{RATE, World, local},
};
use bpf_abi::*;
use datapath::{AttachError, Direction, Injector, Maps, Outgoing, PacketLimit};
use flow::DropReason;
use std::time::{Duration, Instant};
use wire::protocol::UDP;

/// The class that shaped ports of the tests have: 1:10.
const CLASS: u32 = 0x1_0010;
/// Its rate.
const BITS_PER_SECOND: u64 = 40_000_000;

/// Both directions between the VMs of one host are allowed.
fn both_ways(host: &mut OneHost) {
    for (tap, other) in [(host.taps[0], host.taps[1]), (host.taps[1], host.taps[0])] {
        host.world.decide(tap, STATE_FORWARD, local(other));
        let reply = Action {
            flags: ACTION_REPLY,
            ..local(other)
        };
        host.world.decide(tap, STATE_REPLY, reply);
    }
}

fn limit(net: &Net, world: &mut World, port: u32, way: Direction, limit: Option<(u32, u32)>) {
    let datapath = world.datapath.as_mut().unwrap();
    let limit = limit.map(|(pps, burst)| PacketLimit { pps, burst });
    net.enter(|| datapath.set_packet_limit((port, way), limit).unwrap());
}

/// Sends datagrams from A to B while `more` says so of their number; returns how many were dropped
/// under a port's limit, how many were sent, and how long it took. Waits for all to be counted, and
/// for `least` to be dropped: to a VM they pass the fast path first.
fn volley(
    host: &OneHost,
    port: u32,
    least: u64,
    more: impl Fn(u64) -> bool,
) -> (u64, u64, Duration) {
    let eth0 = host.a.index("eth0");
    let mut vm = host.a.enter(|| Injector::open(eth0).unwrap());
    let frame = udp((A4, 5), (B4, 6), b"x");
    let (start, old, mut sent) = (Instant::now(), dropped(&host.world, port), 0);
    let on_entry = || match port == host.taps[0] {
        true => dropped(&host.world, port),
        false => 0,
    };
    let before = passed(host) + on_entry();
    while more(sent) {
        let frame = Outgoing {
            mark: 0,
            bytes: &frame,
            gso_size: 0,
        };
        vm.send(frame).unwrap();
        sent += 1;
    }
    let lost = || dropped(&host.world, port) - old;
    while passed(host) + on_entry() < before + sent || lost() < least {
        assert!(start.elapsed() < PATIENCE, "frames vanish");
        std::thread::yield_now();
    }
    (lost(), sent, start.elapsed())
}

fn dropped(world: &World, port: u32) -> u64 {
    let of = |d: &&(u32, u32, u64)| d.0 == port && d.1 == DropReason::PacketRate as u32;
    world.drop_counts().iter().find(of).map_or(0, |d| d.2)
}

fn passed(host: &OneHost) -> u64 {
    let conn = host.world.conn(host.taps[0], UDP, (A4, 5), (B4, 6));
    conn.map_or(0, |c| c.packets)
}

#[test]
fn packets_above_the_rate_are_dropped_by_name_in_either_direction() {
    let mut host = OneHost::new();
    both_ways(&mut host);
    let ways = [
        (Direction::FromVm, host.taps[0]),
        (Direction::ToVm, host.taps[1]),
    ];
    for (way, port) in ways {
        assert_eq!(volley(&host, port, 0, |n| n < 100).0, 0, "no limit yet");
        limit(&host.host, &mut host.world, port, way, Some((100, 20)));
        let (lost, _, time) = volley(&host, port, 1, |n| n < 100);
        let may = 21 + (time.as_secs_f64() * 100.0).ceil() as u64; // one may be in flight
        assert!(
            (100 - may.min(100)..=80).contains(&lost),
            "{way:?}: {lost} in {time:?}"
        );
        limit(&host.host, &mut host.world, port, way, Some((0, 20)));
        assert_eq!(
            volley(&host, port, 10, |n| n < 10).0,
            10,
            "{way:?}: a rate of nothing"
        );
        limit(&host.host, &mut host.world, port, way, None);
        assert_eq!(
            volley(&host, port, 0, |n| n < 100).0,
            0,
            "{way:?}: no limit any more"
        );
    }
}

#[test]
fn the_rate_is_kept_over_time() {
    let mut host = OneHost::new();
    both_ways(&mut host);
    let port = host.taps[0];
    limit(
        &host.host,
        &mut host.world,
        port,
        Direction::FromVm,
        Some((20_000, 4_000)), // a sender that is interrupted catches up
    );
    let start = Instant::now();
    let second = |_| start.elapsed() < Duration::from_secs(1);
    let (lost, sent, time) = volley(&host, port, 1, second);
    let (passed, due) = ((sent - lost) as f64, 20_000.0 * time.as_secs_f64());
    assert!(
        lost > sent / 10,
        "the limit was hardly met: {lost} of {sent}"
    );
    let allowed = 0.95 * due..=1.05 * due + 4_000.0;
    assert!(allowed.contains(&passed), "{passed} packets in {time:?}");
}

#[test]
fn an_aggregate_counts_as_the_packets_it_becomes() {
    let mut host = OneHost::new();
    both_ways(&mut host);
    let port = host.taps[0];
    limit(
        &host.host,
        &mut host.world,
        port,
        Direction::FromVm,
        Some((100, 10)),
    );
    let mut aggregate = tcp((A4, 5), (B4, 80), ACK);
    aggregate.extend(vec![7; 40_000]);
    aggregate[16..18].copy_from_slice(&(40_040u16).to_be_bytes());
    fix_ipv4(&mut aggregate);
    let eth0 = host.a.index("eth0");
    let mut vm = host.a.enter(|| Injector::open(eth0).unwrap());
    let start = Instant::now();
    let mut send = || {
        let frame = Outgoing {
            mark: 0,
            bytes: &aggregate,
            gso_size: 1000,
        };
        vm.send(frame).unwrap();
    };
    send(); // passes whole, and costs 40
    send();
    while dropped(&host.world, port) == 0 {
        assert!(start.elapsed() < PATIENCE, "the second one passed too");
        std::thread::yield_now();
    }
    // the bucket of 10 is 30 in debt, and one more must be there
    while dropped(&host.world, port) != 0 {
        let before = dropped(&host.world, port);
        send();
        let passed = || {
            host.world
                .conn(port, 6, (A4, 5), (B4, 80))
                .map(|c| c.packets)
        };
        while dropped(&host.world, port) == before && passed() != Some(2) {
            assert!(start.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
        if passed() == Some(2) {
            break;
        }
    }
    assert!(
        start.elapsed() > Duration::from_millis(300),
        "{:?}",
        start.elapsed()
    );
}

/// Makes the shaper's devices in this namespace, with one class.
fn add_shaper(net: &Net, world: &mut World) {
    net.ip("link add mn-shp0 type veth peer name mn-shp1");
    for device in ["mn-shp0", "mn-shp1"] {
        net.ip(&format!("link set {device} up"));
    }
    net.run("tc qdisc add dev mn-shp0 root handle 1: htb");
    net.run(&format!(
        "tc class add dev mn-shp0 parent 1: classid 1:10 htb rate {BITS_PER_SECOND} burst 32k"
    ));
    let (near, far) = (net.index("mn-shp0"), net.index("mn-shp1"));
    let datapath = world.datapath.as_mut().unwrap();
    net.enter(|| datapath.attach_shaper(near, far).unwrap());
}

fn set_class(net: &Net, world: &mut World, port: u32, class: Option<u32>) {
    let datapath = world.datapath.as_mut().unwrap();
    let way = (port, Direction::FromVm);
    net.enter(|| datapath.set_class(way, class).unwrap());
}

/// Bits a second that TCP gets from one VM to another.
fn speed(from: &Net, to: &Net, address: &str, bytes: usize) -> f64 {
    let start = Instant::now();
    tcp_transfer(from, to, address, bytes);
    bytes as f64 * 8.0 / start.elapsed().as_secs_f64()
}

fn assert_shaped(speed: f64) {
    let share = speed / BITS_PER_SECOND as f64;
    assert!((0.8..=1.1).contains(&share), "{share} of the rate");
}

#[test]
fn what_a_vm_sends_is_shaped_and_what_it_gets_is_not() {
    let mut host = OneHost::new();
    both_ways(&mut host);
    add_shaper(&host.host, &mut host.world);
    let [a, b] = host.taps;
    set_class(&host.host, &mut host.world, a, Some(CLASS));
    for address in [B4, B6] {
        assert_shaped(speed(&host.a, &host.b, address, 4 << 20));
        exchange(&host.a, &host.b, address);
        host.a.ping(address, 56);
    }
    let other_way = speed(&host.b, &host.a, A4, 16 << 20);
    assert!(other_way > 3.0 * BITS_PER_SECOND as f64, "{other_way}");
    let conns = host.world.table.maps().connections(1000).unwrap();
    assert!(conns.iter().all(|(key, _)| [a, b].contains(&key.in_port)));
    set_class(&host.host, &mut host.world, a, None);
    let unshaped = speed(&host.a, &host.b, B4, 16 << 20);
    assert!(unshaped > 3.0 * BITS_PER_SECOND as f64, "{unshaped}");
}

/// What a VM gets waits at its tap; a port without a class passes the tap's HTB at once.
#[test]
fn what_a_vm_gets_is_shaped_at_its_tap_and_what_it_sends_is_not() {
    let mut host = OneHost::new();
    both_ways(&mut host);
    let [_, b] = host.taps;
    host.host.run("tc qdisc add dev tap-b root handle 1: htb");
    host.host.run(&format!(
        "tc class add dev tap-b parent 1: classid 1:10 htb rate {BITS_PER_SECOND} burst 32k"
    ));
    let fast = |speed: f64| assert!(speed > 3.0 * BITS_PER_SECOND as f64, "{speed}");
    fast(speed(&host.a, &host.b, B4, 16 << 20));
    let mut set = |class| {
        let datapath = host.world.datapath.as_mut().unwrap();
        let way = (b, Direction::ToVm);
        host.host.enter(|| datapath.set_class(way, class).unwrap());
    };
    set(Some(CLASS));
    for address in [B4, B6] {
        assert_shaped(speed(&host.a, &host.b, address, 4 << 20));
        exchange(&host.a, &host.b, address);
    }
    fast(speed(&host.b, &host.a, A4, 16 << 20));
    set(None);
    fast(speed(&host.a, &host.b, B4, 16 << 20));
}

#[test]
fn shaping_comes_and_goes_under_a_transfer() {
    let mut host = OneHost::new();
    both_ways(&mut host);
    add_shaper(&host.host, &mut host.world);
    let OneHost {
        mut world,
        host: net,
        a,
        b,
        taps,
    } = host;
    std::thread::scope(|scope| {
        let transfer = scope.spawn(|| tcp_transfer(&a, &b, B4, 32 << 20));
        let mut class = Some(CLASS);
        while !transfer.is_finished() {
            set_class(&net, &mut world, taps[0], class);
            class = if class.is_some() { None } else { Some(CLASS) };
        }
    });
}

#[test]
fn a_sub_port_has_limits_of_its_own() {
    let TrunkHost {
        mut world,
        _guest,
        host,
        a,
        b,
    } = TrunkHost::new();
    add_shaper(&host, &mut world);
    set_class(&host, &mut world, NUMBER, Some(CLASS));
    assert_shaped(speed(&a, &b, B4, 4 << 20));
    exchange(&a, &b, B6);
    limit(&host, &mut world, NUMBER, Direction::ToVm, Some((0, 0)));
    limit(&host, &mut world, NUMBER, Direction::FromVm, Some((0, 0)));
    let socket = b.enter(|| std::net::UdpSocket::bind((B4, 0)).unwrap());
    let start = Instant::now();
    while dropped(&world, NUMBER) == 0 {
        assert!(
            start.elapsed() < PATIENCE,
            "nothing to the sub-port is dropped"
        );
        socket.send_to(b"x", (A4, 9)).unwrap();
    }
}

#[test]
fn limits_outlive_the_agent_and_not_the_port() {
    let host = Net::new();
    let vm = Net::new();
    vm.plug(&host, "tap", MAC_A, &[]);
    let tap = host.index("tap");
    let attach = |world: &mut World| {
        let datapath = world.datapath.as_mut().unwrap();
        host.enter(|| datapath.attach_port(tap, RATE).unwrap());
    };
    let mut world = World::new();
    attach(&mut world);
    limit(&host, &mut world, tap, Direction::FromVm, Some((0, 0)));
    let mut world = World::at(world.crash());
    attach(&mut world);
    let eth0 = vm.index("eth0");
    let mut socket = vm.enter(|| Injector::open(eth0).unwrap());
    let frame = udp((A4, 5), (B4, 6), b"x");
    let frame = Outgoing {
        mark: 0,
        bytes: &frame,
        gso_size: 0,
    };
    let start = Instant::now();
    while dropped(&world, tap) == 0 {
        assert!(start.elapsed() < PATIENCE, "the limit is forgotten");
        socket.send(frame).unwrap();
    }
    let datapath = world.datapath.as_mut().unwrap();
    host.enter(|| datapath.detach_port(tap).unwrap());
    let key = LimitKey {
        port: tap,
        direction: FROM_VM,
    };
    assert_eq!(world.table.maps().limit(key).unwrap(), None);
}

#[test]
fn nothing_is_shaped_without_a_shaper() {
    let mut world = World::new();
    let datapath = world.datapath.as_mut().unwrap();
    let refused = datapath.set_class((5, Direction::FromVm), Some(CLASS));
    assert!(matches!(refused, Err(AttachError::NoShaper { number: 5 })));
    datapath.set_class((5, Direction::FromVm), None).unwrap();
}
