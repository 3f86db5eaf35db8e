//! Routers of a real Neutron, in both families, within a host and across hosts: what they connect,
//! the ways they choose, what they say, and networks of different MTU behind each other.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e::{Cloud, CloudNetwork, Guest, text};
use lab::{Echo, Netns, Probe, RawSocket, Stream, within};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use wire::{ethertype, icmp6};

/// How long what must come may take.
const PASS: Duration = Duration::from_secs(10);
/// How long to wait for what must not come.
const SILENCE: Duration = Duration::from_millis(400);
/// MTUs of networks: what Neutron gives, the least of IPv6, and one that only IPv4 knows.
const WIDE: u16 = 1450;
const NARROW: u16 = 1280;
const NARROWEST: u16 = 576;
/// What is sent through a narrow network.
const TRANSFER: usize = 2 << 20;
/// Addresses that two VMs have, and a port there.
const ANYCAST: [&str; 2] = ["192.168.60.1", "fd60::1"];
const ANYCAST_PORT: u16 = 9000;
/// Connections that are opened to see which way they take.
const CONNECTIONS: usize = 24;

/// Networks `a` and `c`, and `b` between them, where two routers meet: `r1` is its gateway and that
/// of `a`, `r2` that of `c`.
struct Scene {
    _echoes: Vec<Echo>,
    /// A VM on `a`, on the first host.
    near: Guest,
    /// A VM on `b`, on the second host.
    middle: Guest,
    /// VMs on `c`, one on each host.
    far: [Guest; 2],
    r1: String,
    r2: String,
    /// The addresses of `r2` on `b`.
    meeting: [IpAddr; 2],
    a: CloudNetwork,
    b: CloudNetwork,
    open: String,
    cloud: Cloud,
}

/// One OpenStack for all of it: starting one is most of the cost.
#[test]
fn routers_do_what_neutron_says() {
    let scene = scene();
    scene.vms_reach_each_other_over_two_routers();
    scene.every_address_of_a_router_answers();
    scene.the_path_can_be_seen();
    scene.nobody_is_redirected();
    scene.interfaces_come_and_go();
    scene.what_is_switched_off_passes_nothing();
    let gateways = scene.routes_lead_to_vms_and_share_the_load();
    scene.routers_behind_a_vm_are_heard(&gateways[0]);
    scene.large_packets_find_their_size();
}

fn scene() -> Scene {
    let cloud = Cloud::new(2);
    let [a, b, c] = [("a", 1), ("b", 2), ("c", 3)].map(|(name, n)| cloud.network(name, n));
    let open = cloud.bare_group("open");
    for direction in ["ingress", "egress"] {
        for family in ["IPv4", "IPv6"] {
            cloud.rule(&open, json!({"direction": direction, "ethertype": family}));
        }
    }
    let (r1, r2) = (cloud.router("r1", &[&a, &b]), cloud.router("r2", &[&c]));
    // the gateway's address is taken: the second router on a network comes with a port
    let body = json!({"network_id": b.id, "fixed_ips": [
        {"subnet_id": b.v4, "ip_address": "10.2.0.254"}, {"subnet_id": b.v6},
    ]});
    let port = cloud.create("port", body);
    cloud.add_interface(&r2, json!({"port_id": port["id"]}));
    let meeting = both(&port);
    route(
        &cloud,
        &r1,
        &[("10.3.0.0/24", meeting[0]), ("fd10:3::/64", meeting[1])],
    );
    let back = gateways(&cloud, &b);
    route(
        &cloud,
        &r2,
        &[("10.1.0.0/24", back[0]), ("fd10:1::/64", back[1])],
    );
    let plug = |name: &str, host, network: &CloudNetwork| {
        cloud.guest(name, host, network, json!({"security_groups": [open]}))
    };
    cloud.settle();
    let (near, middle) = (plug("near", 0, &a), plug("middle", 1, &b));
    let far = [plug("far0", 0, &c), plug("far1", 1, &c)];
    let guests = [&near, &middle, &far[0], &far[1]];
    Scene {
        _echoes: guests.map(|g| g.vm.echo_tcp(80).unwrap()).into(),
        near,
        middle,
        far,
        r1,
        r2,
        meeting,
        a,
        b,
        open,
        cloud,
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The gateways of a network's subnets, IPv4 first.
fn gateways(cloud: &Cloud, network: &CloudNetwork) -> [IpAddr; 2] {
    [&network.v4, &network.v6]
        .map(|subnet| address(&text(&cloud.show("subnet", subnet), "gateway_ip")))
}

/// The addresses of a port, IPv4 first.
fn both(port: &Value) -> [IpAddr; 2] {
    let all = port["fixed_ips"].as_array().unwrap().iter();
    let all: Vec<IpAddr> = all.map(|a| address(&text(a, "ip_address"))).collect();
    let of = |v4: bool| *all.iter().find(|ip| ip.is_ipv4() == v4).unwrap();
    [of(true), of(false)]
}

/// Sets the extra routes of a router.
fn route(cloud: &Cloud, router: &str, routes: &[(&str, IpAddr)]) {
    let routes: Vec<Value> = routes
        .iter()
        .map(|(net, via)| json!({"destination": net, "nexthop": via}))
        .collect();
    cloud.update("router", router, json!({ "routes": routes }));
}

impl Scene {
    /// Routes of `r1`: those to `c`, and more.
    fn route(&self, more: &[(&str, IpAddr)]) {
        let to_c = [
            ("10.3.0.0/24", self.meeting[0]),
            ("fd10:3::/64", self.meeting[1]),
        ];
        route(&self.cloud, &self.r1, &[&to_c, more].concat());
        self.cloud.settle();
    }

    fn plug(&self, name: &str, host: usize, network: &CloudNetwork, body: Value) -> Guest {
        self.cloud.guest(name, host, network, body)
    }

    fn vms_reach_each_other_over_two_routers(&self) {
        for far in &self.far {
            for (ip, service) in far.addresses().into_iter().zip(far.services(80)) {
                self.reaches(far, ip);
                assert_eq!(self.near.vm.tcp(service, PASS).unwrap(), Probe::Answered);
            }
        }
    }

    /// The first ping of a path; says what became of it otherwise.
    fn reaches(&self, far: &Guest, ip: IpAddr) {
        let Err(silence) = self.near.vm.ping_until(ip, PASS) else {
            return;
        };
        for guest in [&self.near, far] {
            for what in ["-6 route", "-6 neigh", "route"] {
                let shown = guest.vm.netns().ip(what);
                eprintln!("{} {what}:\n{}", guest.vm.name(), shown.unwrap_or_default());
            }
        }
        for (host, path) in [(0, "/drops"), (1, "/drops"), (0, "/flows")] {
            eprintln!("{path} of host {host}: {:#?}", self.cloud.local(host, path));
        }
        panic!("{silence}");
    }

    /// The interfaces of a router, as Neutron lists them.
    fn interfaces(&self, router: &str) -> Vec<Value> {
        let path = format!("/v2.0/ports?device_id={router}");
        let listed = self.cloud.neutron.get(&path).unwrap();
        listed["ports"].as_array().unwrap().clone()
    }

    fn every_address_of_a_router_answers(&self) {
        let mut pinged = 0;
        for router in [&self.r1, &self.r2] {
            for port in self.interfaces(router) {
                for fixed in port["fixed_ips"].as_array().unwrap() {
                    let ip = address(&text(fixed, "ip_address"));
                    for from in [&self.near, &self.middle, &self.far[1]] {
                        from.vm.ping_until(ip, PASS).unwrap();
                        pinged += 1;
                    }
                }
            }
        }
        assert_eq!(pinged, 3 * 8, "two networks of two families by each router");
        // link-local ones on their link, by everybody's routes
        let routes = self.near.vm.netns().ip("-6 route show default").unwrap();
        let local = routes.split_whitespace().nth(2).unwrap();
        let ping = format!("ping -n -c 1 -W 5 {local}%eth0");
        self.near.vm.netns().run(&ping).unwrap();
    }

    fn the_path_can_be_seen(&self) {
        for far in &self.far {
            let first = gateways(&self.cloud, &self.a);
            for (i, to) in far.addresses().into_iter().enumerate() {
                let expected = vec![first[i], self.meeting[i], to];
                assert_eq!(hops(&self.near, to), expected);
            }
        }
    }

    /// The first router sends packets back to the network they came from, and says nothing.
    fn nobody_is_redirected(&self) {
        let raw = self.middle.vm.raw().unwrap();
        let interfaces = self.interfaces(&self.r1);
        let inside = |port: &&Value| text(port, "network_id") == self.b.id;
        let six = |port: &&Value| port["fixed_ips"].to_string().contains("fd10:2:");
        let gateway = interfaces.iter().filter(inside).find(six).unwrap();
        let mac: wire::Mac = text(gateway, "mac_address").parse().unwrap();
        let link_local = mac.link_local();
        let netns = self.middle.vm.netns();
        netns
            .ip(&format!("route add fd10:3::/64 via {link_local} dev eth0"))
            .unwrap();
        for to in self.far.iter().flat_map(Guest::addresses) {
            self.middle.vm.ping_until(to, PASS).unwrap();
            self.middle.vm.ping(to, PASS).unwrap();
        }
        let seen = raw.receive(SILENCE, is_redirect).unwrap();
        assert_eq!(seen, None, "a router redirects");
        let accepted = netns.ip("route get 10.3.0.77").unwrap();
        assert!(accepted.contains("via 10.2.0.1 "), "{accepted}");
    }

    /// A second subnet on the first network.
    fn interfaces_come_and_go(&self) {
        let body = json!({"network_id": self.a.id, "ip_version": 4, "cidr": "10.21.0.0/24"});
        let subnet = text(&self.cloud.create("subnet", body), "id");
        let body = json!({"security_groups": [self.open], "fixed_ips": [
            {"subnet_id": subnet}, {"subnet_id": self.a.v6},
        ]});
        let port = self.cloud.port(1, &self.a, body);
        let guest = self.cloud.plug("second", 1, &port);
        guest.vm.dhcp().unwrap();
        let service = guest.services(80)[0];
        let _echo = guest.vm.echo_tcp(80).unwrap();
        let ask = |limit| self.near.vm.tcp(service, limit).unwrap();
        assert_ne!(ask(SILENCE), Probe::Answered, "no router is on the subnet");
        // by a port one has come already: that of the second router on `b`
        for _ in 0..2 {
            let body = json!({ "subnet_id": subnet });
            self.cloud.add_interface(&self.r1, body.clone());
            self.cloud.settle();
            assert_eq!(ask(PASS), Probe::Answered, "{body}");
            let stream = self.near.vm.stream(service).unwrap();
            stream.goes_on(10, PASS).unwrap();
            self.cloud.remove_interface(&self.r1, body);
            stream.stops(SILENCE, PASS).unwrap();
        }
    }

    fn what_is_switched_off_passes_nothing(&self) {
        let streams: Vec<Stream> = self
            .far
            .iter()
            .flat_map(|far| far.services(80))
            .map(|to| self.near.vm.stream(to).unwrap())
            .collect();
        let port = self.near.vm.port().to_string();
        let things = [
            ("router", &self.r1, "router_down"),
            ("router", &self.r2, "router_down"),
            ("network", &self.b.id, "network_down"),
            ("port", &port, "port_down"),
        ];
        for (kind, id, reason) in things {
            let before = self.cloud.drops(0, reason);
            self.cloud
                .update(kind, id, json!({"admin_state_up": false}));
            for stream in &streams {
                stream.stops(SILENCE, PASS).unwrap();
            }
            // what the streams repeat is dropped by its name
            within(&format!("{reason} of {kind} {id}"), PASS, || {
                match self.cloud.drops(0, reason) > before {
                    true => Ok(()),
                    false => Err(format!("{before} as before")),
                }
            })
            .unwrap();
            self.cloud.update(kind, id, json!({"admin_state_up": true}));
            for stream in &streams {
                stream.goes_on(5, 3 * PASS).unwrap();
            }
        }
    }

    /// Two VMs on `b`, one on each host, that have the same addresses behind them.
    fn routes_lead_to_vms_and_share_the_load(&self) -> [Guest; 2] {
        let body = json!({"port_security_enabled": false, "security_groups": []});
        let gateways = [("gw1", 0), ("gw2", 1)].map(|(name, host)| {
            let guest = self.plug(name, host, &self.b, body.clone());
            for ip in ANYCAST {
                let length = if ip.contains(':') { 128 } else { 32 };
                let line = format!("addr add {ip}/{length} dev lo");
                guest.vm.netns().ip(&line).unwrap();
            }
            guest
        });
        let [one, two] = gateways.each_ref().map(Guest::addresses);
        let servers = gateways.each_ref().map(Teller::start);
        let prefixes = ["192.168.60.0/24", "fd60::/64"];
        let equal: Vec<(&str, IpAddr)> = (0..2)
            .flat_map(|i| [(prefixes[i], one[i]), (prefixes[i], two[i])])
            .collect();
        self.route(&equal);
        let asked = ANYCAST.map(|ip| SocketAddr::new(address(ip), ANYCAST_PORT));
        for to in asked {
            assert_eq!(self.who_answers(to), BTreeSet::from([1, 2]), "{to}");
        }
        // a longer prefix wins, whatever it shares
        let whole = ["192.168.60.1/32", "fd60::1/128"];
        let longer = [(whole[0], two[0]), (whole[1], two[1])];
        self.route(&[&equal[..], &longer].concat());
        for to in asked {
            assert_eq!(self.who_answers(to), BTreeSet::from([2]), "{to}");
        }
        self.route(&equal);
        // a VM that is switched off takes nothing, and what the other has goes on
        let port = gateways[1].vm.port().to_string();
        for (up, who) in [(false, vec![1]), (true, vec![1, 2])] {
            let change = json!({"admin_state_up": up});
            self.cloud.update("port", &port, change);
            self.cloud.settle();
            for to in asked {
                let who = who.iter().copied().collect::<BTreeSet<u8>>();
                assert_eq!(self.who_answers(to), who, "{to}");
            }
        }
        drop(servers);
        gateways
    }

    /// Who answers new connections; each of them has one answerer for all its packets.
    fn who_answers(&self, to: SocketAddr) -> BTreeSet<u8> {
        let ask = || (0..CONNECTIONS).map(|_| ask(to)).collect::<io::Result<_>>();
        let answers: io::Result<Vec<[u8; 3]>> = self.near.vm.netns().enter(ask).unwrap();
        let answers = answers.unwrap();
        for [first, rest @ ..] in &answers {
            assert!(rest.iter().all(|next| next == first), "{to}: {answers:?}");
        }
        answers.into_iter().map(|[first, ..]| first).collect()
    }

    /// A VM that routes for a machine behind it, where the path is narrower.
    fn routers_behind_a_vm_are_heard(&self, gateway: &Guest) {
        let behind = Netns::create(&format!("{}b", gateway.vm.netns().name())).unwrap();
        let netns = gateway.vm.netns();
        netns.sysctl("ipv6/conf/eth0/accept_ra", "2").unwrap();
        netns.sysctl("ipv4/ip_forward", "1").unwrap();
        netns.sysctl("ipv6/conf/all/forwarding", "1").unwrap();
        netns
            .ip(&format!(
                "link add name inner mtu {NARROW} type veth \
                 peer name eth0 mtu {NARROW} netns {}",
                behind.name()
            ))
            .unwrap();
        netns.ip("link set inner up").unwrap();
        behind.ip("link set eth0 up").unwrap();
        for (inner, outer, length) in [
            ("192.168.70.1", "192.168.70.9", 24),
            ("fd70::1", "fd70::9", 64),
        ] {
            let nodad = if length == 64 { " nodad" } else { "" };
            netns
                .ip(&format!("addr add {inner}/{length} dev inner{nodad}"))
                .unwrap();
            behind
                .ip(&format!("addr add {outer}/{length} dev eth0{nodad}"))
                .unwrap();
            behind
                .ip(&format!("route add default via {inner}"))
                .unwrap();
        }
        let [v4, v6] = gateway.addresses();
        self.route(&[("192.168.70.0/24", v4), ("fd70::/64", v6)]);
        for (i, to) in ["192.168.70.9", "fd70::9"]
            .map(address)
            .into_iter()
            .enumerate()
        {
            self.near.vm.ping_until(to, PASS).unwrap();
            let seen = hops(&self.near, to);
            let first = gateways(&self.cloud, &self.a)[i];
            assert_eq!((seen[0], seen[2]), (first, to), "{seen:?}");
            assert!([v4, v6].contains(&seen[1]), "{seen:?}");
            assert_too_big(&self.near, to, NARROW);
        }
    }

    /// IPv6 passes a network of its least MTU, IPv4 one of less, both between wide ones.
    fn large_packets_find_their_size(&self) {
        let (cloud, b) = (&self.cloud, &self.b);
        let body = json!({"name": "narrowest", "mtu": NARROWEST});
        let id = text(&cloud.create("network", body), "id");
        let body = json!({"network_id": id, "ip_version": 4, "cidr": "10.4.0.0/24"});
        let subnet = text(&cloud.create("subnet", body), "id");
        cloud.add_interface(&self.r1, json!({ "subnet_id": subnet }));
        let body = json!({"network_id": id, "fixed_ips": [
            {"subnet_id": subnet, "ip_address": "10.4.0.254"},
        ]});
        let port = cloud.create("port", body);
        cloud.add_interface(&self.r2, json!({"port_id": port["id"]}));
        cloud.update("network", &b.id, json!({"mtu": NARROW}));
        let there = [
            ("10.3.0.0/24", address("10.4.0.254")),
            ("fd10:3::/64", self.meeting[1]),
        ];
        let back = [
            ("10.1.0.0/24", address("10.4.0.1")),
            ("fd10:1::/64", gateways(cloud, b)[1]),
        ];
        route(cloud, &self.r1, &there);
        route(cloud, &self.r2, &back);
        cloud.settle();
        for far in &self.far {
            self.is_fragmented(far);
            for (to, mtu) in far.addresses().into_iter().zip([NARROWEST, NARROW]) {
                assert_too_big(&self.near, to, mtu);
                let path = self.near.vm.netns().run(&format!("tracepath -n {to}"));
                let path = path.unwrap();
                assert!(
                    path.contains(&format!("Resume: pmtu {mtu} hops 3")),
                    "{path}"
                );
            }
        }
        self.transfers_pass();
    }

    /// IPv4 without DF: the first router makes fragments of what is too large for it.
    fn is_fragmented(&self, far: &Guest) {
        let raw = far.vm.raw().unwrap();
        let netns = self.near.vm.netns();
        let whole = format!("ping -n -c 1 -W 5 -M dont -s {} {}", WIDE - 28, far.v4);
        netns.run(&whole).unwrap();
        let pieces = fragments(&raw, self.near.v4.octets());
        let carried: usize = pieces.iter().map(|piece| piece.carried).sum();
        assert_eq!(carried, usize::from(WIDE) - 20, "{pieces:?}");
        let fits = |piece: &Piece| piece.length <= usize::from(NARROWEST);
        assert!(pieces.len() >= 3 && pieces.iter().all(fits), "{pieces:?}");
    }

    /// Both ends of a connection believe that the path is as wide as their own network.
    fn transfers_pass(&self) {
        for far in &self.far {
            for to in far.services(80) {
                let netns = self.near.vm.netns();
                netns.ip("route flush cache").unwrap();
                netns.ip("-6 route flush cache").unwrap();
                far.vm.netns().ip("route flush cache").unwrap();
                far.vm.netns().ip("-6 route flush cache").unwrap();
                let echoed = netns.enter(|| transfer(to)).unwrap().unwrap();
                assert_eq!(echoed, TRANSFER, "{to}");
                let found = netns.ip(&format!("route get {}", to.ip())).unwrap();
                let mtu = if to.is_ipv4() { NARROWEST } else { NARROW };
                assert!(found.contains(&format!("mtu {mtu}")), "{found}");
            }
        }
    }
}

/// The addresses that answer on the way to another.
fn hops(from: &Guest, to: IpAddr) -> Vec<IpAddr> {
    let family = if to.is_ipv6() { 6 } else { 4 };
    let line = format!("traceroute -{family} -n -q 1 -N 1 -w 3 -m 6 {to}");
    let printed = from.vm.netns().run(&line).unwrap();
    let hops = printed.lines().skip(1);
    let addresses = hops.map(|l| l.split_whitespace().nth(1).unwrap_or_default().parse());
    addresses
        .collect::<Result<_, _>>()
        .unwrap_or_else(|e| panic!("{e}: {printed}"))
}

/// A ping that may not be fragmented is answered with the MTU that it is too large for; one of that
/// size passes.
fn assert_too_big(from: &Guest, to: IpAddr, mtu: u16) {
    let headers = if to.is_ipv4() { 28 } else { 48 };
    let ping = |size: u16| {
        let line = format!("ping -n -c 1 -W 5 -M do -s {} {to}", size - headers);
        from.vm.netns().run(&line)
    };
    let said = ping(WIDE).unwrap_err().to_string();
    let told = match to {
        IpAddr::V4(_) => format!("(mtu = {mtu})"),
        IpAddr::V6(_) => format!("Packet too big: mtu={mtu}"),
    };
    assert!(said.contains(&told), "{to}: {said}");
    ping(mtu).unwrap();
    ping(mtu + 1).unwrap_err();
}

/// ICMP redirect, RFC 792 and RFC 4861.
fn is_redirect(frame: &[u8]) -> bool {
    let kind = u16::from_be_bytes([frame[12], frame[13]]);
    match kind {
        ethertype::IPV4 => frame[23] == 1 && frame[34] == 5,
        ethertype::IPV6 => frame[20] == 58 && frame[54] == icmp6::REDIRECT,
        _ => false,
    }
}

/// A fragment as it came: the length of the packet, and of what it carries of the whole.
#[derive(Debug)]
struct Piece {
    length: usize,
    carried: usize,
}

/// The fragments of a ping from an address that have come.
fn fragments(raw: &RawSocket, from: [u8; 4]) -> Vec<Piece> {
    let wanted = |frame: &[u8]| {
        let is_fragment = frame.len() > 34 && (frame[20] & 0x3f != 0 || frame[21] != 0);
        frame[12..14] == [8, 0] && frame[26..30] == from && is_fragment
    };
    let next = || raw.receive(SILENCE, wanted).unwrap();
    std::iter::from_fn(next)
        .map(|frame| {
            let length = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
            let header = usize::from(frame[14] & 0xf) * 4;
            Piece {
                length,
                carried: length - header,
            }
        })
        .collect()
}

/// A server at the addresses that several VMs have, which says whose it is.
struct Teller {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Teller {
    fn start(guest: &Guest) -> Self {
        let name = guest.vm.name().bytes().last().unwrap() - b'0';
        let stop = Arc::new(AtomicBool::new(false));
        let serve = |ip: &str| {
            let at = SocketAddr::new(address(ip), ANYCAST_PORT);
            let bind = || UdpSocket::bind(at);
            let socket = guest.vm.netns().enter(bind).unwrap().unwrap();
            socket.set_read_timeout(Some(SILENCE / 4)).unwrap();
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((_, from)) = socket.recv_from(&mut [0; 16]) {
                        // who gets no answer asks again
                        let _ = socket.send_to(&[name], from);
                    }
                }
            })
        };
        let threads = ANYCAST.map(serve).into();
        Self { stop, threads }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // a panic there has been printed already
            let _ = thread.join();
        }
    }
}

/// Asks three times on one connection.
fn ask(to: SocketAddr) -> io::Result<[u8; 3]> {
    let any: IpAddr = address(if to.is_ipv4() { "0.0.0.0" } else { "::" });
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut answers = [0; 3];
    for answer in &mut answers {
        let mut byte = [0];
        let mut asked = || {
            socket.send(b"who is there?")?;
            socket.recv(&mut byte)
        };
        // what is new may be lost while it is looked for
        asked().or_else(|_| asked()).or_else(|_| asked())?;
        *answer = byte[0];
    }
    Ok(answers)
}

/// Sends much to an echo; answers with how much came back.
fn transfer(to: SocketAddr) -> io::Result<usize> {
    let stream = TcpStream::connect_timeout(&to, PASS)?;
    stream.set_read_timeout(Some(PASS))?;
    stream.set_write_timeout(Some(PASS))?;
    let (mut sender, mut receiver) = (stream.try_clone()?, stream);
    let writer = thread::spawn(move || {
        let sent = sender.write_all(&vec![7; TRANSFER]);
        sent.and_then(|()| sender.shutdown(Shutdown::Write))
    });
    let (mut echoed, mut buffer) = (0, vec![0; 1 << 16]);
    while echoed < TRANSFER {
        match receiver.read(&mut buffer)? {
            0 => break,
            more => echoed += more,
        }
    }
    writer.join().map_err(|_| io::ErrorKind::Other)??;
    Ok(echoed)
}
