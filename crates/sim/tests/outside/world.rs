//! A coast with hosts that hear of changes late, those who talk over it, and what becomes of that.

use crate::host::{At, Fate, Host, Sent, Tuple};
use sim::testing::{Coast, Dice, FAR, FAR6, Peer, World as Builder, mac_of, rule, upstream};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use topology::{
    Change, Direction, Family, FloatingIpId, Lease, Object, PortId, RouterId, Snapshot, Tag,
    Versioned,
};
use wire::protocol;

const HOSTS: [&str; 4] = ["host1", "host2", "host3", "host4"];
/// What openers send from, and what they speak to.
const FROM: [u16; 3] = [40_000, 40_001, 40_002];
const TO: [u16; 3] = [22, 53, 80];
const BLOCKS: [u8; 4] = [8, 9, 10, 11];
/// Stages that a packet may have before it is said to loop.
const STAGES_MAX: usize = 6;

/// Who talks: a VM, or somebody far outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Vm(PortId),
    Outside,
}

/// A connection: what its opener sends and what arrives of that.
#[derive(Clone, Debug)]
struct Talk {
    opener: End,
    sent: Tuple,
    listener: End,
    arrived: Tuple,
    /// Something has happened that may change it, once.
    disturbed: bool,
}

/// How often things have happened.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    counts: BTreeMap<&'static str, usize>,
}

impl Seen {
    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, other: &Seen) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// Whether all that the property is about has happened often.
    pub fn is_rich(&self) -> bool {
        [
            "as floating IP",
            "as shared address",
            "as itself",
            "to floating IP from outside",
            "to floating IP from a VM",
            "an answer arrives",
            "an answer of a disturbed connection arrives",
            "a connection goes on with another address",
            "translation_gone",
            "snat_exhausted",
            "owner_elsewhere",
        ]
        .iter()
        .all(|what| self.counts.get(what).is_some_and(|n| *n >= 10))
    }
}

pub struct World {
    dice: Dice,
    coast: Coast,
    vms: Vec<Peer>,
    floating: Vec<FloatingIpId>,
    /// What the store says; hosts hear of it when they do.
    store: Snapshot,
    hosts: Vec<Host>,
    news: Vec<Vec<Change>>,
    up: [bool; 2],
    talks: Vec<Talk>,
    revision: u64,
    pub complaints: Vec<String>,
    pub seen: Seen,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut builder = Builder::new();
        let stateful = dice.once_in(2);
        let all = [Direction::Egress, Direction::Ingress]
            .into_iter()
            .flat_map(|d| [Family::V4, Family::V6].map(|f| rule(d, f)));
        let group = builder.group(stateful, all.collect());
        let groups = [group];
        let groups = (!dice.once_in(3)).then_some(&groups[..]);
        let mut coast = Coast::new(builder, groups);
        let vms = vec![coast.a, coast.b, coast.c, another(&mut coast, groups)];
        let (router, external) = (coast.tenants[0].router, coast.external);
        let own = (coast.b.port, coast.b.v4);
        let third = coast
            .world
            .floating_ip((external, "203.0.113.103"), router, own);
        let floating = vec![coast.fip_a, coast.fip_c, third];
        coast.world.lease(router, "host1", &BLOCKS[..1]);
        coast.world.lease(router, "host2", &BLOCKS[1..2]);
        let store = coast.snapshot();
        Self {
            dice,
            coast,
            vms,
            floating,
            hosts: HOSTS.map(|name| Host::new(name, store.clone())).into(),
            store,
            news: vec![Vec::new(); HOSTS.len()],
            up: [true; 2],
            talks: Vec::new(),
            revision: 2,
            complaints: Vec::new(),
            seen: Seen::default(),
        }
    }

    pub fn step(&mut self) {
        match self.dice.below(24) {
            0..6 => self.open(),
            6..12 => self.go_on(),
            12..18 => self.answer(),
            18 => self.move_floating_ip(),
            19 | 20 => self.hear(),
            21 => self.move_block(),
            22 => self.turn_gateway(),
            _ => self.forget(),
        }
        for host in &self.hosts[2..] {
            if host.remembers() {
                let what = format!("gateway {} remembers connections", host.name);
                self.complaints.push(what);
            }
        }
    }

    // what happens to connections

    fn open(&mut self) {
        let proto = *self.dice.pick(&[protocol::TCP, protocol::UDP]);
        let (from, to) = (*self.dice.pick(&FROM), *self.dice.pick(&TO));
        let opener = match self.dice.once_in(3) {
            true => End::Outside,
            false => End::Vm(self.dice.pick(&self.vms).port),
        };
        let v4 = !self.dice.once_in(6);
        let dst = match opener {
            End::Vm(_) if v4 && self.dice.once_in(2) => self.random_floating_address(),
            End::Vm(_) => address(if v4 { FAR } else { FAR6 }),
            End::Outside if v4 => self.random_floating_address(),
            End::Outside => self.dice.pick(&self.vms).v6,
        };
        let src = self.address_of(opener, v4);
        let sent = Tuple {
            proto,
            src: (src, from),
            dst: (dst, to),
        };
        // a VM with two addresses may be unable to tell apart who speaks to which
        let ports = |t: &Tuple| (t.proto, t.src, t.dst.1);
        let same = |t: &Talk| t.opener == opener && ports(&t.sent) == ports(&sent);
        let two = |t: &Talk| t.sent.dst != sent.dst && self.leads_to(sent.dst.0, t.listener);
        if self.talks.iter().any(|t| same(t) || two(t)) {
            return;
        }
        let opens = proto == protocol::TCP;
        let Some((listener, arrived)) = self.send(opener, sent, opens) else {
            return;
        };
        self.check_arrival(opener, sent, listener, arrived);
        self.note_opening(opener, sent, listener, arrived);
        // who is spoken to again by what looks the same has forgotten the first
        self.talks
            .retain(|t| !(t.disturbed && (t.listener, t.arrived) == (listener, arrived)));
        self.check_unique(opener, sent, listener, arrived);
        self.talks.push(Talk {
            opener,
            sent,
            listener,
            arrived,
            // made of what some had not heard yet
            disturbed: !self.is_settled(),
        });
    }

    /// The opener says more.
    fn go_on(&mut self) {
        let Some(n) = self.random_talk() else { return };
        let talk = self.talks[n].clone();
        let Some((listener, arrived)) = self.send(talk.opener, talk.sent, false) else {
            return;
        };
        self.check_arrival(talk.opener, talk.sent, listener, arrived);
        if (listener, arrived) == (talk.listener, talk.arrived) {
            return;
        }
        if !talk.disturbed {
            let what = format!("{talk:?} has become {listener:?} {arrived:?}");
            self.complaints.push(what);
        }
        self.seen.note("a connection goes on with another address");
        // to its listener it is a connection that it does not know
        self.talks.remove(n);
    }

    /// The listener answers to what it has seen.
    fn answer(&mut self) {
        let Some(n) = self.random_talk() else { return };
        let talk = self.talks[n].clone();
        let back = talk.arrived.reversed();
        let Some((end, arrived)) = self.send(talk.listener, back, false) else {
            if !talk.disturbed && self.is_settled() {
                let what = format!("the answer to {talk:?} is dropped");
                self.complaints.push(what);
            }
            return;
        };
        if (end, arrived) == (talk.opener, talk.sent.reversed()) {
            self.seen.note(match talk.disturbed {
                true => "an answer of a disturbed connection arrives",
                false => "an answer arrives",
            });
        } else if end == talk.opener && talk.disturbed {
            // the listener has forgotten whom it answers, and speaks on its own
        } else if talk.disturbed && self.leads_to(back.dst.0, end) {
            // whom the address leads to now takes it for a new connection, of the same ports perhaps
            // as one of its own
            self.disturb(|other| other == end);
        } else {
            let what = format!("the answer to {talk:?} arrives at {end:?} as {arrived:?}");
            self.complaints.push(what);
        }
    }

    fn random_talk(&mut self) -> Option<usize> {
        let count = self.talks.len();
        (count > 0).then(|| self.dice.below(count))
    }

    // what has to be true of it

    /// What is sent to a floating IP gets where that leads to, and nothing else changes on the way in.
    fn check_arrival(&mut self, opener: End, sent: Tuple, listener: End, arrived: Tuple) {
        let known = self.talks.iter().any(|t| {
            (t.listener, t.arrived.reversed()) == (opener, sent)
                && (t.opener, t.sent.reversed()) == (listener, arrived)
        });
        let right = match listener {
            End::Outside => sent.dst == arrived.dst,
            End::Vm(port) if sent.dst == arrived.dst => self
                .vms
                .iter()
                .any(|vm| vm.port == port && vm.v6 == arrived.dst.0),
            End::Vm(_) => {
                self.leads_to(sent.dst.0, listener)
                    && arrived.dst.0 == self.address_of(listener, true)
                    && sent.dst.1 == arrived.dst.1
            }
        };
        if !right && !known {
            let what = format!("{sent:?} of {opener:?} arrives at {listener:?} as {arrived:?}");
            self.complaints.push(what);
        }
    }

    /// No two connections look the same to whom they are with.
    fn check_unique(&mut self, opener: End, sent: Tuple, listener: End, arrived: Tuple) {
        let settled = self.is_settled();
        let same = self.talks.iter().find(|t| {
            (t.listener, t.arrived) == (listener, arrived) && (t.opener, t.sent) != (opener, sent)
        });
        // one that had not heard of a move yet, or whose listener does not know it any more
        let excused = |t: &Talk| !settled || t.disturbed;
        if let Some(talk) = same.filter(|t| !excused(t)) {
            let what = format!("{sent:?} of {opener:?} arrives as {talk:?} does");
            self.complaints.push(what);
        }
    }

    /// Whether an address is a floating IP that leads to a VM as any host sees it.
    fn leads_to(&self, address: IpAddr, end: End) -> bool {
        let by = |snapshot: &Snapshot| {
            let mut fips = snapshot.floating_ips_at(self.coast.external, address);
            fips.any(|fip| End::Vm(fip.port) == end)
        };
        self.hosts.iter().any(|host| by(&host.snapshot))
    }

    fn is_settled(&self) -> bool {
        self.news.iter().all(Vec::is_empty)
    }

    fn note_opening(&mut self, opener: End, sent: Tuple, listener: End, arrived: Tuple) {
        let router = address("203.0.113.10");
        if let End::Vm(_) = opener {
            self.seen.note(match arrived.src.0 {
                ip if ip == sent.src.0 => "as itself",
                ip if ip == router => "as shared address",
                _ => "as floating IP",
            });
        }
        match (opener, listener) {
            (End::Outside, End::Vm(_)) => self.seen.note("to floating IP from outside"),
            (End::Vm(_), End::Vm(_)) => self.seen.note("to floating IP from a VM"),
            _ => {}
        }
    }

    // how packets travel

    fn send(&mut self, from: End, tuple: Tuple, opens: bool) -> Option<(End, Tuple)> {
        let (mut host, port, smac, dmac) = match from {
            End::Vm(port) => {
                let vm = *self.vms.iter().find(|vm| vm.port == port).unwrap();
                (self.host_of(port)?, port, vm.mac, vm.gateway)
            }
            End::Outside => {
                let ways: Vec<usize> = (0..2).filter(|n| self.up[*n]).collect();
                let n = *(!ways.is_empty()).then(|| self.dice.pick(&ways))?;
                let uplink = self.coast.uplinks[n];
                (n + 2, uplink.plug, upstream(n), mac_of(uplink.port))
            }
        };
        let mut sent = Sent {
            tuple,
            smac,
            dmac,
            opens,
        };
        let mut at = At::Port(port);
        for _ in 0..STAGES_MAX {
            let (next, fate) = self.hosts[host].judge(at, sent);
            sent = next;
            match fate {
                Fate::Dropped(reason) => {
                    self.seen.note(reason.name());
                    return None;
                }
                Fate::Router { router, host: name } => {
                    at = At::Router(router);
                    host = HOSTS.iter().position(|h| *h == name)?;
                }
                Fate::Port { port, track } => return self.arrive(port, track, sent.tuple),
            }
        }
        self.complaints
            .push(format!("{tuple:?} of {from:?} goes in circles"));
        None
    }

    fn arrive(&mut self, port: PortId, track: bool, tuple: Tuple) -> Option<(End, Tuple)> {
        if let Some(n) = self.coast.uplinks.iter().position(|u| u.plug == port) {
            // a gateway that is down delivers nothing
            return self.up[n].then_some((End::Outside, tuple));
        }
        let host = self.host_of(port)?;
        if track {
            self.hosts[host].arrive(port, tuple);
        }
        Some((End::Vm(port), tuple))
    }

    fn host_of(&self, port: PortId) -> Option<usize> {
        let host = self.store.port(port)?.host()?;
        HOSTS.iter().position(|h| *h == host)
    }

    fn address_of(&self, end: End, v4: bool) -> IpAddr {
        match end {
            End::Outside => address(if v4 { FAR } else { FAR6 }),
            End::Vm(port) => {
                let vm = self.vms.iter().find(|vm| vm.port == port).unwrap();
                if v4 { vm.v4 } else { vm.v6 }
            }
        }
    }

    fn random_floating_address(&mut self) -> IpAddr {
        let all = ["203.0.113.101", "203.0.113.102", "203.0.113.103"];
        address(self.dice.pick::<&str>(&all))
    }

    // what happens to the world

    /// The connections of these ends may change.
    fn disturb(&mut self, ends: impl Fn(End) -> bool) {
        for talk in &mut self.talks {
            talk.disturbed |= ends(talk.opener) || ends(talk.listener);
        }
    }

    fn change(&mut self, object: Object) {
        self.revision += 1;
        let revision = self.revision;
        let change = Change::Put(Versioned { revision, object });
        self.store.apply(change.clone());
        self.news
            .iter_mut()
            .for_each(|news| news.push(change.clone()));
    }

    /// A floating IP goes to another VM of the same tenant.
    fn move_floating_ip(&mut self) {
        let id = *self.dice.pick(&self.floating);
        let mut fip = (**self.store.floating_ip(id).unwrap()).clone();
        if fip.router != self.coast.tenants[0].router {
            return;
        }
        let tenants = [self.coast.a, self.coast.b, self.vms[3]];
        let to = *self.dice.pick(&tenants);
        let both = [End::Vm(fip.port), End::Vm(to.port)];
        self.disturb(|end| both.contains(&end));
        (fip.port, fip.fixed) = (to.port, to.v4);
        self.change(Object::FloatingIp(fip));
    }

    /// One host, or all, hear what is new.
    fn hear(&mut self) {
        match self.dice.once_in(2) {
            true => (0..HOSTS.len()).for_each(|n| self.host_hears(n)),
            false => {
                let n = self.dice.below(HOSTS.len());
                self.host_hears(n);
            }
        }
    }

    fn host_hears(&mut self, n: usize) {
        let mut touched = BTreeSet::new();
        for change in std::mem::take(&mut self.news[n]) {
            touched.extend(self.hosts[n].hear(change));
        }
        self.disturb(|end| match end {
            End::Vm(port) => touched.contains(&Tag::FloatingIps(port)),
            End::Outside => false,
        });
    }

    /// A block changes its host: the one that has it gives it back first.
    fn move_block(&mut self) {
        let router = self.coast.tenants[0].router;
        let block = *self.dice.pick(&BLOCKS);
        let taker = HOSTS[self.dice.below(2)];
        let holder = self.store.block_holder(router, block).map(str::to_owned);
        if let Some(holder) = holder {
            let n = HOSTS.iter().position(|h| *h == holder).unwrap();
            let uses = |t: &Talk| topology::block_of(t.arrived.src.1) == block;
            if self.talks.iter().any(uses) {
                // it is not given back while it is used, but a host may die
                if !self.dice.once_in(3) {
                    return;
                }
                self.die(n);
            }
            let lease = self.lease(router, &holder, |blocks| {
                blocks.remove(&block);
            });
            self.revision += 1;
            let revision = self.revision;
            let object = Object::Lease(lease.clone());
            let given_back = Change::Put(Versioned { revision, object });
            self.hosts[n].hear(given_back);
            self.change(Object::Lease(lease));
        }
        let lease = self.lease(router, taker, |blocks| {
            blocks.insert(block);
        });
        self.change(Object::Lease(lease));
    }

    /// A host dies, its VMs with it; by the time its blocks are given to others their connections are
    /// nobody's any more.
    fn die(&mut self, n: usize) {
        self.hosts[n].forget();
        let store = &self.store;
        let gone = |t: &Talk| is_on(store, t.opener, n) || is_on(store, t.listener, n);
        self.talks.retain(|t| !gone(t));
    }

    fn lease(&self, router: RouterId, host: &str, change: impl FnOnce(&mut BTreeSet<u8>)) -> Lease {
        let id = Lease::id_of(router, host);
        let held = self.store.lease(id).map(|l| (**l).clone());
        let mut lease = held.unwrap_or_else(|| Lease {
            id,
            router,
            host: host.to_owned(),
            blocks: BTreeSet::new(),
        });
        change(&mut lease.blocks);
        lease
    }

    /// A gateway dies, and with it what it knows, or comes back.
    fn turn_gateway(&mut self) {
        let n = self.dice.below(2);
        self.up[n] ^= true;
        if self.up == [false; 2] {
            self.up[1 - n] = true;
        }
        self.hosts[n + 2].forget();
        for host in &mut self.hosts {
            for (n, uplink) in self.coast.uplinks.iter().enumerate() {
                host.snapshot.set_carrier(uplink.plug, self.up[n]);
            }
        }
    }

    /// A table was full, or a host dies and comes back.
    fn forget(&mut self) {
        let n = self.dice.below(HOSTS.len());
        match self.dice.once_in(4) {
            true => self.die(n),
            false => {
                let which = self.dice.below(1000);
                self.hosts[n].lose(which);
            }
        }
        let store = self.store.clone();
        self.disturb(|end| is_on(&store, end, n));
    }
}

fn is_on(store: &Snapshot, end: End, n: usize) -> bool {
    match end {
        End::Vm(port) => store.port(port).and_then(|p| p.host()) == Some(HOSTS[n]),
        End::Outside => false,
    }
}

/// One more VM of the first tenant, on the host of `a`.
fn another(coast: &mut Coast, groups: Option<&[topology::GroupId]>) -> Peer {
    let tenant = coast.tenants[0];
    let [v4, v6] = ["10.1.0.12", "2001:db8:1::12"];
    let subnets = tenant.subnets;
    let own = [(subnets[0], v4), (subnets[1], v6)];
    let port = coast.world.vm(tenant.net, "host1", &own, groups);
    Peer {
        port,
        mac: mac_of(port),
        v4: address(v4),
        v6: address(v6),
        gateway: coast.a.gateway,
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
