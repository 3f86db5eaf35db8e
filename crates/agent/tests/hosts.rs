//! Two agents in namespaces, the real kernel program, real VMs' stacks. Needs root.
//!
//! One test, because setting up takes longer than looking: the sections build on each other.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod lab;

use lab::{Cluster, Host, Vm, must, run, until};
use sim::testing::{World, mac, rule};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};
use topology::{Direction, Family, Link, Object, ObjectId, PortId};

/// A world of two networks, a router and four VMs, each with the interface `vm<n>`.
struct Topology {
    world: World,
    vms: Vec<PortId>,
}

impl Topology {
    fn new() -> Self {
        let mut world = World::new();
        let (red, blue) = (world.bridge(), world.bridge());
        let subnets = [
            world.subnet(red, "10.1.0.0/24"),
            world.subnet(red, "fd01::/64"),
            world.subnet(blue, "10.2.0.0/24"),
            world.subnet(blue, "fd02::/64"),
        ];
        let router = world.router(Vec::new());
        world.interface(
            router,
            red,
            &[(subnets[0], "10.1.0.1"), (subnets[1], "fd01::1")],
        );
        world.interface(
            router,
            blue,
            &[(subnets[2], "10.2.0.1"), (subnets[3], "fd02::1")],
        );
        let group = world.default_group();
        let mut vms = Vec::new();
        for (number, bridge, host) in [
            (11, red, "host1"),
            (12, red, "host1"),
            (13, red, "host2"),
            (14, blue, "host2"),
        ] {
            let (net, s) = if bridge == red { (1, 0) } else { (2, 2) };
            let v4 = format!("10.{net}.0.{number}");
            let v6 = format!("fd0{net}::{number}");
            let addresses = [(subnets[s], v4.as_str()), (subnets[s + 1], v6.as_str())];
            let port = world.vm(bridge, host, &addresses, Some(&[group]));
            let interface = Some(format!("vm{number}"));
            let link = Link::Host {
                host: host.into(),
                interface,
                trunk: None,
                vlan: None,
            };
            world.change_port(port, |port| port.link = link);
            vms.push(port);
        }
        Self { world, vms }
    }

    fn mac(&self, vm: usize) -> String {
        mac(u16::try_from(self.vms[vm].0.as_u128()).unwrap()).to_string()
    }

    fn object(&self, id: ObjectId) -> Object {
        self.world
            .objects
            .iter()
            .find(|o| o.id() == id)
            .unwrap()
            .clone()
    }
}

/// A TCP connection between two VMs that goes on exchanging bytes.
struct Connection(TcpStream);

impl Connection {
    fn open(from: &Vm, to: &Vm, address: &str) -> Self {
        let listener =
            linux::in_namespace(&to.netns.0, || TcpListener::bind("0.0.0.0:7").unwrap()).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            while stream.read(&mut byte).is_ok_and(|n| n == 1) {
                stream.write_all(&byte).unwrap();
            }
        });
        let target = format!("{address}:7").parse().unwrap();
        let connect = || TcpStream::connect_timeout(&target, lab::DEADLINE).unwrap();
        Self(linux::in_namespace(&from.netns.0, connect).unwrap())
    }

    /// One byte there and back within `limit`.
    fn echo(&mut self, limit: Duration) -> bool {
        self.0.set_read_timeout(Some(limit)).unwrap();
        let mut byte = [42];
        self.0.write_all(&byte).is_ok() && self.0.read(&mut byte).is_ok_and(|n| n == 1)
    }
}

#[test]
fn two_hosts_make_one_network() {
    let topology = Topology::new();
    let (one, two) = (Host::new("host1"), Host::new("host2"));
    Host::join(&one, &two);
    let cluster = Cluster::start(&one);
    cluster.put(topology.world.objects.iter().cloned());
    one.start("192.0.2.1");
    two.start("192.0.2.2");

    let vms = [
        Vm::plug(
            &one,
            "vm11",
            "vm11",
            &topology.mac(0),
            &["10.1.0.11/24", "fd01::11/64"],
        ),
        Vm::plug(
            &one,
            "vm12",
            "vm12",
            &topology.mac(1),
            &["10.1.0.12/24", "fd01::12/64"],
        ),
        Vm::plug(
            &two,
            "vm13",
            "vm13",
            &topology.mac(2),
            &["10.1.0.13/24", "fd01::13/64"],
        ),
        Vm::plug(
            &two,
            "vm14",
            "vm14",
            &topology.mac(3),
            &["10.2.0.14/24", "fd02::14/64"],
        ),
    ];
    let [a, b, c, d] = &vms;
    let b_dir = tempfile::tempdir().unwrap();
    for port in &topology.vms {
        until("all ports are up", || cluster.is_up(*port));
    }

    section("MTU of the network on the tap");
    assert!(one.netns.must("ip -o link show vm11").contains("mtu 1450"));

    section("within a host, across hosts, routed; both families");
    for to in ["10.1.0.12", "fd01::12", "10.1.0.13", "fd01::13"] {
        a.netns.reaches(to);
    }
    for (vm, net) in [(a, 1), (b, 1), (c, 1), (d, 2)] {
        vm.gateway(&format!("10.{net}.0.1"));
        vm.netns
            .must(&format!("ip -6 route replace default via fd0{net}::1"));
    }
    for to in ["10.2.0.14", "fd02::14", "10.1.0.1", "fd01::1", "10.2.0.1"] {
        a.netns.reaches(to);
    }
    c.netns.reaches("10.2.0.14");

    section("addresses by DHCP and by router advertisement");
    assert_eq!(b.lease(b_dir.path()), "10.1.0.12 1450 10.1.0.1");
    b.netns.must("sysctl -qw net.ipv6.conf.eth0.accept_ra=2");
    b.netns.must("ip link set eth0 down");
    b.netns.must("ip link set eth0 up");
    until("an address is made from the advertised prefix", || {
        b.netns
            .must("ip -6 -o addr show dev eth0 scope global dynamic")
            .contains("fd01:")
    });
    b.netns.must("ip addr replace fd01::12/64 dev eth0 nodad");
    b.gateway("10.1.0.1");

    section("what is seen on the socket");
    let status = one.get("/status");
    assert_eq!(
        (&status["ports_up"], &status["ready"]),
        (&2.into(), &true.into()),
        "{status}"
    );
    let flows = one.get("/flows");
    let tunnels = flows.as_array().unwrap().iter().filter(|f| {
        f["action"]
            .as_str()
            .unwrap()
            .starts_with("tunnel to 192.0.2.2")
    });
    assert!(tunnels.count() > 0, "{flows}");
    assert!(
        !one.get("/connections?limit=10")
            .as_array()
            .unwrap()
            .is_empty()
    );
    let metrics = one.get("/metrics");
    assert!(
        metrics
            .as_str()
            .unwrap()
            .contains("midonet_ports{state=\"up\"} 2"),
        "{metrics}"
    );

    section("a spoofed source is dropped, counted and named");
    a.netns.must("ip addr add 10.1.0.99/24 dev eth0");
    assert!(
        !run(&a.netns.inside("ping -n -c 1 -W 1 -I 10.1.0.99 10.1.0.12"))
            .status
            .success()
    );
    let drops = one.get("/drops");
    let spoofed = drops
        .as_array()
        .unwrap()
        .iter()
        .find(|d| d["reason"] == "spoofed_arp" || d["reason"] == "spoofed_ip");
    assert!(
        spoofed.is_some_and(|d| d["port"] == topology.vms[0].0.to_string()),
        "{drops}"
    );

    section("established connections outlive the death of both agents");
    let mut across = Connection::open(a, c, "10.1.0.13");
    let mut within = Connection::open(a, b, "10.1.0.12");
    assert!(across.echo(lab::DEADLINE) && within.echo(lab::DEADLINE));
    one.kill();
    two.kill();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(300) {
        assert!(across.echo(Duration::from_secs(1)) && within.echo(Duration::from_secs(1)));
    }

    section("a restarted agent works while the cluster is away, and nobody notices");
    cluster.close(true);
    one.start("192.0.2.1");
    two.start("192.0.2.2");
    until("the agent is ready", || {
        one.dir.path().join("agent.sock").exists() && one.log().matches("agent starts").count() == 2
    });
    assert!(across.echo(Duration::from_secs(2)) && within.echo(Duration::from_secs(2)));
    b.netns.reaches("10.2.0.14");
    cluster.close(false);
    until("connected again", || {
        one.get("/status")["cluster"].is_string()
    });

    section("a rule that is taken away stops its connections, both ways");
    let group = topology.world.objects.iter().find_map(|o| match o {
        Object::Group(group) => Some(group.clone()),
        _ => None,
    });
    let group = group.unwrap();
    let mut closed = group.clone();
    closed.rules.retain(|r| r.direction == Direction::Egress);
    cluster.put([Object::Group(closed)]);
    until("the connection stops", || {
        !across.echo(Duration::from_millis(200))
    });
    cluster.put([Object::Group(group)]);
    until("the connection goes on", || {
        across.echo(Duration::from_millis(500))
    });

    section("unplugged is down, and an explicit binding brings it up");
    must(&format!("ip -n {} link set vm13 name other", two.netns.0));
    until("the port is down", || !cluster.is_up(topology.vms[2]));
    let path = format!("/binding/{}", topology.vms[2]);
    assert_eq!(
        two.ask("PUT", &path, "{\"interfaceName\":\"other\"}").0,
        200
    );
    until("the port is up", || cluster.is_up(topology.vms[2]));
    assert!(across.echo(lab::DEADLINE));
    assert_eq!(two.ask("DELETE", &path, "").0, 200);
    until("the port is down again", || !cluster.is_up(topology.vms[2]));
    assert_eq!(
        two.ask("PUT", "/binding/no-uuid", "{\"interfaceName\":\"x\"}")
            .0,
        400
    );

    section("a deleted port is let go");
    cluster.delete(ObjectId::Port(topology.vms[1]));
    until("the port is gone", || !cluster.is_up(topology.vms[1]));
    assert!(!a.netns.ping("10.1.0.12"));
    cluster.put([topology.object(ObjectId::Port(topology.vms[1]))]);
    a.netns.reaches("10.1.0.12");

    section("idle is idle, and small");
    idle(&one);

    section("SIGTERM leaves the datapath, teardown takes it away");
    assert!(one.stop());
    a.netns.reaches("10.1.0.12");
    one.teardown();
    assert!(
        run(&one.netns.inside("ip link show mn-vxlan"))
            .status
            .code()
            == Some(1)
    );
    assert!(!a.netns.ping("10.1.0.12"));
}

/// What a VM's rules allow decides; here only what somebody is allowed to send.
#[test]
fn an_ipv6_underlay_carries_both_families_and_floods() {
    let mut topology = Topology::new();
    for object in &mut topology.world.objects {
        if let Object::Host(host) = object {
            let number = if host.name == "host1" { 1 } else { 2 };
            host.tunnel = format!("2001:db8::{number}").parse().unwrap();
        }
        if let Object::Group(group) = object {
            group.rules.push(rule(Direction::Ingress, Family::V4));
            group.rules.push(rule(Direction::Ingress, Family::V6));
        }
    }
    let (one, two) = (Host::new("six1"), Host::new("six2"));
    // the agents are called as the topology calls them
    let (one, two) = (one.named("host1"), two.named("host2"));
    Host::join(&one, &two);
    let cluster = Cluster::start(&one);
    cluster.put(topology.world.objects.iter().cloned());
    one.start("2001:db8::1");
    two.start("2001:db8::2");
    let a = Vm::plug(
        &one,
        "six11",
        "vm11",
        &topology.mac(0),
        &["10.1.0.11/24", "fd01::11/64"],
    );
    let c = Vm::plug(
        &two,
        "six13",
        "vm13",
        &topology.mac(2),
        &["10.1.0.13/24", "fd01::13/64"],
    );
    for vm in [0, 2] {
        until("the port is up", || cluster.is_up(topology.vms[vm]));
    }
    a.netns.reaches("10.1.0.13");
    a.netns.reaches("fd01::13");
    c.netns
        .must("sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0");
    until("a broadcast is answered", || {
        let ping = run(&a.netns.inside("ping -n -b -c 1 -W 1 10.1.0.255"));
        ping.status.success()
    });
}

fn section(name: &str) {
    println!("-- {name}");
}

/// Below 1 % of a CPU and 64 MiB.
fn idle(host: &Host) {
    let pid = host.agent_pid();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let (before, start) = (ticks(), Instant::now());
    until("five seconds have passed", || {
        start.elapsed() > Duration::from_secs(5)
    });
    assert!(
        ticks() - before <= 5,
        "{} ticks of 10 ms in 5 s",
        ticks() - before
    );
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: u64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("resident: {kib} KiB");
    assert!(kib < 64 << 10, "{kib} KiB");
}
