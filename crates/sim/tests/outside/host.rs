//! What a host's kernel program remembers of connections, and does with packets.

use bpf_abi::{FLAG_TRANSLATED, FlowKey, STATE_FORWARD, STATE_REPLY};
use flow::{Destination, DropReason, Verdict, mapped};
use sim::{Ingress, Packet, simulate};
use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
};
use topology::{Change, Object, PortId, RouterId, Snapshot, Tag, Versioned, block_of};
use wire::{Mac, protocol};

/// Ports of a block that are used here: few, so that they run out.
const PORTS_OF_BLOCK: u16 = 4;

/// Addresses and ports of a TCP segment or a UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    pub proto: u8,
    pub src: (IpAddr, u16),
    pub dst: (IpAddr, u16),
}

impl Tuple {
    pub fn reversed(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            ..self
        }
    }
}

/// A packet on its way.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub tuple: Tuple,
    pub smac: Mac,
    pub dmac: Mac,
    /// A pure SYN.
    pub opens: bool,
}

/// Where a packet comes in, or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    Port(PortId),
    Router(RouterId),
}

/// An entry of the connection table.
#[derive(Clone, Copy, Debug)]
struct Conn {
    reply: bool,
    /// Its packets are judged as this.
    judged_as: Option<Tuple>,
    /// The source that was claimed for it.
    claimed: Option<(IpAddr, u16)>,
}

/// Where a packet goes from a host.
#[derive(Clone, Copy, Debug)]
pub enum Fate<'a> {
    /// It arrives at this port, which is to remember the connection if `track` says so.
    Port {
        port: PortId,
        track: bool,
    },
    /// It goes on at this router, at this host.
    Router {
        router: RouterId,
        host: &'a str,
    },
    Dropped(DropReason),
}

/// One host.
pub struct Host {
    pub name: &'static str,
    /// What it has heard of the topology so far.
    pub snapshot: Snapshot,
    conns: HashMap<(At, Tuple), Conn>,
    /// Ports by their inside ends, of protocols that map independently of the other end.
    mapped: HashMap<(RouterId, u8, (IpAddr, u16)), u16>,
}

impl Host {
    pub fn new(name: &'static str, snapshot: Snapshot) -> Self {
        Self {
            name,
            snapshot,
            conns: HashMap::new(),
            mapped: HashMap::new(),
        }
    }

    /// It hears of a change. Records of a floating IP end with what it was.
    pub fn hear(&mut self, change: Change) -> BTreeSet<Tag> {
        let was = match &change {
            Change::Put(Versioned {
                object: Object::FloatingIp(fip),
                ..
            }) => self.snapshot.floating_ip(fip.id).cloned(),
            _ => None,
        };
        if let Some(fip) = was {
            let at = At::Router(fip.router);
            self.conns
                .retain(|(there, tuple), _| (*there, tuple.dst.0) != (at, fip.address));
        }
        self.snapshot.apply(change)
    }

    /// It forgets everything, as a host does that restarts.
    pub fn forget(&mut self) {
        self.conns.clear();
        self.mapped.clear();
    }

    /// It forgets one of its entries, as a table does that is full.
    pub fn lose(&mut self, n: usize) {
        let mut keys: Vec<_> = self.conns.keys().copied().collect();
        keys.sort_by_key(|(at, tuple)| (format!("{at:?}"), *tuple));
        if !keys.is_empty() {
            self.conns.remove(&keys[n % keys.len()]);
        }
    }

    /// Whether it remembers anything for others: a gateway must not.
    pub fn remembers(&self) -> bool {
        self.conns.values().any(|c| c.reply || c.claimed.is_some()) || !self.mapped.is_empty()
    }

    /// One stage of a packet: what it becomes and where it goes.
    pub fn judge(&mut self, at: At, sent: Sent) -> (Sent, Fate<'_>) {
        let seen = sent.tuple;
        let known = self.conns.get(&(at, seen)).copied();
        let known = known.filter(|c| !(c.reply && sent.opens));
        let mapped = self.mapped_inward(at, seen).filter(|_| known.is_none());
        let judged_as = known.and_then(|c| c.judged_as).or(mapped);
        let tuple = judged_as.unwrap_or(seen);
        let verdict = self.decide(at, &sent, tuple, judged_as.is_some(), known);
        let (to, rewrite, track, record, reply) = match verdict {
            Verdict::Forward {
                to,
                rewrite,
                track,
                record,
                reply,
                ..
            } => (to, rewrite, track, record, reply),
            Verdict::Drop { reason, .. } | Verdict::Refuse { reason, .. } => {
                return (sent, Fate::Dropped(reason));
            }
            other => panic!("{other:?}"),
        };
        let mut out = tuple;
        out.src.0 = rewrite.src.unwrap_or(out.src.0);
        out.dst.0 = rewrite.dst.unwrap_or(out.dst.0);
        out.dst.1 = rewrite.dst_port.unwrap_or(out.dst.1);
        let mut claimed = None;
        if rewrite.snat {
            let router = record.expect("a router whose address it is");
            claimed = self.claim(router, out, known.and_then(|c| c.claimed));
            let Some(source) = claimed else {
                return (sent, Fate::Dropped(DropReason::SnatExhausted));
            };
            out.src = source;
        }
        let here = to.port().and_then(|port| self.snapshot.port(port)?.host()) == Some(self.name);
        if rewrite.dst.is_some() && !reply && !here {
            return (sent, Fate::Dropped(DropReason::OwnerElsewhere));
        }
        let entry = Conn {
            reply,
            judged_as,
            claimed,
        };
        self.conns.insert((at, seen), entry);
        match (record, &to) {
            (Some(router), _) => self.record(At::Router(router), out, seen),
            (None, Destination::Port(port)) if track && here => {
                self.record(At::Port(*port), out, seen);
            }
            _ => {}
        }
        let mut next = Sent { tuple: out, ..sent };
        if rewrite.hops > 0 {
            (next.smac, next.dmac) = (rewrite.smac, rewrite.dmac);
        }
        let fate = match to {
            Destination::Port(port) => Fate::Port {
                port,
                track: track && !here,
            },
            Destination::Router { router, host } => Fate::Router {
                router,
                host: self.name_of(&host),
            },
        };
        (next, fate)
    }

    fn name_of(&self, host: &str) -> &str {
        self.snapshot.host(host).map_or("", |h| h.name.as_str())
    }

    /// What arrives at a port of this host from another one.
    pub fn arrive(&mut self, port: PortId, tuple: Tuple) {
        self.record(At::Port(port), tuple, tuple);
    }

    fn record(&mut self, at: At, out: Tuple, seen: Tuple) {
        let entry = Conn {
            reply: true,
            judged_as: (out != seen).then(|| seen.reversed()),
            claimed: None,
        };
        self.conns.insert((at, out.reversed()), entry);
    }

    fn decide(
        &self,
        at: At,
        sent: &Sent,
        tuple: Tuple,
        translated: bool,
        known: Option<Conn>,
    ) -> Verdict {
        let reply = known.is_some_and(|c| c.reply);
        let key = FlowKey {
            in_port: 7,
            state: if reply { STATE_REPLY } else { STATE_FORWARD },
            family: if tuple.src.0.is_ipv4() { 4 } else { 6 },
            proto: tuple.proto,
            flags: if translated { FLAG_TRANSLATED } else { 0 },
            smac: sent.smac.0,
            dmac: sent.dmac.0,
            src: mapped(tuple.src.0),
            dst: mapped(tuple.dst.0),
            sport: tuple.src.1,
            dport: tuple.dst.1,
        };
        let ingress = match at {
            At::Port(port) => Ingress::Port(port),
            At::Router(router) => Ingress::Router(router),
        };
        let packet = Packet {
            key,
            frame: &[],
            gso_size: 0,
        };
        simulate(&self.snapshot, ingress, &packet).verdict
    }

    /// Whom a datagram is for that comes from somebody new to a mapped port.
    fn mapped_inward(&self, at: At, seen: Tuple) -> Option<Tuple> {
        let At::Router(router) = at else {
            return None;
        };
        let address = self.snapshot.snat_address(router)?;
        if seen.proto == protocol::TCP || seen.dst.0 != IpAddr::V4(address) {
            return None;
        }
        let mut mapped = self.mapped.iter();
        let (key, _) = mapped
            .find(|(key, port)| key.0 == router && key.1 == seen.proto && **port == seen.dst.1)?;
        let owned = self.blocks(router).contains(&block_of(seen.dst.1));
        owned.then_some(Tuple { dst: key.2, ..seen })
    }

    /// A source for a connection: the one it had, if that is still this host's and not another's.
    fn claim(
        &mut self,
        router: RouterId,
        out: Tuple,
        had: Option<(IpAddr, u16)>,
    ) -> Option<(IpAddr, u16)> {
        let address = IpAddr::V4(self.snapshot.snat_address(router)?);
        let blocks = self.blocks(router);
        let owned = |port: u16| blocks.contains(&block_of(port));
        if out.proto != protocol::TCP {
            let inside = (router, out.proto, out.src);
            let kept = self.mapped.get(&inside).copied().filter(|p| owned(*p));
            let taken = |port: u16| {
                let mut others = self.mapped.iter();
                others.any(|(k, p)| (k.0, k.1, *p) == (router, out.proto, port) && *k != inside)
            };
            let port = kept.or_else(|| candidates(&blocks, &inside).find(|p| !taken(*p)))?;
            self.mapped.insert(inside, port);
            return Some((address, port));
        }
        let free = |port: u16| {
            let to = Tuple {
                src: (address, port),
                ..out
            };
            let record = self.conns.get(&(At::Router(router), to.reversed()));
            // a port of the same address must not speak to itself
            to.src != to.dst && record.is_none_or(|c| c.judged_as == Some(out.reversed()))
        };
        let kept = had.filter(|h| h.0 == address).map(|h| h.1);
        let kept = kept.filter(|p| owned(*p) && free(*p));
        let port = kept.or_else(|| candidates(&blocks, &out).find(|p| free(*p)))?;
        Some((address, port))
    }

    fn blocks(&self, router: RouterId) -> Vec<u8> {
        let leases = self.snapshot.router_leases(router);
        let own = leases.filter(|l| l.host == self.name);
        own.flat_map(|l| l.blocks.iter().copied()).collect()
    }
}

/// The ports of blocks, from one that follows from what is to be translated.
fn candidates(blocks: &[u8], of: &impl Hash) -> impl Iterator<Item = u16> {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    let start = hasher.finish() as usize;
    let ports: Vec<u16> = blocks
        .iter()
        .flat_map(|b| (0..PORTS_OF_BLOCK).map(|p| u16::from(*b) << 8 | p))
        .collect();
    let count = ports.len();
    (0..count).map(move |i| ports[(start % count + i) % count])
}
