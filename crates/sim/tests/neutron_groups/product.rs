//! The product as the model's opposite: requests as Neutron sends them, what the cluster makes of
//! them, the simulation, and the kernel program's memory of connections (`docs/adr/0003`).

use crate::model::{Cloud, Kind, L4, Net, Packet, Port, Remote, Rule, Tuple, Way};
use api::neutron::{Kind as Resource, Resource as Body};
use bpf_abi::{ConnKey, FLAG_ICMP_ERROR, FlowKey, STATE_FORWARD, STATE_REPLY, reverse_ports};
use flow::Verdict;
use neutron_model::{Request, State, plan};
use serde_json::{Value, json};
use sim::testing::{Frame, Payload};
use sim::{Ingress, simulate};
use std::{collections::HashMap, net::IpAddr};
use topology::PortId;
use uuid::Uuid;
use wire::{Icmp, Mac, protocol, tcp_flag};

const NETWORK: u128 = 1;
const SUBNET_V4: u128 = 2;
const SUBNET_V6: u128 = 3;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn group_id(n: usize) -> Uuid {
    id(100 + n as u128)
}

fn addresses_id(n: usize) -> Uuid {
    id(200 + n as u128)
}

fn port_id(n: usize) -> Uuid {
    id(300 + n as u128)
}

fn rule_id(n: u32) -> Uuid {
    id(1000 + u128::from(n))
}

fn mac(port: usize) -> Mac {
    Mac([0xfa, 0x16, 0x3e, 0, 0, port as u8])
}

/// The cluster's state, and what the kernel programs remember.
pub struct Product {
    state: State,
    entries: HashMap<ConnKey, u8>,
}

impl Product {
    pub fn of(cloud: &Cloud) -> Self {
        let mut product = Self {
            state: State::default(),
            entries: HashMap::new(),
        };
        product.put(Resource::Network, json!({"id": id(NETWORK)}));
        for (n, version, cidr) in [(SUBNET_V4, 4, "10.0.0.0/24"), (SUBNET_V6, 6, "fd00::/64")] {
            let subnet = json!({"id": id(n), "network_id": id(NETWORK), "cidr": cidr,
                                "ip_version": version, "enable_dhcp": false});
            product.put(Resource::Subnet, subnet);
        }
        for (n, nets) in cloud.addresses.iter().enumerate() {
            product.put_addresses(n, nets);
        }
        for (n, group) in cloud.groups.iter().enumerate() {
            let body = json!({"id": group_id(n), "stateful": group.stateful});
            product.put(Resource::SecurityGroup, body);
        }
        for (n, group) in cloud.groups.iter().enumerate() {
            for (id, rule) in &group.rules {
                product.add_rule(n, *id, rule);
            }
        }
        for (n, port) in cloud.ports.iter().enumerate() {
            product.put_port(n, port);
        }
        product
    }

    /// Creates or updates.
    fn put(&mut self, kind: Resource, body: Value) {
        let resource = Body::decode(kind, body).unwrap();
        let request = match self.state.neutron.get(kind, resource.id()) {
            Some(_) => Request::Update(resource),
            None => Request::Create(resource),
        };
        self.run(&request);
    }

    fn run(&mut self, request: &Request) {
        for op in plan(request, &self.state).unwrap() {
            self.state.apply(op, 1);
        }
    }

    pub fn put_addresses(&mut self, n: usize, nets: &[Net]) {
        let nets: Vec<String> = nets.iter().map(text).collect();
        let body = json!({"id": addresses_id(n), "addresses": nets});
        self.put(Resource::AddressGroup, body);
    }

    pub fn put_port(&mut self, n: usize, port: &Port) {
        let fixed: Vec<Value> = port
            .addresses
            .iter()
            .map(|ip| {
                let subnet = if ip.is_ipv4() { SUBNET_V4 } else { SUBNET_V6 };
                json!({"subnet_id": id(subnet), "ip_address": ip})
            })
            .collect();
        let pairs: Vec<Value> = port
            .pairs
            .iter()
            .map(|net| json!({"ip_address": text(net)}))
            .collect();
        let groups = port.groups.iter().flatten().map(|g| group_id(*g));
        let groups: Vec<Uuid> = groups.collect();
        let body = json!({
            "id": port_id(n), "network_id": id(NETWORK), "mac_address": mac(n).to_string(),
            "fixed_ips": fixed, "allowed_address_pairs": pairs, "security_groups": groups,
            "port_security_enabled": port.groups.is_some(), "device_owner": "compute:nova",
            "binding:host_id": format!("host{}", n % 2),
        });
        self.put(Resource::Port, body);
    }

    pub fn add_rule(&mut self, group: usize, id: u32, rule: &Rule) {
        let mut body = json!({
            "id": rule_id(id), "security_group_id": group_id(group),
            "direction": if rule.way == Way::Ingress { "ingress" } else { "egress" },
            "ethertype": if rule.version == 4 { "IPv4" } else { "IPv6" },
            "protocol": rule.protocol, "port_range_min": rule.min, "port_range_max": rule.max,
        });
        match &rule.remote {
            Remote::Any => {}
            Remote::Prefix(net) => body["remote_ip_prefix"] = json!(text(net)),
            Remote::Group(n) => body["remote_group_id"] = json!(group_id(*n)),
            Remote::Addresses(n) => body["remote_address_group_id"] = json!(addresses_id(*n)),
        }
        self.put(Resource::SecurityGroupRule, body);
    }

    pub fn remove_rule(&mut self, id: u32) {
        self.run(&Request::Delete(Resource::SecurityGroupRule, rule_id(id)));
    }

    /// Whether a packet passes, as the kernel program of its sender's host would have it.
    pub fn passes(&mut self, packet: &Packet) -> bool {
        let bytes = frame(packet).bytes();
        let parsed = flow::parse(&bytes).unwrap().key;
        assert_eq!(
            parsed.flags & FLAG_ICMP_ERROR != 0,
            packet.kind == Kind::Error
        );
        let key = FlowKey {
            in_port: packet.from as u32,
            ..parsed
        };
        let entry = self.entries.get(&tuple(&key)).copied();
        let state = match packet.kind {
            Kind::Syn => STATE_FORWARD,
            Kind::Ordinary | Kind::Error => entry.unwrap_or(STATE_FORWARD),
        };
        let key = FlowKey { state, ..key };
        if packet.kind == Kind::Error && entry == Some(STATE_FORWARD) {
            // the kernel finds the connection's entry, and does what is done to its packets
            let flags = key.flags & !FLAG_ICMP_ERROR;
            let packet = self.judge(packet, FlowKey { flags, ..key }, &bytes);
            if packet.is_some() {
                return true;
            }
        }
        match self.judge(packet, key, &bytes) {
            Some((track, reply)) => {
                if packet.kind != Kind::Error {
                    self.note(packet.to, &key, track, reply);
                }
                true
            }
            None => false,
        }
    }

    /// Whether it is tracked and a reply; none if it does not pass.
    fn judge(&self, packet: &Packet, key: FlowKey, frame: &[u8]) -> Option<(bool, bool)> {
        let ingress = Ingress::Port(PortId(port_id(packet.from)));
        let asked = sim::Packet {
            key,
            frame,
            gso_size: 0,
        };
        match simulate(&self.state.topology, ingress, &asked).verdict {
            Verdict::Forward {
                to, track, reply, ..
            } => {
                assert_eq!(to.port(), Some(PortId(port_id(packet.to))));
                Some((track, reply))
            }
            Verdict::Drop { reason, .. } => {
                assert!(reason.name().starts_with("security_group") || packet.kind == Kind::Error);
                None
            }
            other => panic!("{other:?}"),
        }
    }

    fn note(&mut self, to: usize, key: &FlowKey, track: bool, reply: bool) {
        let state = if reply { STATE_REPLY } else { STATE_FORWARD };
        self.entries.insert(tuple(key), state);
        let ports = reverse_ports(key.proto, key.sport, key.dport);
        if let (true, Some((sport, dport))) = (track, ports) {
            let turned = FlowKey {
                in_port: to as u32,
                src: key.dst,
                dst: key.src,
                sport,
                dport,
                ..*key
            };
            self.entries.insert(tuple(&turned), STATE_REPLY);
        }
    }
}

fn text(net: &Net) -> String {
    format!("{}/{}", net.0, net.1)
}

fn tuple(key: &FlowKey) -> ConnKey {
    ConnKey {
        in_port: key.in_port,
        family: key.family,
        proto: key.proto,
        pad: 0,
        src: key.src,
        dst: key.dst,
        sport: key.sport,
        dport: key.dport,
    }
}

fn frame(packet: &Packet) -> Frame {
    match packet.kind {
        Kind::Error => error_frame(packet),
        _ => plain_frame(packet.from, packet.to, &packet.tuple, packet.kind),
    }
}

fn plain_frame(from: usize, to: usize, tuple: &Tuple, kind: Kind) -> Frame {
    let flags = match kind {
        Kind::Syn => tcp_flag::SYN,
        _ => tcp_flag::ACK,
    };
    let mut bytes = vec![0; 20];
    let payload = match tuple.l4 {
        L4::Ports { src, dst } if tuple.proto == protocol::TCP => Payload::Tcp(src, dst, flags),
        L4::Ports { src, dst } if tuple.proto == protocol::UDP => Payload::Udp(src, dst, vec![]),
        L4::Ports { src, dst } => {
            bytes[..2].copy_from_slice(&src.to_be_bytes());
            bytes[2..4].copy_from_slice(&dst.to_be_bytes());
            Payload::Other(tuple.proto, bytes)
        }
        L4::Icmp { kind, code, id } => {
            bytes[..2].copy_from_slice(&[kind, code]);
            bytes[4..6].copy_from_slice(&id.to_be_bytes());
            Payload::Other(tuple.proto, bytes)
        }
        L4::None => Payload::Other(tuple.proto, bytes),
    };
    let (src, dst) = (tuple.src, tuple.dst);
    ethernet(from, to, src, dst, payload)
}

/// Port or address unreachable, about a packet of the receiver.
fn error_frame(packet: &Packet) -> Frame {
    let (src, dst) = (packet.tuple.src, packet.tuple.dst);
    let about = packet.tuple.turned().unwrap();
    let quoted = plain_frame(packet.to, packet.from, &about, Kind::Ordinary).bytes();
    let (proto, kind, code) = match src {
        IpAddr::V4(_) => (protocol::ICMP, 3, 3),
        IpAddr::V6(_) => (protocol::ICMPV6, 1, 4),
    };
    let error = Icmp {
        kind,
        code,
        rest: [0; 4],
        body: &quoted[14..],
    };
    let message = error.message(src, dst);
    ethernet(
        packet.from,
        packet.to,
        src,
        dst,
        Payload::Other(proto, message),
    )
}

fn ethernet(from: usize, to: usize, src: IpAddr, dst: IpAddr, payload: Payload) -> Frame {
    Frame {
        smac: mac(from),
        dmac: mac(to),
        src,
        dst,
        ttl: 64,
        payload,
    }
}
