//! Sub-ports: several ports behind one tap, told apart by VLAN tags.

use crate::{
    forwarding::{PATIENCE, exchange},
    frames::*,
    net::Net,
    world::{Fate, RATE, TAP_A, World, local},
};
use bpf_abi::*;
use datapath::{AttachError, Injector, Maps, Outgoing};
use flow::DropReason;
use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    time::{Duration, Instant},
};
use wire::protocol::UDP;

pub const NUMBER: u32 = PORT_VIRTUAL + 77;
const VLAN: u16 = 5;

/// A host with a trunk's tap; its VM writes frames by hand.
struct Trunk {
    world: World,
    tap: u32,
    vm: Injector,
    _nets: [Net; 2],
}

impl Trunk {
    fn new() -> Self {
        let (host, vm) = (Net::new(), Net::new());
        vm.plug(&host, "tap", MAC_A, &[]);
        let (tap, device) = (host.index("tap"), vm.index("eth0"));
        let mut world = World::new();
        let datapath = world.datapath.as_mut().unwrap();
        host.enter(|| datapath.attach_port(tap, RATE).unwrap());
        datapath.set_subport(NUMBER, tap, VLAN).unwrap();
        let vm_socket = vm.enter(|| Injector::open(device).unwrap());
        Self {
            world,
            tap,
            vm: vm_socket,
            _nets: [host, vm],
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let frame = Outgoing {
            mark: 0,
            bytes,
            gso_size: 0,
        };
        self.vm.send(frame).unwrap();
    }

    /// The frame that comes up with this source port.
    fn expect_up(&mut self, sport: u16) -> (Upcall, Vec<u8>) {
        let (start, mut found) = (Instant::now(), None);
        while found.is_none() {
            assert!(start.elapsed() < PATIENCE, "nothing comes up");
            let wait = Duration::from_millis(50);
            self.world.upcalls.wait(wait).unwrap();
            self.world.upcalls.drain(100, |f| {
                if f.header.key.sport == sport {
                    found = Some((f.header, f.bytes.to_vec()));
                }
            });
        }
        found.unwrap()
    }

    fn expect_drop(&mut self, port: u32, reason: DropReason, bytes: &[u8]) {
        let count = |world: &World| {
            let of = |d: &&(u32, u32, u64)| d.0 == port && d.1 == reason as u32;
            world.drop_counts().iter().find(of).map_or(0, |d| d.2)
        };
        let (start, before) = (Instant::now(), count(&self.world));
        self.send(bytes);
        while count(&self.world) == before {
            assert!(start.elapsed() < PATIENCE, "{reason:?} is not counted");
            std::thread::yield_now();
        }
    }
}

/// The frame with tags before its EtherType.
fn tagged(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    for (kind, vlan) in tags {
        tagged.extend(kind.to_be_bytes());
        tagged.extend(vlan.to_be_bytes());
    }
    tagged.extend(&frame[12..]);
    tagged
}

#[test]
fn a_tag_chooses_the_port_and_is_seen_by_nobody() {
    let mut trunk = Trunk::new();
    let frame = |sport| udp((A4, sport), (B4, 53), b"question");
    let cases = [
        (1, &[][..], trunk.tap),
        (2, &[(0x8100, VLAN)], NUMBER),
        (3, &[(0x8100, 0x6000 | VLAN)], NUMBER),
        (4, &[(0x8100, 0)], trunk.tap), // a priority, no VLAN
    ];
    for (sport, tags, port) in cases {
        trunk.send(&tagged(&frame(sport), tags));
        let (header, bytes) = trunk.expect_up(sport);
        let parsed = flow::parse(&bytes).unwrap().key;
        let expected = flow::parse(&frame(sport)).unwrap().key;
        assert_eq!((header.key.in_port, parsed), (port, expected));
        assert_eq!(bytes.len(), frame(sport).len());
    }
}

#[test]
fn other_tags_are_dropped_by_name() {
    let mut trunk = Trunk::new();
    let frame = udp((A4, 1), (B4, 53), b"question");
    let tap = trunk.tap;
    let cases = [
        (tap, &[(0x8100, VLAN + 1)][..]),
        (tap, &[(0x88a8, VLAN)]),
        (NUMBER, &[(0x8100, VLAN), (0x8100, VLAN)]),
        (tap, &[(0x88a8, VLAN), (0x8100, VLAN)]),
    ];
    for (port, tags) in cases {
        trunk.expect_drop(port, DropReason::VlanTagged, &tagged(&frame, tags));
    }
    let datapath = trunk.world.datapath.as_mut().unwrap();
    datapath.remove_subport(NUMBER).unwrap();
    let known = tagged(&frame, &[(0x8100, VLAN)]);
    trunk.expect_drop(tap, DropReason::VlanTagged, &known);
}

#[test]
fn a_number_stands_for_its_port_everywhere() {
    let mut world = World::new();
    let datapath = world.datapath.as_mut().unwrap();
    datapath.set_subport(NUMBER, TAP_A, VLAN).unwrap();
    let frame = udp((A4, 1), (B4, 53), b"question");
    assert_eq!(world.hand_in(NUMBER, &frame), Fate::Up(WHY_MISS));
    assert_eq!(world.last_upcall.as_ref().unwrap().0.key.in_port, NUMBER);
    assert!(matches!(
        world.inject(MARK_TO_PORT | NUMBER, 0, &frame),
        Fate::Sent(_)
    ));
    world.decide(TAP_A, STATE_FORWARD, local(NUMBER));
    assert!(matches!(world.hand_in(TAP_A, &frame), Fate::Sent(_)));
    let reply = world.conn(NUMBER, UDP, (B4, 53), (A4, 1)).unwrap();
    assert_eq!(reply.state, STATE_REPLY);
    assert!(matches!(world.hand_in(TAP_A, &frame), Fate::Sent(_)));

    let datapath = world.datapath.as_mut().unwrap();
    datapath.detach_port(TAP_A).unwrap();
    let gone = Fate::Dropped(DropReason::PortUnknown);
    assert_eq!(world.hand_in(TAP_A, &frame), gone);
    assert_eq!(world.inject(MARK_TO_PORT | NUMBER, 0, &frame), gone);
    let ports = world.table.maps().ports().unwrap();
    assert!(ports.iter().all(|(port, _)| *port != NUMBER));
}

#[test]
fn impossible_sub_ports_are_refused() {
    let mut world = World::new();
    let datapath = world.datapath.as_mut().unwrap();
    let cases = [(1, 5), (MARK_IFINDEX + 1, 5), (NUMBER, 0), (NUMBER, 4095)];
    for (number, vlan) in cases {
        let refused = datapath.set_subport(number, TAP_A, vlan);
        assert!(matches!(refused, Err(AttachError::BadSubport { .. })));
    }
    let refused = datapath.set_subport(NUMBER, 9999, VLAN);
    assert!(matches!(refused, Err(AttachError::NoTrunk { .. })));
}

/// A tap as qemu holds it.
fn open_tap(name: &str) -> File {
    const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK);
    let file = options.open("/dev/net/tun").unwrap();
    // SAFETY: all zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    // SAFETY: the request is an ifreq, as the call wants.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
    assert_eq!(made, 0);
    file
}

/// Taps have tags inside the frames that are written to them and read from them.
#[test]
fn a_tap_gets_and_gives_tags_with_the_frame() {
    let host = Net::new();
    let [mut one, mut two] = host.enter(|| ["one", "two"].map(open_tap));
    let [from, to] = ["one", "two"].map(|name| {
        host.ip(&format!("link set {name} up"));
        host.index(name)
    });
    let mut world = World::new();
    let datapath = world.datapath.as_mut().unwrap();
    for (tap, number) in [(from, NUMBER), (to, NUMBER + 1)] {
        host.enter(|| datapath.attach_port(tap, RATE).unwrap());
        datapath
            .set_subport(number, tap, VLAN + (number - NUMBER) as u16)
            .unwrap();
    }
    world.decide(NUMBER, STATE_FORWARD, local(NUMBER + 1));
    let frame = udp((A4, 1), (B4, 53), b"question");
    one.write_all(&tagged(&frame, &[(0x8100, VLAN)])).unwrap();
    let expected = tagged(&frame, &[(0x8100, VLAN + 1)]);
    let (start, mut buffer) = (Instant::now(), [0; 2048]);
    // the host's own chatter comes too
    while two.read(&mut buffer).ok().map(|n| &buffer[..n]) != Some(&expected[..]) {
        assert!(start.elapsed() < PATIENCE, "the frame does not come out");
    }
}

/// A VM that puts its interface behind a VLAN of a trunk, by a second kernel program that runs in
/// the VM: whatever one side does to frames the other must undo.
#[test]
fn a_vm_behind_a_trunk_talks_to_a_plain_one() {
    let TrunkHost {
        world,
        _guest,
        host,
        a,
        b,
    } = TrunkHost::new();
    for address in [B4, B6] {
        exchange(&a, &b, address);
        a.ping(address, 56);
        a.ping(address, 3000);
    }
    let conns = world.table.maps().connections(1000).unwrap();
    let trunk = host.index("tap-a");
    assert!(conns.iter().any(|(key, _)| key.in_port == NUMBER));
    assert!(conns.iter().all(|(key, _)| key.in_port != trunk));
}

/// A host with both: A behind a VLAN of `tap-a`, B at `tap-b`.
pub struct TrunkHost {
    pub world: World,
    pub _guest: World,
    pub host: Net,
    pub a: Net,
    pub b: Net,
}

impl TrunkHost {
    pub fn new() -> Self {
        let (host, a, b) = (Net::new(), Net::new(), Net::new());
        host.ip(&format!(
            "link add tap-a type veth peer name trunk0 netns {}",
            a.path()
        ));
        host.ip("link set tap-a up");
        a.ip("link set trunk0 up");
        a.ip("link add eth0 address 02:00:00:00:00:0a type veth peer name inside");
        a.ip("link set inside up");
        a.ip(&format!("address add {A4}/24 dev eth0"));
        a.ip(&format!("address add {A6}/64 nodad dev eth0"));
        a.ip("link set eth0 mtu 1450 up");
        b.plug(&host, "tap-b", MAC_B, &[B4, B6]);
        for (net, mac, addresses) in [(&a, MAC_B, [B4, B6]), (&b, MAC_A, [A4, A6])] {
            addresses.iter().for_each(|ip| net.knows(ip, mac));
        }
        let _guest = trunk_between(&a, "trunk0", "inside");
        let world = trunk_between(&host, "tap-a", "tap-b");
        Self {
            world,
            _guest,
            host,
            a,
            b,
        }
    }
}

/// Joins a VLAN of one device and the other device.
pub fn trunk_between(net: &Net, trunk: &str, plain: &str) -> World {
    let (trunk, plain) = (net.index(trunk), net.index(plain));
    let mut world = World::new();
    let datapath = world.datapath.as_mut().unwrap();
    net.enter(|| {
        datapath.attach_port(trunk, RATE).unwrap();
        datapath.attach_port(plain, RATE).unwrap();
    });
    datapath.set_subport(NUMBER, trunk, VLAN).unwrap();
    for (from, to) in [(NUMBER, plain), (plain, NUMBER)] {
        world.decide(from, STATE_FORWARD, local(to));
        let reply = Action {
            flags: ACTION_REPLY,
            ..local(to)
        };
        world.decide(from, STATE_REPLY, reply);
    }
    world
}
