//! Security groups through a real Neutron, in both families, within a host and across hosts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e::{Cloud, CloudNetwork, Guest, text};
use lab::{Echo, Probe, Stream, until};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};
use wire::{Arp, ArpOperation, Icmp, IpPacket, Mac, Udp, icmp6, nd, protocol};

/// How long an answer that must come may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long to wait for one that must not come.
const SILENCE: Duration = Duration::from_millis(300);
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const DIRECTIONS: [&str; 2] = ["ingress", "egress"];
/// Protocols as Neutron's API names them; those of IPv6 come after the first two dozen.
const NAMES: [&str; 20] = [
    "any", "ip", "hopopt", "0", "ah", "dccp", "egp", "esp", "gre", "icmp", "igmp", "ipip", "ospf",
    "pgm", "rsvp", "sctp", "tcp", "udp", "udplite", "vrrp",
];
const NAMES_V6: [&str; 8] = [
    "icmp",
    "icmpv6",
    "ipv6-icmp",
    "ipv6-encap",
    "ipv6-frag",
    "ipv6-nonxt",
    "ipv6-opts",
    "ipv6-route",
];

/// A client that may send everything, and two servers whose group lets in what a test says: one on
/// the client's host, one on the other.
struct Scene {
    _echoes: Vec<Echo>,
    client: Guest,
    servers: [Guest; 2],
    /// The group of the servers, and one that the client joins at times.
    web: String,
    friends: String,
    open: String,
    network: CloudNetwork,
    cloud: Cloud,
}

/// One OpenStack for all of it: starting one is most of the cost.
#[test]
fn groups_do_what_neutron_says() {
    let scene = scene();
    scene.members_of_the_default_group_let_in_each_other_only();
    scene.what_a_rule_allows_passes_and_is_answered();
    scene.a_rule_that_goes_ends_its_own_connections();
    scene.members_of_a_remote_group_come_and_go();
    scene.addresses_of_a_remote_address_group_come_and_go();
    scene.a_stateless_group_needs_rules_for_answers();
    scene.errors_of_an_allowed_sender_reach_it();
    scene.fragments_follow_their_first();
    scene.every_name_of_a_protocol_is_known();
    scene.a_vm_speaks_for_itself_only();
}

fn scene() -> Scene {
    let cloud = Cloud::new(2);
    let network = cloud.network("net", 1);
    let [web, friends, open] = ["web", "friends", "open"].map(|name| cloud.bare_group(name));
    for family in FAMILIES {
        cloud.rule(&open, json!({"direction": "egress", "ethertype": family}));
    }
    let plug = |name: &str, host, group: &String| {
        cloud.guest(name, host, &network, json!({"security_groups": [group]}))
    };
    let client = plug("client", 0, &open);
    let servers = [plug("near", 0, &web), plug("far", 1, &web)];
    let tcp = |s: &Guest| [80, 81, 82, 83].map(|port| s.vm.echo_tcp(port).unwrap());
    let mut echoes: Vec<Echo> = servers.iter().flat_map(tcp).collect();
    echoes.extend(servers.iter().map(|s| s.vm.echo_udp(7000).unwrap()));
    echoes.push(client.vm.echo_tcp(80).unwrap());
    Scene {
        _echoes: echoes,
        client,
        servers,
        web,
        friends,
        open,
        network,
        cloud,
    }
}

/// A rule for one port of TCP.
fn tcp(port: u16, family: &str, extra: Value) -> Value {
    transport("tcp", (port, port), family, extra)
}

/// An ingress rule for ports.
fn transport(protocol: &str, (min, max): (u16, u16), family: &str, extra: Value) -> Value {
    let mut rule = json!({
        "direction": "ingress", "ethertype": family, "protocol": protocol,
        "port_range_min": min, "port_range_max": max,
    });
    for (key, value) in extra.as_object().into_iter().flatten() {
        rule[key] = value.clone();
    }
    rule
}

impl Scene {
    /// A port of both servers, by both families.
    fn services(&self, port: u16) -> Vec<SocketAddr> {
        let all = self.servers.iter().flat_map(|s| s.services(port));
        all.collect()
    }

    /// Rules of both families for a port of the servers; their ids.
    fn let_in(&self, port: u16, extra: &Value) -> [String; 2] {
        let rules =
            FAMILIES.map(|family| self.cloud.rule(&self.web, tcp(port, family, extra.clone())));
        self.cloud.settle();
        rules
    }

    fn take_back(&self, rules: &[String]) {
        for rule in rules {
            self.cloud.delete("security-group-rule", rule);
        }
    }

    fn answered(&self, port: u16) {
        for to in self.services(port) {
            let probe = self.client.vm.tcp(to, ANSWER).unwrap();
            assert_eq!(probe, Probe::Answered, "{to}");
        }
    }

    fn silent(&self, port: u16) {
        for to in self.services(port) {
            let probe = self.client.vm.tcp(to, SILENCE).unwrap();
            assert_eq!(probe, Probe::Silent, "{to}");
        }
    }

    /// Open connections to a port of both servers, by both families, IPv4 first.
    fn streams(&self, port: u16) -> Vec<Stream> {
        let to = self.services(port).into_iter();
        to.map(|to| self.client.vm.stream(to).unwrap()).collect()
    }

    fn members_of_the_default_group_let_in_each_other_only(&self) {
        let plug = |name, host| self.cloud.guest(name, host, &self.network, json!({}));
        let members = [plug("d1", 0), plug("d2", 0), plug("d3", 1)];
        let _echoes = members.each_ref().map(|m| m.vm.echo_tcp(80).unwrap());
        for to in members[1..].iter().flat_map(|m| m.services(80)) {
            let member = members[0].vm.tcp(to, ANSWER).unwrap();
            let stranger = self.client.vm.tcp(to, SILENCE).unwrap();
            assert_eq!([member, stranger], [Probe::Answered, Probe::Silent], "{to}");
        }
    }

    fn what_a_rule_allows_passes_and_is_answered(&self) {
        self.silent(80);
        let rules = self.let_in(80, &json!({}));
        self.answered(80);
        self.silent(81);
        // answers pass, openings the other way do not: nobody is let in at the client, and the
        // servers may send nothing of their own
        for to in self.client.services(80) {
            for server in &self.servers {
                assert_eq!(server.vm.tcp(to, SILENCE).unwrap(), Probe::Silent, "{to}");
            }
        }
        self.take_back(&rules);
        self.cloud.settle();
        self.silent(80);
    }

    fn a_rule_that_goes_ends_its_own_connections(&self) {
        let kept = self.let_in(80, &json!({}));
        let doomed = self.let_in(81, &json!({}));
        let (living, dying) = (self.streams(80), self.streams(81));
        goes_on(&living);
        goes_on(&dying);
        self.take_back(&doomed);
        stop(&dying);
        goes_on(&living);
        self.silent(81);
        self.take_back(&kept);
        stop(&living);
    }

    fn join(&self, groups: &[&String]) {
        let port = self.client.vm.port().to_string();
        self.cloud
            .update("port", &port, json!({ "security_groups": groups }));
    }

    fn members_of_a_remote_group_come_and_go(&self) {
        let others = self.let_in(80, &json!({}));
        let rules = self.let_in(82, &json!({"remote_group_id": self.friends}));
        self.silent(82);
        self.join(&[&self.open, &self.friends]);
        self.cloud.settle();
        let (living, dying) = (self.streams(80), self.streams(82));
        goes_on(&dying);
        self.join(&[&self.open]);
        stop(&dying);
        goes_on(&living);
        self.silent(82);
        self.take_back(&rules);
        self.take_back(&others);
    }

    fn addresses_of_a_remote_address_group_come_and_go(&self) {
        let body = json!({"name": "offices", "addresses": ["192.0.2.0/24"]});
        let group = text(&self.cloud.create("address-group", body), "id");
        let change = |what: &str, addresses: &[IpAddr]| {
            let nets: Vec<String> = addresses.iter().map(whole).collect();
            let path = format!("/v2.0/address-groups/{group}/{what}");
            let body = json!({ "addresses": nets });
            self.cloud.neutron.put(&path, &body).unwrap();
        };
        let rules = self.let_in(83, &json!({ "remote_address_group_id": group }));
        self.silent(83);
        let own = self.client.addresses();
        change("add_addresses", &own);
        self.cloud.settle();
        let streams = self.streams(83);
        goes_on(&streams);
        change("remove_addresses", &own[..1]);
        let (v4, v6): (Vec<_>, Vec<_>) = streams
            .into_iter()
            .enumerate()
            .partition(|(i, _)| i % 2 == 0);
        let unnumbered = |all: Vec<(usize, Stream)>| all.into_iter().map(|(_, s)| s).collect();
        let (v4, v6): (Vec<Stream>, Vec<Stream>) = (unnumbered(v4), unnumbered(v6));
        stop(&v4);
        goes_on(&v6);
        let path = format!("/v2.0/address-groups/{group}");
        let used = self.cloud.neutron.send("DELETE", &path, None).unwrap();
        assert_eq!(used.status, 409, "{}", used.body);
        self.take_back(&rules);
        stop(&v6);
        self.cloud.delete("address-group", &group);
        self.cloud.settle();
    }

    fn a_stateless_group_needs_rules_for_answers(&self) {
        let body = json!({"name": "stateless", "stateful": false});
        let group = text(&self.cloud.create("security-group", body), "id");
        let plug = |name: &str, host| {
            let body = json!({"security_groups": [group]});
            self.cloud.guest(name, host, &self.network, body)
        };
        let (asker, servers) = (plug("s1", 0), [plug("s2", 0), plug("s3", 1)]);
        let _echoes = servers.each_ref().map(|s| s.vm.echo_udp(53).unwrap());
        let services: Vec<SocketAddr> = servers.iter().flat_map(|s| s.services(53)).collect();
        let all = |wanted: Probe, limit| {
            for to in &services {
                assert_eq!(asker.vm.udp(*to, limit).unwrap(), wanted, "{to}");
            }
        };
        for family in FAMILIES {
            let rule = transport("udp", (53, 53), family, json!({}));
            self.cloud.rule(&group, rule);
        }
        self.cloud.settle();
        // egress rules came with the group; the answers find no rule
        all(Probe::Silent, SILENCE);
        for family in FAMILIES {
            let rule = transport("udp", (1024, 65_534), family, json!({}));
            self.cloud.rule(&group, rule);
        }
        self.cloud.settle();
        all(Probe::Answered, ANSWER);
        let mixed = json!({"port": {"security_groups": [group, self.open]}});
        let path = format!("/v2.0/ports/{}", asker.vm.port());
        let (status, body) = self.cloud.refused("PUT", &path, &mixed);
        assert_eq!(status, 409, "{body}");
    }

    fn errors_of_an_allowed_sender_reach_it(&self) {
        let rules = FAMILIES.map(|family| {
            let rule = transport("udp", (9000, 9009), family, json!({}));
            self.cloud.rule(&self.web, rule)
        });
        self.cloud.settle();
        for to in self.services(9001) {
            let probe = self.client.vm.udp(to, ANSWER).unwrap();
            assert_eq!(probe, Probe::Refused, "nobody listens at {to}");
        }
        self.take_back(&rules);
        self.cloud.settle();
        for to in self.services(9002) {
            let probe = self.client.vm.udp(to, SILENCE).unwrap();
            assert_eq!(probe, Probe::Silent, "{to} was never asked");
        }
    }

    fn fragments_follow_their_first(&self) {
        let rules = FAMILIES.map(|family| {
            let rule = transport("udp", (7000, 7000), family, json!({}));
            self.cloud.rule(&self.web, rule)
        });
        self.cloud.settle();
        for to in self.services(7000) {
            let large = [7; 2000];
            let exchange = || exchange(to, &large);
            let received = self.client.vm.netns().enter(exchange).unwrap();
            assert_eq!(received.unwrap(), large.len(), "{to}");
        }
        self.take_back(&rules);
    }

    fn every_name_of_a_protocol_is_known(&self) {
        let group = self.cloud.bare_group("protocols");
        let rule = |family: &str, protocol: &str| {
            let [ingress, egress] = DIRECTIONS;
            // Neutron takes two spellings of one protocol for the same rule
            let way = if protocol.parse::<u8>().is_ok() {
                egress
            } else {
                ingress
            };
            let body = json!({"direction": way, "ethertype": family, "protocol": protocol,
                              "security_group_id": group});
            let path = "/v2.0/security-group-rules";
            let body = json!({ "security_group_rule": body });
            let reply = self.cloud.neutron.send("POST", path, Some(&body)).unwrap();
            assert!(
                reply.status == 201 || reply.status == 409,
                "{protocol}: {}",
                reply.body
            );
        };
        for name in NAMES {
            rule("IPv4", name);
        }
        for name in NAMES_V6 {
            rule("IPv6", name);
        }
        for number in ["1", "6", "41", "97", "200", "255"] {
            rule("IPv6", number);
        }
        // Neutron and the cluster agree about all of them
        self.cloud.settle();
        self.cloud.delete("security-group", &group);
    }

    fn a_vm_speaks_for_itself_only(&self) {
        let raw = self.client.vm.raw().unwrap();
        let witness = self.servers[0].vm.raw().unwrap();
        let mac: Mac = self.client.vm.mac().parse().unwrap();
        for (what, reason, frame) in self.lies(mac) {
            let before = self.cloud.drops(0, reason);
            raw.send(&frame).unwrap();
            let counted = || (self.cloud.drops(0, reason) > before).then_some(());
            until(what, ANSWER, counted).unwrap();
            let leaked = witness.receive(SILENCE / 3, |seen| seen.starts_with(&frame));
            assert_eq!(leaked.unwrap(), None, "{what} got through");
        }
    }

    /// What it is, the reason it must be dropped for, and the frame.
    fn lies(&self, mac: Mac) -> Vec<(&'static str, &'static str, Vec<u8>)> {
        let (other, everyone) = (&self.servers[0], nd::ALL_NODES);
        let arp = Arp {
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender_ip: other.v4,
            target_mac: Mac::BROADCAST,
            target_ip: other.v4,
        };
        let link = mac.link_local();
        let claim = [&other.v6.octets()[..], &[2, 1], &mac.0].concat();
        let nd_frame = |kind, rest, body: &[u8]| {
            let message = Icmp {
                kind,
                code: 0,
                rest,
                body,
            };
            let message = message.message(link.into(), everyone.into());
            packet(
                mac,
                link.into(),
                everyone.into(),
                protocol::ICMPV6,
                &message,
            )
        };
        let neighbor = nd_frame(icmp6::NEIGHBOR_ADVERTISEMENT, [0x20, 0, 0, 0], &claim);
        let router = nd_frame(icmp6::ROUTER_ADVERTISEMENT, [64, 0, 7, 8], &[0; 8]);
        let offer = |src: IpAddr, dst: IpAddr, sport, dport| {
            let udp = Udp {
                sport,
                dport,
                payload: &[2; 300],
            };
            let datagram = udp.datagram(src, dst).unwrap();
            packet(mac, src, dst, protocol::UDP, &datagram)
        };
        let [v4, v6] = self.client.addresses();
        let dhcp = offer(v4, Ipv4Addr::BROADCAST.into(), 67, 68);
        let dhcp6 = offer(v6, everyone.into(), 547, 546);
        vec![
            (
                "another's address by ARP",
                "spoofed_arp",
                arp.frame(Mac::BROADCAST),
            ),
            ("another's address by ND", "spoofed_nd", neighbor),
            ("a router advertisement", "spoofed_nd", router),
            ("an answer of a DHCPv4 server", "dhcp_server", dhcp),
            ("an answer of a DHCPv6 server", "dhcp_server", dhcp6),
        ]
    }
}

/// A frame to everybody.
fn packet(mac: Mac, src: IpAddr, dst: IpAddr, proto: u8, payload: &[u8]) -> Vec<u8> {
    let dmac = match dst {
        IpAddr::V4(_) => Mac::BROADCAST,
        IpAddr::V6(ip) => Mac::for_ipv6_multicast(ip),
    };
    let packet = IpPacket {
        src,
        dst,
        proto,
        ttl: 255,
        payload,
    };
    packet.frame(mac, dmac).unwrap()
}

/// An address as the prefix of itself.
fn whole(ip: &IpAddr) -> String {
    format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 })
}

/// Sends a datagram to an echo; answers with the length of what comes back.
fn exchange(to: SocketAddr, message: &[u8]) -> std::io::Result<usize> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(ANSWER))?;
    socket.send(message)?;
    socket.recv(&mut vec![0; 2 * message.len()])
}

fn goes_on(streams: &[Stream]) {
    for stream in streams {
        stream.goes_on(10, ANSWER).unwrap();
    }
}

fn stop(streams: &[Stream]) {
    for stream in streams {
        stream.stops(SILENCE, ANSWER).unwrap();
    }
}
