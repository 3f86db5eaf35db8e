//! Security groups as the text of Neutron's API has them, in as few words as possible, and without
//! a look at how the product does it.
//!
//! - A rule allows packets of one direction, seen from the VM. What no rule of any of the port's
//!   groups allows does not pass; a port without port security has no rules to obey.
//! - A stateful group also allows the answers to what it allows, and the ICMP errors about it; a
//!   stateless one only what a rule says. A connection lasts while it is allowed.
//! - A rule may name an IP version, a protocol by name or number, destination ports or ICMP type
//!   and code, and the other end: a prefix, the members of a group (their fixed addresses and
//!   allowed pairs), or the addresses of an address group.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

/// Seen from the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Ingress,
    Egress,
}

/// `security_group_rule`.
#[derive(Clone, Debug)]
pub struct Rule {
    pub way: Way,
    pub version: u8,
    pub protocol: Option<&'static str>,
    pub min: Option<u16>,
    pub max: Option<u16>,
    pub remote: Remote,
}

#[derive(Clone, Debug)]
pub enum Remote {
    Any,
    Prefix(Net),
    Group(usize),
    Addresses(usize),
}

/// `remote_ip_prefix`, perhaps with host bits.
#[derive(Clone, Copy, Debug)]
pub struct Net(pub IpAddr, pub u32);

/// `security_group`.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub stateful: bool,
    pub rules: BTreeMap<u32, Rule>,
}

/// `port`. No groups at all: `port_security_enabled` is false.
#[derive(Clone, Debug)]
pub struct Port {
    pub groups: Option<Vec<usize>>,
    pub addresses: Vec<IpAddr>,
    pub pairs: Vec<Net>,
}

/// What tells one connection from another, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub proto: u8,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub l4: L4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum L4 {
    Ports { src: u16, dst: u16 },
    Icmp { kind: u8, code: u8, id: u16 },
    None,
}

/// A packet from one port to another.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    pub from: usize,
    pub to: usize,
    pub tuple: Tuple,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ordinary,
    /// Begins a TCP connection, whatever there was before.
    Syn,
    /// An ICMP error from the receiver of a packet with this tuple, turned round.
    Error,
}

/// Everything, with what the VMs have said so far.
#[derive(Clone, Debug, Default)]
pub struct Cloud {
    pub groups: Vec<Group>,
    pub addresses: Vec<Vec<Net>>,
    pub ports: Vec<Port>,
    /// Connections that were opened from a port, and to a port.
    opened_by: HashSet<(usize, Tuple)>,
    opened_to: HashSet<(usize, Tuple)>,
}

impl Cloud {
    /// Nobody has said anything yet.
    pub fn new(groups: Vec<Group>, addresses: Vec<Vec<Net>>, ports: Vec<Port>) -> Self {
        Self {
            groups,
            addresses,
            ports,
            ..Self::default()
        }
    }

    /// Whether a packet passes. It is remembered.
    pub fn passes(&mut self, packet: &Packet) -> bool {
        if packet.kind == Kind::Error {
            return self.error_passes(packet);
        }
        let may_be_answer = packet.kind != Kind::Syn && self.is_guarded(packet);
        if may_be_answer && self.is_answer(packet) && self.may_answer(packet) {
            return true;
        }
        let opens = self.may_open(packet);
        if opens {
            self.remember(packet);
        }
        opens
    }

    fn remember(&mut self, packet: &Packet) {
        self.opened_by.insert((packet.from, packet.tuple));
        if let Some(turned) = packet.tuple.turned() {
            self.opened_to.remove(&(packet.from, turned));
        }
        if self.tracks(packet.from) || self.tracks(packet.to) {
            self.opened_to.insert((packet.to, packet.tuple));
            if let Some(turned) = packet.tuple.turned() {
                self.opened_by.remove(&(packet.to, turned));
            }
        }
    }

    /// Between ports without port security nobody asks who began.
    fn is_guarded(&self, packet: &Packet) -> bool {
        let ends = [packet.from, packet.to];
        ends.iter().any(|end| self.ports[*end].groups.is_some())
    }

    fn is_answer(&self, packet: &Packet) -> bool {
        let asked = packet.tuple.turned().map(|t| (packet.from, t));
        asked.is_some_and(|asked| self.opened_to.contains(&asked))
    }

    fn may_open(&self, packet: &Packet) -> bool {
        let Packet { from, to, .. } = *packet;
        self.allows(from, Way::Egress, packet, false)
            && self.allows(to, Way::Ingress, packet, false)
    }

    /// Each end that knows connections must allow what is answered, each other end the packet.
    fn may_answer(&self, packet: &Packet) -> bool {
        let Some(tuple) = packet.tuple.turned() else {
            return false;
        };
        let opening = Packet {
            from: packet.to,
            to: packet.from,
            tuple,
            kind: Kind::Ordinary,
        };
        let end = |port, own, opened| match self.tracks(port) {
            true => self.allows(port, opened, &opening, true),
            false => self.allows(port, own, packet, false),
        };
        end(packet.from, Way::Egress, Way::Ingress) && end(packet.to, Way::Ingress, Way::Egress)
    }

    /// An error passes as the packets of its connection in its direction do. If nobody knows
    /// connections, rules for errors are good as well.
    fn error_passes(&self, error: &Packet) -> bool {
        if self.is_answer(error) && self.may_answer(error) {
            return true;
        }
        let packet = Packet {
            kind: Kind::Ordinary,
            ..*error
        };
        if self.opened_by.contains(&(error.from, error.tuple)) && self.may_open(&packet) {
            return true;
        }
        !self.tracks(error.from) && !self.tracks(error.to) && self.may_open(error)
    }

    fn tracks(&self, port: usize) -> bool {
        let groups = self.ports[port].groups.iter().flatten();
        groups.into_iter().any(|g| self.groups[*g].stateful)
    }

    fn allows(&self, port: usize, way: Way, packet: &Packet, stateful_only: bool) -> bool {
        let Some(groups) = &self.ports[port].groups else {
            return true;
        };
        let groups = groups.iter().map(|g| &self.groups[*g]);
        let mut rules = groups
            .filter(|g| g.stateful || !stateful_only)
            .flat_map(|g| g.rules.values());
        rules.any(|rule| rule.way == way && self.matches(rule, packet))
    }

    fn matches(&self, rule: &Rule, packet: &Packet) -> bool {
        let version = if packet.tuple.src.is_ipv4() { 4 } else { 6 };
        let other = match rule.way {
            Way::Ingress => packet.tuple.src,
            Way::Egress => packet.tuple.dst,
        };
        let transport = rule.matches_transport(&packet.tuple)
            || (packet.kind == Kind::Error && rule.is_for_errors());
        rule.version == version && transport && self.is_remote(&rule.remote, other)
    }

    fn is_remote(&self, remote: &Remote, ip: IpAddr) -> bool {
        match remote {
            Remote::Any => true,
            Remote::Prefix(net) => net.has(ip),
            Remote::Addresses(group) => self.addresses[*group].iter().any(|net| net.has(ip)),
            Remote::Group(group) => self.ports.iter().any(|port| {
                let is_member = port.groups.iter().flatten().any(|g| g == group);
                is_member && (port.addresses.contains(&ip) || port.pairs.iter().any(|n| n.has(ip)))
            }),
        }
    }
}

impl Rule {
    fn matches_transport(&self, tuple: &Tuple) -> bool {
        let Some(number) = self.number() else {
            return true;
        };
        let in_range = match (tuple.l4, self.min) {
            (_, None) => true,
            (L4::Ports { dst, .. }, Some(min)) => {
                min <= dst && self.max.is_none_or(|max| dst <= max)
            }
            (L4::Icmp { kind, code, .. }, Some(wanted)) => {
                u16::from(kind) == wanted && self.max.is_none_or(|max| u16::from(code) == max)
            }
            (L4::None, Some(_)) => false,
        };
        number == tuple.proto && in_range
    }

    /// Allows ICMP, or a type of it that is an error.
    fn is_for_errors(&self) -> bool {
        let (icmp, errors): (u8, &[u16]) = match self.version {
            4 => (1, &[3, 11, 12]),
            _ => (58, &[1, 2, 3, 4]),
        };
        self.number() == Some(icmp) && self.min.is_none_or(|kind| errors.contains(&kind))
    }

    /// The protocol's number; none for every protocol.
    fn number(&self) -> Option<u8> {
        let text = self.protocol?;
        let number = PROTOCOLS.iter().find(|(name, _)| *name == text);
        let number = number.map_or_else(|| text.parse().unwrap(), |(_, number)| *number);
        match (number, self.version) {
            (0, _) => None,
            (1, 6) => Some(58),
            (number, _) => Some(number),
        }
    }
}

/// "Valid string or integer values": the names of the API's reference.
pub const PROTOCOLS: &[(&str, u8)] = &[
    ("any", 0),
    ("ip", 0),
    ("hopopt", 0),
    ("ah", 51),
    ("dccp", 33),
    ("egp", 8),
    ("esp", 50),
    ("gre", 47),
    ("icmp", 1),
    ("icmpv6", 58),
    ("igmp", 2),
    ("ipip", 4),
    ("ipv6-encap", 41),
    ("ipv6-frag", 44),
    ("ipv6-icmp", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("ipv6-route", 43),
    ("ospf", 89),
    ("pgm", 113),
    ("rsvp", 46),
    ("sctp", 132),
    ("tcp", 6),
    ("udp", 17),
    ("udplite", 136),
    ("vrrp", 112),
];

impl Net {
    pub fn has(&self, ip: IpAddr) -> bool {
        fn leading(ip: IpAddr, len: u32) -> (bool, u128) {
            let (bits, width) = match ip {
                IpAddr::V4(ip) => (u128::from(u32::from(ip)), 32),
                IpAddr::V6(ip) => (u128::from(ip), 128),
            };
            (ip.is_ipv4(), bits.checked_shr(width - len).unwrap_or(0))
        }
        self.0.is_ipv4() == ip.is_ipv4() && leading(self.0, self.1) == leading(ip, self.1)
    }
}

impl Tuple {
    /// That of an answer; ICMP messages other than queries have none.
    pub fn turned(&self) -> Option<Tuple> {
        const QUERIES: [(u8, u8, u8); 5] = [
            (1, 8, 0),
            (1, 13, 14),
            (1, 15, 16),
            (1, 17, 18),
            (58, 128, 129),
        ];
        let l4 = match self.l4 {
            L4::Ports { src, dst } => L4::Ports { src: dst, dst: src },
            L4::None => L4::None,
            L4::Icmp { kind, code, id } => {
                let kind = QUERIES.iter().find_map(|&(proto, query, answer)| {
                    match (proto == self.proto, kind) {
                        (true, k) if k == query => Some(answer),
                        (true, k) if k == answer => Some(query),
                        _ => None,
                    }
                })?;
                L4::Icmp { kind, code, id }
            }
        };
        let (src, dst) = (self.dst, self.src);
        Some(Tuple {
            src,
            dst,
            l4,
            ..*self
        })
    }
}

impl Port {
    /// Whether the VM may send from an address.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.groups.is_none()
            || self.addresses.contains(&ip)
            || self.pairs.iter().any(|net| net.has(ip))
    }
}
