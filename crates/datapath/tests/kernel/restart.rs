//! What outlives the agent, and what does not.

use crate::{
    frames::*,
    net::Net,
    world::{CONNECTIONS, RATE, World, local},
};
use bpf_abi::*;
use datapath::{Datapath, Maps, Options};
use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};
use wire::protocol::UDP;

const PATIENCE: Duration = Duration::from_secs(5);

/// Two VMs on a host whose agent comes and goes.
struct Pair {
    host: Net,
    a: UdpSocket,
    b: UdpSocket,
    taps: [u32; 2],
    _vms: [Net; 2],
}

impl Pair {
    fn new() -> Self {
        let (host, a, b) = (Net::new(), Net::new(), Net::new());
        a.plug(&host, "tap-a", MAC_A, &[A4]);
        b.plug(&host, "tap-b", MAC_B, &[B4]);
        a.knows(B4, MAC_B);
        b.knows(A4, MAC_A);
        let taps = [host.index("tap-a"), host.index("tap-b")];
        let socket = |vm: &Net, address: &str| {
            let socket = vm.enter(|| UdpSocket::bind((address, 700)).unwrap());
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        let (one, two) = (socket(&a, A4), socket(&b, B4));
        Self {
            host,
            a: one,
            b: two,
            taps,
            _vms: [a, b],
        }
    }

    fn attach(&self, world: &mut World) {
        let datapath = world.datapath.as_mut().unwrap();
        self.host.enter(|| {
            self.taps
                .iter()
                .for_each(|t| datapath.attach_port(*t, RATE).unwrap())
        });
    }

    fn decide(&self, world: &mut World) {
        let [a, b] = self.taps;
        world.decide(a, STATE_FORWARD, local(b));
        world.decide(
            b,
            STATE_REPLY,
            Action {
                flags: ACTION_REPLY,
                ..local(a)
            },
        );
    }

    /// There and back: only possible while B's answers count as replies.
    fn talk(&self) {
        let mut buffer = [0; 16];
        self.a.send_to(b"there", (B4, 700)).unwrap();
        assert_eq!(self.b.recv(&mut buffer).expect("there"), 5);
        self.b.send_to(b"back", (A4, 700)).unwrap();
        assert_eq!(self.a.recv(&mut buffer).expect("back"), 4);
    }
}

#[test]
fn traffic_passes_while_the_agent_is_away_and_the_next_one_takes_over() {
    let pair = Pair::new();
    let mut world = World::new();
    pair.attach(&mut world);
    pair.decide(&mut world);
    pair.talk();
    let pin_dir = world.crash();
    pair.talk();

    let options = Options {
        pin_dir: pin_dir.clone(),
        connections: CONNECTIONS,
    };
    let datapath = Datapath::start(&options).unwrap();
    assert_eq!(
        sorted(datapath.attached_ports().unwrap()),
        sorted_taps(&pair)
    );
    pair.talk();
    drop(datapath);

    // the new agent's table: connections are decided again, but B's answers are replies still
    let mut world = World::at(pin_dir);
    assert_eq!(
        world
            .conn(pair.taps[1], UDP, (B4, 700), (A4, 700))
            .unwrap()
            .state,
        STATE_REPLY
    );
    pair.attach(&mut world);
    pair.decide(&mut world);
    pair.b.send_to(b"back", (A4, 700)).unwrap();
    assert_eq!(pair.a.recv(&mut [0; 16]).unwrap(), 4);
    pair.talk();
    assert_eq!(programs_at(&pair, "tap-a"), 1, "replaced, not added");
}

fn sorted(mut ports: Vec<u32>) -> Vec<u32> {
    ports.sort();
    ports
}

fn sorted_taps(pair: &Pair) -> Vec<u32> {
    use crate::world::{TAP_A, TAP_B};
    sorted([&pair.taps[..], &[TAP_A, TAP_B]].concat())
}

fn programs_at(pair: &Pair, device: &str) -> usize {
    use aya::programs::{SchedClassifier, TcAttachType};
    pair.host.enter(|| {
        SchedClassifier::query_tcx(device, TcAttachType::Ingress)
            .unwrap()
            .1
            .len()
    })
}

#[test]
fn a_tap_with_the_index_of_a_former_one_is_attached_anew() {
    let pair = Pair::new();
    let mut world = World::new();
    pair.attach(&mut world);
    let index = pair.taps[0];
    pair.host.ip("link delete tap-a");
    pair.host.ip(&format!(
        "link add tap-a index {index} type veth peer name peer-a"
    ));
    pair.attach(&mut world);
    assert_eq!(programs_at(&pair, "tap-a"), 1);

    // and one in another namespace, while the former still lives
    let other = Net::new();
    other.ip(&format!(
        "link add tap-x index {index} type veth peer index 777 name peer-x"
    ));
    let datapath = world.datapath.as_mut().unwrap();
    other.enter(|| datapath.attach_port(index, RATE).unwrap());
    let elsewhere = Pair {
        host: other,
        ..Pair::new()
    };
    assert_eq!(programs_at(&elsewhere, "tap-x"), 1);
}

#[test]
fn a_detached_tap_is_left_alone() {
    let pair = Pair::new();
    let mut world = World::new();
    pair.attach(&mut world);
    pair.attach(&mut world);
    let datapath = world.datapath.as_mut().unwrap();
    datapath.detach_port(pair.taps[0]).unwrap();
    datapath.detach_port(pair.taps[0]).unwrap();
    // the kernel lets a link go a moment after its pin
    let start = Instant::now();
    while programs_at(&pair, "tap-a") != 0 {
        assert!(start.elapsed() < PATIENCE, "the program is still attached");
        std::thread::yield_now();
    }
    assert!(!datapath.attached_ports().unwrap().contains(&pair.taps[0]));
}

#[test]
fn another_size_of_the_connection_table_starts_empty() {
    let mut world = World::new();
    world.decide(1001, STATE_FORWARD, local(1002));
    world.hand_in(1001, &udp((A4, 1), (B4, 2), b"x"));
    assert_eq!(world.table.maps().connections(10).unwrap().len(), 2);
    let pin_dir = world.crash();
    let options = Options {
        pin_dir: pin_dir.clone(),
        connections: CONNECTIONS * 2,
    };
    let datapath = Datapath::start(&options).unwrap();
    assert_eq!(datapath.maps().unwrap().connections(10).unwrap(), []);
    assert_eq!(datapath.attached_ports().unwrap(), Vec::<u32>::new());
    datapath.remove().unwrap();
    assert!(!pin_dir.exists());
}

#[test]
fn a_directory_that_is_no_bpffs_is_named() {
    let dir = std::env::temp_dir().join(format!("midonet-no-bpffs-{}", std::process::id()));
    let options = Options {
        pin_dir: dir.clone(),
        connections: CONNECTIONS,
    };
    let error = Datapath::start(&options).err().unwrap().to_string();
    assert!(
        error.contains("mount -t bpf") && error.contains("midonet-no-bpffs"),
        "{error}"
    );
    std::fs::remove_dir(dir).unwrap();
}
