//! Real traffic between VMs that are network namespaces, on one host and across two.

use crate::{
    frames::*,
    net::Net,
    world::{RATE, World, local},
};
use bpf_abi::*;
use datapath::{Compiled, InjectError, Injector, Maps, Outgoing, Upcalls};
use flow::{DropReason, Mask, mapped};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

pub const PATIENCE: Duration = Duration::from_secs(10);

/// TCP one way in bulk with the length back, and UDP there and back, small and in fragments.
pub fn exchange(from: &Net, to: &Net, address: &str) {
    exchange_with(from, to, (address, address));
}

/// The same where one end calls the other by another address than it has itself.
pub fn exchange_with(from: &Net, to: &Net, called: (&str, &str)) {
    tcp_transfer_with(from, to, called, 4 << 20);
    for size in [1, 1200, 5000] {
        udp_echo(from, to, called, size);
    }
}

pub fn tcp_transfer(from: &Net, to: &Net, address: &str, length: usize) {
    tcp_transfer_with(from, to, (address, address), length);
}

fn tcp_transfer_with(from: &Net, to: &Net, (address, own): (&str, &str), length: usize) {
    let listener = to.enter(|| TcpListener::bind((own, 0)).unwrap());
    let port = listener.local_addr().unwrap().port();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut all = vec![0; length];
            stream.read_exact(&mut all).unwrap();
            assert!(
                all.iter().enumerate().all(|(i, b)| *b == i as u8),
                "bytes changed on the way"
            );
            stream.write_all(&(length as u64).to_be_bytes()).unwrap();
        });
        from.enter(|| {
            let target = (address.parse::<IpAddr>().unwrap(), port).into();
            let mut stream = TcpStream::connect_timeout(&target, PATIENCE).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let bytes: Vec<u8> = (0..length).map(|i| i as u8).collect();
            stream.write_all(&bytes).unwrap();
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(u64::from_be_bytes(answer), length as u64);
        });
    });
}

fn udp_echo(from: &Net, to: &Net, (address, own): (&str, &str), size: usize) {
    let server = to.enter(|| UdpSocket::bind((own, 0)).unwrap());
    let port = server.local_addr().unwrap().port();
    let target = SocketAddr::new(address.parse().unwrap(), port);
    let any = if target.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let client = from.enter(|| UdpSocket::bind(any).unwrap());
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
    let mut buffer = vec![0; 65536];
    client.send_to(&payload, target).unwrap();
    let (length, source) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(buffer[..length], payload);
    server.send_to(&buffer[..length], source).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), size);
}

/// One host with both VMs.
pub struct OneHost {
    pub world: World,
    pub host: Net,
    pub a: Net,
    pub b: Net,
    pub taps: [u32; 2],
}

impl OneHost {
    pub fn new() -> Self {
        let (host, a, b) = (Net::new(), Net::new(), Net::new());
        a.plug(&host, "tap-a", MAC_A, &[A4, A6]);
        b.plug(&host, "tap-b", MAC_B, &[B4, B6]);
        introduce(&a, &b);
        let taps = [host.index("tap-a"), host.index("tap-b")];
        let mut world = World::new();
        let datapath = world.datapath.as_mut().unwrap();
        host.enter(|| {
            taps.iter()
                .for_each(|tap| datapath.attach_port(*tap, RATE).unwrap())
        });
        Self {
            world,
            host,
            a,
            b,
            taps,
        }
    }
}

fn introduce(a: &Net, b: &Net) {
    a.knows(B4, MAC_B);
    a.knows(B6, MAC_B);
    b.knows(A4, MAC_A);
    b.knows(A6, MAC_A);
}

#[test]
fn vms_of_one_host_talk_by_decisions_alone() {
    let OneHost {
        mut world,
        host: _host,
        a,
        b,
        taps,
    } = OneHost::new();
    for (tap, other) in [(taps[0], taps[1]), (taps[1], taps[0])] {
        world.decide(tap, STATE_FORWARD, local(other));
        world.decide(
            tap,
            STATE_REPLY,
            Action {
                flags: ACTION_REPLY,
                ..local(other)
            },
        );
    }
    for address in [B4, B6] {
        exchange(&a, &b, address);
        a.ping(address, 56);
        a.ping(address, 3000);
    }
    let misses = world
        .upcalls
        .drain(1000, |f| assert_ne!(f.header.why, WHY_MISS));
    assert!(misses < 100, "only the VMs' own chatter comes up");
}

#[test]
fn the_first_packet_of_every_kind_arrives_by_the_agent() {
    let OneHost {
        world,
        host,
        a,
        b,
        taps,
    } = OneHost::new();
    let other = |tap| if tap == taps[0] { taps[1] } else { taps[0] };
    with_agent(
        world,
        &host,
        |key| local(other(key.in_port)),
        |_| (),
        || {
            for address in [B4, B6] {
                exchange(&a, &b, address);
                a.ping(address, 56);
            }
        },
    );
}

#[test]
fn a_transfer_survives_decisions_withdrawn_in_its_midst() {
    let OneHost {
        mut world,
        host,
        a,
        b,
        taps,
    } = OneHost::new();
    for tap in taps {
        world.table.maps_mut().set_port(tap, u32::MAX).unwrap();
    }
    let other = |tap| if tap == taps[0] { taps[1] } else { taps[0] };
    let decide = |key: &FlowKey| local(other(key.in_port));
    let withdraw = |world: &mut World| world.table.clear().unwrap();
    let aggregates = with_agent(world, &host, decide, withdraw, || {
        tcp_transfer(&a, &b, B4, 16 << 20);
        tcp_transfer(&a, &b, B6, 16 << 20);
    });
    assert!(aggregates > 0, "aggregated frames went by the agent too");
}

/// Runs an agent that decides every packet by itself alone and sends it on, while `traffic` runs;
/// `after` each round it may do something else. Returns how many aggregated frames came up.
pub fn with_agent(
    mut world: World,
    host: &Net,
    decide: impl Fn(&FlowKey) -> Action + Sync,
    mut after: impl FnMut(&mut World) + Send,
    traffic: impl FnOnce(),
) -> u32 {
    host.ip("link add mn-inj0 mtu 65535 type veth peer name mn-inj1 mtu 65535");
    host.ip("link set mn-inj0 up");
    host.ip("link set mn-inj1 up");
    let device = host.index("mn-inj0");
    let datapath = world.datapath.as_mut().unwrap();
    let mut injector = host.enter(|| {
        datapath.attach_injection(device).unwrap();
        Injector::open(device).unwrap()
    });
    let (done, mut aggregates, mut used) = (AtomicBool::new(false), 0, false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                aggregates += serve(&mut world, &mut injector, &decide);
                let decisions = world.table.decisions().unwrap();
                used |= decisions.iter().any(|d| d.action.packets > 1);
                after(&mut world);
            }
        });
        let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(traffic));
        done.store(true, Ordering::Relaxed);
        finished.unwrap();
    });
    assert!(used, "later packets go by the decisions");
    aggregates
}

/// One round; returns how many aggregated frames came up.
fn serve(world: &mut World, injector: &mut Injector, decide: &impl Fn(&FlowKey) -> Action) -> u32 {
    let mut aggregates = 0;
    let upcalls: &mut Upcalls = &mut world.upcalls;
    upcalls.wait(Duration::from_millis(50)).unwrap();
    upcalls.drain(64, |frame| {
        if frame.header.why != WHY_MISS {
            return;
        }
        let key = frame.header.key;
        let track = if key.state == STATE_REPLY {
            ACTION_REPLY
        } else {
            ACTION_TRACK
        };
        let decided = decide(&key);
        let action = Action {
            flags: decided.flags & !ACTION_TRACK | track,
            ..decided
        };
        let compiled = Compiled {
            action,
            tags: BTreeSet::new(),
            cause: None,
        };
        world.table.install(&key, &Mask::exact(), compiled).unwrap();
        let outgoing = Outgoing {
            mark: MARK_FROM_PORT | key.in_port,
            bytes: frame.bytes,
            gso_size: frame.header.gso_size,
        };
        aggregates += u32::from(outgoing.gso_size != 0);
        // what comes up again, at a router, is lost to the sender
        if let Err(InjectError::Send { source, .. }) = injector.send(outgoing) {
            assert_eq!(source.raw_os_error(), Some(libc::ENOBUFS));
        }
    });
    aggregates
}

/// One of two hosts that reach each other by an underlay.
struct TunnelHost {
    world: World,
    net: Net,
    vm: Net,
    tap: u32,
    underlay: IpAddr,
}

impl TunnelHost {
    fn new(underlay: &str, vm: Net, mac: [u8; 6], addresses: &[&str]) -> Self {
        let net = Net::new();
        vm.plug(&net, "tap", mac, addresses);
        net.ip("link add mn-vxlan type vxlan external dstport 4789");
        net.ip("link set mn-vxlan up");
        Self {
            world: World::new(),
            tap: net.index("tap"),
            vm,
            net,
            underlay: underlay.parse().unwrap(),
        }
    }

    fn connect(&self, other: &TunnelHost) {
        let peer = other.net.path();
        self.net.ip(&format!(
            "link add under0 mtu 1550 type veth peer name under0 mtu 1550 netns {peer}"
        ));
        for host in [self, other] {
            let suffix = if host.underlay.is_ipv4() {
                "/24"
            } else {
                "/64 nodad"
            };
            host.net
                .ip(&format!("address add {}{suffix} dev under0", host.underlay));
            host.net.ip("link set under0 up");
        }
    }

    /// Sends all from the VM to `key` at the other host, and takes what comes for our key.
    fn program(&mut self, key: u32, to: &TunnelHost, to_key: u32) {
        let device = self.net.index("mn-vxlan");
        let Self {
            world,
            net,
            tap,
            underlay,
            ..
        } = self;
        let datapath = world.datapath.as_mut().unwrap();
        net.enter(|| {
            datapath.attach_port(*tap, RATE).unwrap();
            datapath.attach_tunnel(device, *underlay, RATE).unwrap();
        });
        let v6 = if to.underlay.is_ipv6() {
            ACTION_REMOTE_V6
        } else {
            0
        };
        let remote = mapped(to.underlay);
        let action = |flags, vni| Action {
            kind: ACTION_TUNNEL,
            flags: flags | v6,
            vni,
            remote,
            mtu: 1450,
            ..Action::default()
        };
        world.table.maps_mut().set_tunnel(key, *tap).unwrap();
        world
            .table
            .maps_mut()
            .set_peers(&BTreeSet::from([to.underlay]))
            .unwrap();
        world.decide(*tap, STATE_FORWARD, action(ACTION_TRACK, to_key));
        world.decide(*tap, STATE_REPLY, action(ACTION_REPLY, to_key | VNI_REPLY));
    }
}

fn two_hosts(underlay: [&str; 2]) -> [TunnelHost; 2] {
    let (a, b) = (Net::new(), Net::new());
    let mut one = TunnelHost::new(underlay[0], a, MAC_A, &[A4, A6]);
    let mut two = TunnelHost::new(underlay[1], b, MAC_B, &[B4, B6]);
    introduce(&one.vm, &two.vm);
    one.connect(&two);
    one.program(11, &two, 22);
    two.program(22, &one, 11);
    [one, two]
}

fn talk_across(underlay: [&str; 2]) {
    let [one, two] = two_hosts(underlay);
    for address in [B4, B6] {
        exchange(&one.vm, &two.vm, address);
        one.vm.ping(address, 56);
    }
    // the second host has judged nothing: arrivals told it what is a reply
    let replies = two.world.table.maps().connections(1000).unwrap();
    assert!(
        replies.iter().all(|(_, c)| c.state == STATE_REPLY),
        "{replies:?}"
    );
    let openings = one.world.table.maps().connections(1000).unwrap();
    assert!(
        openings.iter().all(|(_, c)| c.state == STATE_FORWARD),
        "{openings:?}"
    );
}

#[test]
fn vms_of_two_hosts_talk_over_ipv4() {
    talk_across(["192.0.2.1", "192.0.2.2"]);
}

#[test]
fn vms_of_two_hosts_talk_over_ipv6() {
    talk_across(["2001:db8:ffff::1", "2001:db8:ffff::2"]);
}

/// Frames as a hostile VM writes them, by way of a real tap: the kernel may have set a VLAN tag
/// aside, and frames may be shorter than a rehearsal takes.
#[test]
fn hostile_frames_at_a_tap_are_dropped_by_name() {
    let OneHost {
        mut world,
        host: _host,
        a,
        b: _b,
        taps,
    } = OneHost::new();
    world.decide(taps[0], STATE_FORWARD, local(taps[1]));
    let device = a.index("eth0");
    let mut vm = a.enter(|| Injector::open(device).unwrap());
    let good = udp((A4, 1), (B4, 2), b"payload");
    let mut tagged = good.clone();
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    let mut wrong = good.clone();
    wrong[24] ^= 1;
    let cases = [
        (tagged, DropReason::VlanTagged),
        (wrong, DropReason::BadChecksum),
        (good[..20].to_vec(), DropReason::Malformed),
        (good[..40].to_vec(), DropReason::Malformed),
        (
            [&good[..12], &[0x88, 0xcc, 0, 0]].concat(),
            DropReason::EtherType,
        ),
    ];
    for (frame, reason) in cases {
        let dropped = |world: &World| {
            let of = |d: &&(u32, u32, u64)| d.0 == taps[0] && d.1 == reason as u32;
            world.drop_counts().iter().find(of).map_or(0, |d| d.2)
        };
        let before = dropped(&world);
        vm.send(Outgoing {
            mark: 0,
            bytes: &frame,
            gso_size: 0,
        })
        .unwrap();
        let start = Instant::now();
        while dropped(&world) == before {
            assert!(start.elapsed() < PATIENCE, "{reason:?} is not counted");
            thread::yield_now();
        }
    }
}
