//! Stations that Neutron does not know of: behind a VM that bridges, and with an address and a MAC
//! that two VMs share.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e::{Cloud, Guest, PortOptions, World, text};
use lab::{Netns, RawSocket, within};
use serde_json::json;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};
use wire::{Arp, ArpOperation, IpPacket, Mac, nd, protocol};

/// How long what must pass may take.
const PASS: Duration = Duration::from_secs(5);
/// How long clients may take to follow an address that moves.
const FOLLOWED: Duration = Duration::from_secs(1);
/// The virtual MAC of VRRP's router 51 (RFC 5798, 7.3).
const VIRTUAL: &str = "00:00:5e:00:01:33";

/// Makes a VM a bridge between its interface and whatever is behind it.
fn make_bridge(vm: &lab::Vm) {
    let netns = vm.netns();
    netns.ip("link add br0 type bridge").unwrap();
    netns.ip("link set eth0 master br0").unwrap();
    netns.ip("link set br0 up").unwrap();
}

/// A namespace behind a VM that bridges.
struct Station {
    netns: Netns,
    mac: Mac,
}

impl Station {
    fn new(vm: &lab::Vm, name: &str, mac: &str) -> Self {
        let netns = Netns::create(&format!("{}{name}", vm.netns().name())).unwrap();
        let (near, far) = (netns.name(), vm.netns().name());
        vm.netns()
            .ip(&format!(
                "link add name {name} mtu 1450 netns {far} type veth \
                 peer name eth0 mtu 1450 address {mac} netns {near}"
            ))
            .unwrap();
        vm.netns()
            .ip(&format!("link set {name} master br0 up"))
            .unwrap();
        netns.ip("link set eth0 up").unwrap();
        Self {
            netns,
            mac: mac.parse().unwrap(),
        }
    }

    /// Takes an address, with a route to other networks by this one's gateway.
    fn take(&self, ip: IpAddr, gateway: IpAddr) {
        let length = if ip.is_ipv4() { 24 } else { 64 };
        let nodad = if ip.is_ipv6() { " nodad" } else { "" };
        self.netns
            .ip(&format!("addr add {ip}/{length} dev eth0{nodad}"))
            .unwrap();
        self.netns
            .ip(&format!("route replace default via {gateway}"))
            .unwrap();
    }

    fn give_up(&self, ip: IpAddr) {
        let length = if ip.is_ipv4() { 24 } else { 64 };
        self.netns
            .ip(&format!("addr del {ip}/{length} dev eth0"))
            .unwrap();
    }

    /// Says that it has an address: a gratuitous ARP, or an unsolicited advertisement.
    fn announce(&self, ip: IpAddr) {
        let frame = match ip {
            IpAddr::V4(ip) => gratuitous(self.mac, ip),
            IpAddr::V6(ip) => unsolicited(self.mac, ip),
        };
        let raw = RawSocket::open(&self.netns, "eth0").unwrap();
        raw.send(&frame).unwrap();
    }
}

fn v6(network: u8, host: u16) -> IpAddr {
    Ipv6Addr::new(0xfd10, network.into(), 0, 0, 0, 0, 0, host).into()
}

fn gratuitous(mac: Mac, ip: Ipv4Addr) -> Vec<u8> {
    let arp = Arp {
        operation: ArpOperation::Request,
        sender_mac: mac,
        sender_ip: ip,
        target_mac: Mac::default(),
        target_ip: ip,
    };
    arp.frame(Mac::BROADCAST)
}

fn unsolicited(mac: Mac, ip: Ipv6Addr) -> Vec<u8> {
    let message = nd::neighbor_advertisement(ip, mac, false, nd::ALL_NODES);
    let packet = IpPacket {
        src: ip.into(),
        dst: nd::ALL_NODES.into(),
        proto: protocol::ICMPV6,
        ttl: nd::ND_HOP_LIMIT,
        payload: &message,
    };
    let dmac = Mac::for_ipv6_multicast(nd::ALL_NODES);
    packet.frame(mac, dmac).unwrap()
}

/// Time until a ping is answered, tried all the time.
fn until_answered(from: &Guest, to: IpAddr) -> Duration {
    let start = Instant::now();
    let line = format!("ping -n -c 1 -W 0.1 {to}");
    within(
        &format!("answer of {to} to {}", from.vm.name()),
        PASS,
        || {
            let ping = from.vm.netns().run(&line);
            ping.map(drop).map_err(|e| e.to_string())
        },
    )
    .unwrap();
    start.elapsed()
}

#[test]
fn stations_behind_a_bridge_are_reached_from_everywhere() {
    let world = World::new(2);
    let (front, back) = (world.network(1), world.network(2));
    let router = world.router(&[&front, &back]);
    let group = world.default_group();
    let trusted = |number| PortOptions {
        trusted: true,
        ..PortOptions::new(number, &[])
    };
    let bridge = world.plug("bridge", 0, &front, trusted(20));
    let near = world.guest("near", 1, &front, PortOptions::new(11, &[group]));
    let far = world.guest("far", 1, &back, PortOptions::new(12, &[group]));
    world.wait_status(bridge.vm.port(), "ACTIVE");
    make_bridge(&bridge.vm);
    for (name, n) in [("s1", 51), ("s2", 52)] {
        let station = Station::new(&bridge.vm, name, &format!("02:00:00:00:00:{n}"));
        let ips: [IpAddr; 2] = [Ipv4Addr::new(10, 1, 0, n).into(), v6(1, n.into())];
        let gateways = [front.gateway4().into(), front.gateway6().into()];
        for (ip, gateway) in ips.into_iter().zip(gateways) {
            station.take(ip, gateway);
            // nobody has heard of it yet: neighbours ask, and so does the router
            for from in [&near, &far] {
                let took = until_answered(from, ip);
                println!("{} reaches silent {ip} after {took:?}", from.vm.name());
            }
        }
        if n == 52 {
            // a prefix behind the station, by a route of the router
            station.netns.ip("addr add 192.168.50.1/32 dev lo").unwrap();
            let routes = json!([{"destination": "192.168.50.0/24", "nexthop": ips[0]}]);
            let body = json!({
                "id": router, "name": "edge", "admin_state_up": true, "routes": routes,
                "tenant_id": "11111111111111111111111111111111", "revision_number": 2,
            });
            let path = format!("/neutron/routers/{router}");
            world.api.put(&path, &body).unwrap();
            world.settle();
            far.vm
                .ping_until("192.168.50.1".parse().unwrap(), PASS)
                .unwrap();
        }
    }
    let known = world.local(1, "/stations");
    assert!(known.len() >= 6, "two MACs, two addresses each: {known:?}");
    assert!(known.iter().all(|s| s["host"] == "h1"), "{known:?}");
    // what is cached at host 2 says that they are gone when they are
    bridge.vm.unplug().unwrap();
    within("stations to be forgotten", PASS, || {
        match world.local(1, "/stations") {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        }
    })
    .unwrap();
    bridge.vm.plug().unwrap();
    world.wait_status(bridge.vm.port(), "ACTIVE");
    bridge.vm.netns().ip("link set eth0 master br0").unwrap();
    for from in [&near, &far] {
        until_answered(from, Ipv4Addr::new(10, 1, 0, 51).into());
    }
}

#[test]
fn a_virtual_address_with_its_mac_is_followed_from_host_to_host() {
    let world = World::new(2);
    let (front, back) = (world.network(1), world.network(2));
    world.router(&[&front, &back]);
    let group = world.default_group();
    let shared: [IpAddr; 2] = [Ipv4Addr::new(10, 1, 0, 100).into(), v6(1, 0x100)];
    let member = |number| PortOptions {
        pairs: shared
            .iter()
            .map(|ip| (ip.to_string(), Some(VIRTUAL.to_owned())))
            .collect(),
        ..PortOptions::new(number, &[group])
    };
    let members = [(0, "m1", 21), (1, "m2", 22)]
        .map(|(host, name, number)| world.plug(name, host, &front, member(number)));
    let clients = [
        world.guest("near1", 0, &front, PortOptions::new(11, &[group])),
        world.guest("near2", 1, &front, PortOptions::new(12, &[group])),
        world.guest("far1", 0, &back, PortOptions::new(13, &[group])),
        world.guest("far2", 1, &back, PortOptions::new(14, &[group])),
    ];
    let stations = members.each_ref().map(|m| {
        world.wait_status(m.vm.port(), "ACTIVE");
        make_bridge(&m.vm);
        Station::new(&m.vm, "v", VIRTUAL)
    });
    let gateways = [front.gateway4().into(), front.gateway6().into()];
    for (ip, gateway) in shared.into_iter().zip(gateways) {
        assert_followed((ip, gateway), &stations, &clients);
    }
}

/// Moves an address from one station to the other and back, and measures how long clients need.
fn assert_followed((ip, gateway): (IpAddr, IpAddr), stations: &[Station; 2], clients: &[Guest]) {
    let mut master = 0;
    stations[master].take(ip, gateway);
    stations[master].announce(ip);
    for client in clients {
        until_answered(client, ip);
    }
    for _ in 0..4 {
        stations[master].give_up(ip);
        master = 1 - master;
        stations[master].take(ip, gateway);
        stations[master].announce(ip);
        let moved = Instant::now();
        let follow = |client| {
            until_answered(client, ip);
            moved.elapsed()
        };
        let took: Vec<Duration> = clients.iter().map(follow).collect();
        println!("{ip} moved to host {}: followed after {took:?}", master + 1);
        assert!(took.iter().all(|took| *took < FOLLOWED), "{ip}: {took:?}");
    }
    stations[master].give_up(ip);
}

/// As a tenant does it: the address is reserved by a port of its own, which is never bound, and
/// allowed at two others.
#[test]
fn neutrons_pairs_and_ports_without_security_have_stations() {
    let cloud = Cloud::new(2);
    let (front, back) = (cloud.network("front", 1), cloud.network("back", 2));
    cloud.router("edge", &[&front, &back]);
    let shared: [IpAddr; 2] = [IpAddr::from([10, 1, 0, 200]), v6(1, 0x200)];
    cloud.create(
        "port",
        json!({"network_id": front.id, "name": "reserved", "fixed_ips": [
            {"subnet_id": front.v4, "ip_address": shared[0]},
        ]}),
    );
    let pairs = shared.map(|ip| json!({"ip_address": ip, "mac_address": VIRTUAL}));
    let member = |name: &str, host| {
        let port = cloud.port(host, &front, json!({"allowed_address_pairs": pairs}));
        cloud.plug(name, host, &port)
    };
    let members = [member("m1", 0), member("m2", 1)];
    let open = json!({"port_security_enabled": false, "security_groups": []});
    let open = cloud.plug("open", 0, &cloud.port(0, &front, open));
    let clients = [
        cloud.guest("near", 1, &front, json!({})),
        cloud.guest("far", 1, &back, json!({})),
    ];
    for guest in members.iter().chain([&open]) {
        cloud.wait_status("port", &guest.vm.port().to_string(), "ACTIVE");
        make_bridge(&guest.vm);
    }
    let stations = members
        .each_ref()
        .map(|m| Station::new(&m.vm, "v", VIRTUAL));
    let gateways = [&front.v4, &front.v6].map(|subnet| {
        let gateway = text(&cloud.show("subnet", subnet), "gateway_ip");
        gateway.parse::<IpAddr>().unwrap()
    });
    for (ip, gateway) in shared.into_iter().zip(gateways) {
        assert_followed((ip, gateway), &stations, &clients);
    }
    let station = Station::new(&open.vm, "s", "02:00:00:00:00:77");
    let own = [IpAddr::from([10, 1, 0, 77]), v6(1, 0x77)];
    for (ip, gateway) in own.into_iter().zip(gateways) {
        station.take(ip, gateway);
        for client in &clients {
            until_answered(client, ip);
        }
    }
}
