//! A VM that sends what it must not: every frame is dropped under its name, none reaches another
//! tenant, and the host goes on as before.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e::{Guest, PortOptions, Rule, Siege, World};
use lab::{Flood, RawSocket, until};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};
use wire::{
    Arp, ArpOperation, Ethernet, Icmp, IpPacket, Ipv4, Ipv6, Mac, Udp, ethertype, icmp6, nd,
    protocol,
};

/// In every hostile frame that has room for it.
const MARK: &[u8] = b"sent by the hostile VM";
/// How long a leaked frame would take at most.
const LEAK: Duration = Duration::from_millis(300);
/// Room for connections in a lab's agents.
const CONNECTIONS: usize = 65_536;
/// Frames of noise.
const NOISE: usize = 3000;

/// A tenant whose VM is hostile, with a neighbour and one more VM across hosts that let in
/// everything; and another tenant's VM without any protection.
struct Scene {
    world: World,
    hostile: Guest,
    peer: Guest,
    others: Vec<Guest>,
    gateway: (Ipv4Addr, Ipv6Addr),
}

fn scene() -> Scene {
    let world = World::new(2);
    let (net, foreign) = (world.network(1), world.network(2));
    world.router(&[&net]);
    world.router(&[&foreign]);
    let everything: Vec<Rule> = ["ingress", "egress"]
        .into_iter()
        .flat_map(|d| ["IPv4", "IPv6"].map(|family| Rule::any(d, family)))
        .collect();
    let open = world.group(&everything);
    let hostile = world.guest("hostile", 0, &net, PortOptions::new(11, &[open]));
    let peer = world.guest("peer", 1, &net, PortOptions::new(12, &[open]));
    let neighbour = world.guest("neighbour", 0, &net, PortOptions::new(13, &[open]));
    let unprotected = PortOptions {
        number: 14,
        trusted: true,
        ..PortOptions::default()
    };
    let victim = world.guest("victim", 0, &foreign, unprotected);
    Scene {
        world,
        hostile,
        peer,
        others: vec![neighbour, victim],
        gateway: (net.gateway4(), net.gateway6()),
    }
}

/// What to send, and the reason it must be dropped for.
type Case = (&'static str, &'static str, Vec<u8>);

/// Builds frames from the hostile VM to its peer.
struct Forge {
    mac: Mac,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    to_mac: Mac,
    to4: Ipv4Addr,
    to6: Ipv6Addr,
    gateway: (Ipv4Addr, Ipv6Addr),
}

impl Forge {
    fn new(scene: &Scene) -> Self {
        let (me, peer) = (&scene.hostile, &scene.peer);
        Self {
            mac: me.vm.mac().parse().unwrap(),
            v4: me.v4,
            v6: me.v6,
            to_mac: peer.vm.mac().parse().unwrap(),
            to4: peer.v4,
            to6: peer.v6,
            gateway: scene.gateway,
        }
    }

    fn udp(&self, src: IpAddr, sport: u16, dport: u16) -> Vec<u8> {
        let dst = if src.is_ipv4() {
            self.to4.into()
        } else {
            self.to6.into()
        };
        let udp = Udp {
            sport,
            dport,
            payload: MARK,
        };
        udp.datagram(src, dst).unwrap()
    }

    /// A frame that is all right if `src` is.
    fn packet(&self, src: IpAddr) -> Vec<u8> {
        let dst = if src.is_ipv4() {
            self.to4.into()
        } else {
            self.to6.into()
        };
        let payload = self.udp(src, 1000, 2000);
        let packet = IpPacket {
            src,
            dst,
            proto: protocol::UDP,
            ttl: 64,
            payload: &payload,
        };
        packet.frame(self.mac, self.to_mac).unwrap()
    }

    fn frame(&self, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let frame = Ethernet {
            dst: self.to_mac,
            src: self.mac,
            ethertype,
            payload,
        };
        frame.frame()
    }

    /// An IPv4 packet with a byte of its header changed, and the checksum made right again.
    fn header4(&self, at: usize, value: u8) -> Vec<u8> {
        let payload = self.udp(self.v4.into(), 1000, 2000);
        let mut packet = Ipv4::build(self.v4, self.to4, protocol::UDP, 64, &payload).unwrap();
        packet[at] = value;
        packet[10..12].fill(0);
        let sum = wire::checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        self.frame(ethertype::IPV4, &packet)
    }

    /// An IPv6 packet whose payload is a chain of extension headers before a datagram.
    fn extended(&self, first: u8, chain: &[u8]) -> Vec<u8> {
        let payload = [chain, &self.udp(self.v6.into(), 1000, 2000)].concat();
        let packet = Ipv6::build(self.v6, self.to6, first, 64, &payload).unwrap();
        self.frame(ethertype::IPV6, &packet)
    }

    fn icmp6(&self, message: &[u8], from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
        let packet = IpPacket {
            src: from.into(),
            dst: to.into(),
            proto: protocol::ICMPV6,
            ttl: 255,
            payload: message,
        };
        packet.frame(self.mac, Mac::for_ipv6_multicast(to)).unwrap()
    }

    fn tagged(&self, tpid: u16, inner: Option<u16>) -> Vec<u8> {
        let plain = self.packet(self.v4.into());
        let mut tag = Vec::new();
        for tpid in [Some(tpid), inner].into_iter().flatten() {
            tag.extend(tpid.to_be_bytes());
            tag.extend(7u16.to_be_bytes());
        }
        [&plain[..12], &tag, &plain[12..]].concat()
    }

    fn arp(&self, operation: ArpOperation, sender: (Mac, Ipv4Addr)) -> Vec<u8> {
        let arp = Arp {
            operation,
            sender_mac: sender.0,
            sender_ip: sender.1,
            target_mac: self.to_mac,
            target_ip: self.to4,
        };
        let mut frame = arp.frame(Mac::BROADCAST);
        frame[6..12].copy_from_slice(&self.mac.0);
        frame
    }

    fn spoofed(&self) -> Vec<Case> {
        let other = Mac([0xfa, 0x16, 0x3e, 9, 9, 9]);
        let mut wrong_mac = self.packet(self.v4.into());
        wrong_mac[6..12].copy_from_slice(&other.0);
        let mut group_mac = self.packet(self.v6.into());
        group_mac[6..12].copy_from_slice(&Mac::BROADCAST.0);
        let (gateway4, gateway6) = self.gateway;
        let everyone = IpAddr::V6(nd::ALL_NODES);
        let router = Icmp {
            kind: icmp6::ROUTER_ADVERTISEMENT,
            code: 0,
            rest: [64, 0, 7, 8],
            body: &[0; 8],
        };
        let local = self.mac.link_local();
        let claim = [&gateway6.octets()[..], &[2, 1], &self.mac.0].concat();
        let claim = Icmp {
            kind: icmp6::NEIGHBOR_ADVERTISEMENT,
            code: 0,
            rest: [0x20, 0, 0, 0],
            body: &claim,
        };
        let claim = claim.message(local.into(), everyone);
        let advertisement = router.message(local.into(), everyone);
        vec![
            ("another's MAC", "spoofed_mac", wrong_mac),
            ("a group's MAC", "spoofed_mac", group_mac),
            (
                "the peer's IPv4",
                "spoofed_ip",
                self.packet(self.to4.into()),
            ),
            (
                "loopback",
                "spoofed_ip",
                self.packet(Ipv4Addr::LOCALHOST.into()),
            ),
            (
                "the peer's IPv6",
                "spoofed_ip",
                self.packet(self.to6.into()),
            ),
            (
                "unspecified IPv6",
                "spoofed_ip",
                self.packet(Ipv6Addr::UNSPECIFIED.into()),
            ),
            (
                "ARP for the gateway",
                "spoofed_arp",
                self.arp(ArpOperation::Reply, (self.mac, gateway4)),
            ),
            (
                "ARP with another's MAC",
                "spoofed_arp",
                self.arp(ArpOperation::Request, (other, self.v4)),
            ),
            (
                "ND for the gateway",
                "spoofed_nd",
                self.icmp6(&claim, local, nd::ALL_NODES),
            ),
            (
                "a router advertisement",
                "spoofed_nd",
                self.icmp6(&advertisement, local, nd::ALL_NODES),
            ),
        ]
    }

    fn malformed(&self) -> Vec<Case> {
        let good4 = self.packet(self.v4.into());
        let good6 = self.packet(self.v6.into());
        let mut long6 = good6.clone();
        long6[18] = 0xff;
        let mut version6 = good6.clone();
        version6[14] = 0x40;
        let mut checksum = good4.clone();
        checksum[24] ^= 0xff;
        let short_tcp = [0, 80, 0, 81, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 2];
        let short = Ipv4::build(self.v4, self.to4, protocol::TCP, 64, &short_tcp).unwrap();
        vec![
            (
                "an empty IPv4 packet",
                "malformed",
                self.frame(ethertype::IPV4, &[]),
            ),
            ("half an IPv4 header", "malformed", good4[..24].to_vec()),
            ("half an IPv6 header", "malformed", good6[..30].to_vec()),
            (
                "an IPv4 header of 4 words",
                "malformed",
                self.header4(0, 0x44),
            ),
            ("IPv4 that says 6", "malformed", self.header4(0, 0x65)),
            ("IPv6 that says 4", "malformed", version6),
            (
                "IPv4 longer than its frame",
                "malformed",
                self.header4(2, 0xff),
            ),
            ("IPv6 longer than its frame", "malformed", long6),
            (
                "a TCP header cut short",
                "malformed",
                self.frame(ethertype::IPV4, &short),
            ),
            ("a wrong header checksum", "bad_checksum", checksum),
            (
                "IPv4's reserved flag",
                "bad_checksum",
                self.header4(6, 0x80),
            ),
        ]
    }

    fn odd(&self) -> Vec<Case> {
        const DESTINATION: u8 = 60;
        const ROUTING: u8 = 43;
        let chain = [DESTINATION, 0, 1, 4, 0, 0, 0, 0].repeat(12);
        let routing = [protocol::UDP, 0, 0, 1, 0, 0, 0, 0];
        let answer = Udp {
            sport: 67,
            dport: 68,
            payload: MARK,
        };
        let broadcast = IpAddr::V4(Ipv4Addr::BROADCAST);
        let answer = answer.datagram(self.v4.into(), broadcast).unwrap();
        let answer = IpPacket {
            src: self.v4.into(),
            dst: broadcast,
            proto: protocol::UDP,
            ttl: 64,
            payload: &answer,
        };
        vec![
            ("a VLAN tag", "vlan_tagged", self.tagged(0x8100, None)),
            (
                "two VLAN tags",
                "vlan_tagged",
                self.tagged(0x88a8, Some(0x8100)),
            ),
            ("LLDP", "ethertype", self.frame(0x88cc, MARK)),
            ("MPLS", "ethertype", self.frame(0x8847, MARK)),
            (
                "many headers",
                "extension_headers",
                self.extended(DESTINATION, &chain),
            ),
            (
                "a routing header",
                "extension_headers",
                self.extended(ROUTING, &routing),
            ),
            (
                "a later fragment",
                "fragment_unknown",
                self.header4(7, 0x20),
            ),
            (
                "an answer of DHCP",
                "dhcp_server",
                answer.frame(self.mac, Mac::BROADCAST).unwrap(),
            ),
        ]
    }
}

fn contains_mark(frame: &[u8]) -> bool {
    frame.windows(MARK.len()).any(|w| w == MARK)
}

fn assert_no_leak(ears: &[(&str, RawSocket)], what: &str) {
    for (name, ear) in ears {
        let leaked = ear.receive(LEAK, contains_mark).unwrap();
        assert!(leaked.is_none(), "{what} reached {name}: {leaked:02x?}");
    }
}

#[test]
fn hostile_frames_are_dropped_by_name_and_reach_nobody() {
    let mut scene = scene();
    let forge = Forge::new(&scene);
    let raw = scene.hostile.vm.raw().unwrap();
    let listeners = [&scene.peer].into_iter().chain(&scene.others);
    let ears: Vec<(&str, RawSocket)> = listeners
        .map(|g| (g.vm.name(), g.vm.raw().unwrap()))
        .collect();
    // the ears hear: an honest packet arrives at the peer and nowhere else
    raw.send(&forge.packet(forge.v4.into())).unwrap();
    let heard = ears[0]
        .1
        .receive(Duration::from_secs(5), contains_mark)
        .unwrap();
    assert!(heard.is_some(), "an honest packet did not arrive");
    assert_no_leak(&ears, "an honest packet's copy");

    let cases = [forge.spoofed(), forge.malformed(), forge.odd()].concat();
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| drop_failure(&scene.world, &raw, case))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_no_leak(&ears, "a hostile frame");

    let pid = scene.world.agents[0].pid();
    send_noise(&raw, &forge);
    assert_no_leak(&ears[2..], "noise");
    assert!(scene.world.agents[0].is_running() && scene.world.agents[0].pid() == pid);
    for ip in scene.peer.addresses() {
        scene
            .hostile
            .vm
            .ping_until(ip, Duration::from_secs(10))
            .unwrap();
    }
}

/// Sends a frame and waits until it is counted; says what was counted in its place.
fn drop_failure(world: &World, raw: &RawSocket, (what, reason, frame): &Case) -> Option<String> {
    let before = world.local(0, "/drops");
    let counted = world.drops(0, reason);
    raw.send(frame).unwrap();
    let more = || (world.drops(0, reason) > counted).then_some(());
    until(what, Duration::from_secs(2), more).err()?;
    let after = world.local(0, "/drops");
    let other: Vec<_> = after.iter().filter(|d| !before.contains(d)).collect();
    Some(format!("{what} is not counted as {reason}, but: {other:?}"))
}

/// Frames of random bytes behind headers that are right enough to be looked into.
fn send_noise(raw: &RawSocket, forge: &Forge) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        // xorshift: the same noise every time
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let seeds = [forge.packet(forge.v4.into()), forge.packet(forge.v6.into())];
    for n in 0..NOISE {
        let mut frame = seeds[n % 2].clone();
        for _ in 0..1 + random() % 8 {
            let at = 12 + (random() as usize) % (frame.len() - 12);
            frame[at] = random() as u8;
        }
        frame.truncate(14 + (random() as usize) % (frame.len() - 13));
        // a full queue is the kernel's business
        let _ = raw.send(&frame);
    }
}

/// Frames a second of a flood, and frames of each kind: `midonet-bench hostile` sends a million.
const FLOOD_RATE: u32 = 20_000;
const SCANNED: u32 = 60_000;
const FLOODED: u32 = 20_000;
/// What a neighbour may lose.
const LOST: f64 = 0.05;

#[test]
fn a_neighbour_does_not_lose_what_a_flood_costs() {
    let mut siege = Siege::new();
    // what the neighbour needs is known before the flood begins
    siege.calm(LEAK);
    for flood in Flood::ALL {
        let count = if flood == Flood::Scan {
            SCANNED
        } else {
            FLOODED
        };
        let seen = siege.under(flood, count, FLOOD_RATE);
        println!("{}: {seen:?}", flood.name());
        assert!(seen.steady.loss() < LOST, "{}: {seen:?}", flood.name());
        assert!(seen.openings.loss() < LOST, "{}: {seen:?}", flood.name());
        let [connections, decisions, stations] = seen.tables;
        assert!(connections <= CONNECTIONS, "{connections}");
        assert!(decisions < bpf_abi::ACTIONS_MAX as usize, "{decisions}");
        assert!(stations <= topology::STATIONS_PER_PORT, "{stations}");
        // what did not pass has a name; what the flood's kind makes of it is known
        let expected = match flood {
            Flood::Scan => None,
            Flood::Sweep => Some("no_route"),
            Flood::Macs => None,
            Flood::Arp | Flood::Neighbors | Flood::Dhcp => Some("upcall_rate"),
        };
        let counted = expected.is_none_or(|reason| seen.drops.contains_key(reason));
        assert!(counted, "{}: {:?}", flood.name(), seen.drops);
    }
    assert!(siege.stands());
}
