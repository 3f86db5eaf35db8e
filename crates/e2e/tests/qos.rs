//! QoS policies of a real Neutron, on streams that go on while policies come, change and go.
//!
//! How exactly rates are kept is measured by `midonet-bench qos`; here it is enough to see which limit
//! is in force.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e::{Cloud, CloudNetwork, Guest, SOON, text};
use lab::{Plug, RawSocket, Vm, within};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a change may take until a stream shows it.
const SHOWS: Duration = Duration::from_secs(30);
/// How long one look at a stream is.
const LOOK: Duration = Duration::from_secs(2);
/// How far from its limit a stream may be on a busy machine.
const NEAR: f64 = 0.1;
/// Ethernet frames carry more than TCP's payload: full packets of Neutron's MTU of 1450.
const FRAMES_V4: f64 = 1464.0 / 1398.0;
const FRAMES_V6: f64 = 1464.0 / 1378.0;
/// What no limit of these tests comes near, Mbit/s.
const FAST: f64 = 150.0;
/// Expedited forwarding.
const DSCP: u8 = 46;
/// VLAN of the sub-port.
const VLAN: u16 = 100;

/// Something that is sent without an end; what arrives is counted.
struct Stream {
    arrived: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Stream {
    fn new() -> Self {
        Self {
            arrived: Arc::default(),
            ended: Arc::default(),
        }
    }

    /// TCP, as fast as it gets; counts bytes.
    fn tcp(from: &Guest, to: &Guest, address: IpAddr) -> Self {
        let made = Self::new();
        let listen = || TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let listener = to.vm.netns().enter(listen).unwrap();
        let to = SocketAddr::from((address, listener.local_addr().unwrap().port()));
        let connect = || TcpStream::connect_timeout(&to, SOON).unwrap();
        let mut sender = from.vm.netns().enter(connect).unwrap();
        let mut receiver = listener.accept().unwrap().0;
        let (arrived, ended) = (Arc::clone(&made.arrived), Arc::clone(&made.ended));
        thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(count @ 1..) = receiver.read(&mut bytes) {
                arrived.fetch_add(count as u64, Ordering::Relaxed);
            }
        });
        thread::spawn(move || {
            let bytes = [0; 65_536];
            while !ended.load(Ordering::Relaxed) && sender.write_all(&bytes).is_ok() {}
        });
        made
    }

    /// Datagrams of a size, up to 5000 a second; counts them.
    fn udp(from: &Guest, to: &Guest, size: usize) -> Self {
        let made = Self::new();
        let bind = || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let receiver = to.vm.netns().enter(bind).unwrap();
        let to = SocketAddr::from((to.v4, receiver.local_addr().unwrap().port()));
        let sender = || UdpSocket::bind("0.0.0.0:0").unwrap();
        let sender = from.vm.netns().enter(sender).unwrap();
        receiver.set_read_timeout(Some(SHOWS)).unwrap();
        let (arrived, ended) = (Arc::clone(&made.arrived), Arc::clone(&made.ended));
        thread::spawn(move || {
            while receiver.recv(&mut [0; 64]).is_ok() {
                arrived.fetch_add(1, Ordering::Relaxed);
            }
        });
        thread::spawn(move || {
            let bytes = vec![0; size];
            while !ended.load(Ordering::Relaxed) {
                (0..10).for_each(|_| drop(sender.send_to(&bytes, to)));
                thread::sleep(Duration::from_millis(2));
            }
        });
        made
    }

    /// What arrives in a second.
    fn rate(&self) -> f64 {
        let (start, before) = (Instant::now(), self.arrived.load(Ordering::Relaxed));
        thread::sleep(LOOK);
        let more = self.arrived.load(Ordering::Relaxed) - before;
        more as f64 / start.elapsed().as_secs_f64()
    }

    /// Waits until the stream has a rate; it may never stand still meanwhile.
    fn becomes(&self, what: &str, good: impl Fn(f64) -> bool) {
        let look = || match self.rate() {
            rate if good(rate) => Ok(()),
            0.0 => panic!("{what}: the stream stands still"),
            rate => Err(format!("{rate} a second")),
        };
        within(what, SHOWS, look).unwrap();
    }

    /// Waits until TCP has this many Mbit/s of frames.
    fn has(&self, mbps: f64, frames: f64) {
        let near = |bytes: f64| (bytes * 8e-6 * frames / mbps - 1.0).abs() < NEAR;
        self.becomes(&format!("{mbps} Mbit/s"), near);
    }

    /// Waits until TCP is limited no more.
    fn is_fast(&self) {
        self.becomes("no limit", |bytes| bytes * 8e-6 > FAST);
    }
}

/// Two VMs of one network on two hosts.
struct World {
    sender: Guest,
    receiver: Guest,
    network: CloudNetwork,
    cloud: Cloud,
}

impl World {
    fn policy(&self, name: &str) -> String {
        let policy = self.cloud.create("qos/policy", json!({"name": name}));
        text(&policy, "id")
    }

    /// Adds a rule; answers with its path.
    fn rule(&self, policy: &str, kind: &str, body: Value) -> (String, String) {
        let collection = format!("qos/policies/{policy}/{kind}_rule");
        let id = text(&self.cloud.create(&collection, body), "id");
        (collection, id)
    }

    fn bandwidth(&self, policy: &str, direction: &str, mbps: u64) -> (String, String) {
        self.rule(policy, "bandwidth_limit", bandwidth(direction, mbps))
    }

    fn give(&self, kind: &str, id: &str, policy: Option<&str>) {
        let body = json!({"qos_policy_id": policy});
        self.cloud.update(kind, id, body);
    }

    fn give_port(&self, guest: &Guest, policy: Option<&str>) {
        self.give("port", &guest.vm.port().to_string(), policy);
    }

    /// Waits until `midonet drops` tells of frames dropped because of a policy.
    fn drops(&self, host: usize, reason: &str, policy: &str) {
        let told = || {
            let drops = self.cloud.local(host, "/drops");
            let ours = |drop: &&Value| drop["reason"] == reason && drop["cause"] == policy;
            match drops.iter().find(ours) {
                Some(drop) if drop["packets"].as_u64() > Some(0) => Ok(()),
                _ => Err(format!("{drops:?}")),
            }
        };
        within(reason, SOON, told).unwrap();
    }
}

/// A limit with a burst that is over soon.
fn bandwidth(direction: &str, mbps: u64) -> Value {
    json!({"max_kbps": mbps * 1000, "max_burst_kbps": mbps * 100, "direction": direction})
}

#[test]
fn policies_are_in_force_as_neutron_says_while_streams_go_on() {
    let cloud = Cloud::new(2);
    let network = cloud.network("net", 1);
    let group = cloud.bare_group("open");
    for family in ["IPv4", "IPv6"] {
        for direction in ["ingress", "egress"] {
            cloud.rule(&group, json!({"direction": direction, "ethertype": family}));
        }
    }
    let groups = json!({"security_groups": [group]});
    let mut world = World {
        sender: cloud.guest("sender", 0, &network, groups.clone()),
        receiver: cloud.guest("receiver", 1, &network, groups.clone()),
        network,
        cloud,
    };
    what_is_not_honoured_is_refused(&world);
    bandwidth_limits_come_change_move_and_go(&mut world);
    packet_rates_are_limited_in_both_directions(&world);
    packets_are_marked_inside_and_outside(&world);
    a_sub_port_has_a_policy_of_its_own(&world, groups);
}

fn what_is_not_honoured_is_refused(world: &World) {
    let types = world.cloud.neutron.get("/v2.0/qos/rule-types").unwrap();
    let types = types["rule_types"].as_array().unwrap().iter();
    let mut types: Vec<String> = types.map(|kind| text(kind, "type")).collect();
    types.sort();
    assert_eq!(
        types,
        ["bandwidth_limit", "dscp_marking", "packet_rate_limit"]
    );
    let policy = world.policy("promises");
    world.give("network", &world.network.id, Some(&policy));
    let path = format!("/v2.0/qos/policies/{policy}/minimum_bandwidth_rules");
    let body = json!({"minimum_bandwidth_rule": {"min_kbps": 1000, "direction": "egress"}});
    assert_eq!(world.cloud.refused("POST", &path, &body).0, 409);
    world.give("network", &world.network.id, None);
    world.cloud.delete("qos/policy", &policy);
}

fn bandwidth_limits_come_change_move_and_go(world: &mut World) {
    let (sender, receiver) = (&world.sender, &world.receiver);
    let stream = Stream::tcp(sender, receiver, receiver.v4.into());
    stream.is_fast();

    let own = world.policy("own");
    let (rules, rule) = world.bandwidth(&own, "egress", 20);
    world.give_port(sender, Some(&own));
    stream.has(20.0, FRAMES_V4);
    world.cloud.update(&rules, &rule, bandwidth("egress", 60));
    stream.has(60.0, FRAMES_V4);

    let shared = world.policy("shared");
    let (rules, rule) = world.bandwidth(&shared, "egress", 30);
    world.give("network", &world.network.id, Some(&shared));
    world.give_port(sender, None);
    stream.has(30.0, FRAMES_V4);

    // the same for what VMs get
    world.bandwidth(&shared, "ingress", 15);
    world.cloud.delete(&rules, &rule);
    stream.has(15.0, FRAMES_V4);
    drop(stream);
    // who does not wait to be asked finds the queue full
    let flood = Stream::udp(sender, receiver, 1400);
    world.drops(1, "rate_limit", &shared);
    drop(flood);

    let agent = &mut world.cloud.agents[1];
    agent.kill().unwrap();
    agent.restart().unwrap();
    let (sender, receiver) = (&world.sender, &world.receiver);
    let stream = Stream::tcp(sender, receiver, receiver.v6.into());
    stream.has(15.0, FRAMES_V6);
    world.give("network", &world.network.id, None);
    stream.is_fast();
    for policy in [own, shared] {
        world.cloud.delete("qos/policy", &policy);
    }
}

fn packet_rates_are_limited_in_both_directions(world: &World) {
    let stream = Stream::udp(&world.sender, &world.receiver, 1);
    stream.becomes("packets without a limit", |packets| packets > 2000.0);
    let ways = [
        ("egress", &world.sender, 0),
        ("ingress", &world.receiver, 1),
    ];
    for (direction, guest, host) in ways {
        let policy = world.policy("packets");
        let limit = json!({"max_kpps": 1, "max_burst_kpps": 1, "direction": direction});
        world.rule(&policy, "packet_rate_limit", limit);
        world.give_port(guest, Some(&policy));
        let near = |packets: f64| (packets / 1000.0 - 1.0).abs() < NEAR;
        stream.becomes("1000 packets a second", near);
        world.drops(host, "packet_rate", &policy);
        world.give_port(guest, None);
        stream.becomes("packets without a limit", |packets| packets > 2000.0);
    }
}

fn packets_are_marked_inside_and_outside(world: &World) {
    let policy = world.policy("marks");
    world.rule(&policy, "dscp_marking", json!({"dscp_mark": DSCP}));
    world.give_port(&world.sender, Some(&policy));
    let underlay = RawSocket::open(world.cloud.hosts[1].netns(), "eth0").unwrap();
    for address in world.receiver.addresses() {
        let marked = || {
            let inside = world.receiver.vm.raw().map_err(|e| e.to_string())?;
            world.sender.vm.ping_until(address, SOON).unwrap();
            let seen = |socket: &RawSocket, at| {
                let wanted = |frame: &[u8]| mark(frame, at) == Some(DSCP);
                socket.receive(LOOK, wanted).unwrap().is_some()
            };
            match (seen(&inside, 0), seen(&underlay, OUTER)) {
                (true, true) => Ok(()),
                seen => Err(format!("seen inside and outside: {seen:?}")),
            }
        };
        within(&format!("marks on the way to {address}"), SHOWS, marked).unwrap();
    }
    world.give_port(&world.sender, None);
}

/// Bytes of Ethernet, IPv4, UDP and VXLAN before the frame that is tunnelled.
const OUTER: usize = 14 + 20 + 8 + 8;

/// The mark of the IP packet in the frame that begins at `at`, and that of what is before it alike.
fn mark(frame: &[u8], at: usize) -> Option<u8> {
    let frame_mark = |at: usize| {
        let packet = frame.get(at + 14..)?;
        match frame.get(at + 12..at + 14)? {
            [0x08, 0x00] => Some(packet.get(1)? >> 2),
            [0x86, 0xdd] => Some((packet.first()? << 4 | packet.get(1)? >> 4) >> 2),
            _ => None,
        }
    };
    let mark = frame_mark(at)?;
    (at == 0 || frame_mark(0) == Some(mark)).then_some(mark)
}

/// What comes for a sub-port waits on its parent's tap, and what comes for the parent does not.
fn a_sub_port_has_a_policy_of_its_own(world: &World, groups: Value) {
    let cloud = &world.cloud;
    let parent = cloud.port(1, &world.network, groups.clone());
    let mut body = groups;
    body["network_id"] = json!(world.network.id);
    let port = cloud.create("port", body);
    let sub_port = json!({
        "port_id": port["id"], "segmentation_type": "vlan", "segmentation_id": VLAN,
    });
    cloud.create(
        "trunk",
        json!({"port_id": parent["id"], "sub_ports": [sub_port]}),
    );
    let parent = cloud.plug("parent", 1, &parent);
    parent.configure();
    let child = Guest {
        vm: vlan(&parent.vm, &port),
        v4: address(&port),
        v6: address(&port),
    };
    cloud.wait_status("port", &text(&port, "id"), "ACTIVE");
    child.configure();
    let policy = world.policy("child");
    world.bandwidth(&policy, "ingress", 20);
    world.give_port(&child, Some(&policy));
    let stream = Stream::tcp(&world.sender, &child, child.v4.into());
    stream.has(20.0, FRAMES_V4);
    drop(stream);
    let stream = Stream::tcp(&world.sender, &parent, parent.v4.into());
    stream.is_fast();
}

fn vlan(parent: &Vm, port: &Value) -> Vm {
    let plug = Plug {
        port: text(port, "id").parse().unwrap(),
        mac: text(port, "mac_address"),
    };
    parent.vlan("child", VLAN, plug).unwrap()
}

fn address<A: std::str::FromStr>(port: &Value) -> A {
    let addresses = port["fixed_ips"].as_array().unwrap().iter();
    let mut texts = addresses.filter_map(|a| a["ip_address"].as_str());
    texts.find_map(|text| text.parse().ok()).unwrap()
}
