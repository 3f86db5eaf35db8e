//! The world learns: from the frames of its own ports, and from what other agents tell.

use super::{Claim, Message, book::Due, carrier::Known};
use crate::world::World;
use datapath::{Maps, MapsError, Place, Places};
use flow::Question;
use sim::Packet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use topology::{BridgeId, Learned, PortId, Snapshot, Station, Tag, hosts_of_network};

/// What is to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speech {
    /// To agents of other hosts, by underlay address.
    pub messages: Vec<(IpAddr, Message)>,
    /// To ports.
    pub frames: Vec<Copies>,
    /// When there is more to say, by the monotonic clock.
    pub next: Option<u64>,
}

/// A frame of the agent's own and where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// The frame.
    pub frame: Vec<u8>,
    /// Taps of this host.
    pub taps: Vec<u32>,
    /// Underlay address and VNI.
    pub remote: BTreeSet<(IpAddr, u32)>,
}

impl<M: Maps> World<M> {
    /// Hears what a frame from a port says of who is behind it.
    pub(crate) fn listen(&mut self, port: PortId, packet: &Packet<'_>, now: u64) {
        for station in stations_of(&self.snapshot, port, packet) {
            let tag = station.tag();
            let held = self.snapshot.station(&tag);
            if held == Some(&station) {
                self.book.seen(&tag, now);
                continue;
            }
            let hold = held.is_some() && self.book.is_fresh(&tag, now);
            if hold && !sim::is_announcement(packet) {
                continue;
            }
            match self.learn(station) {
                Ok(true) => {
                    tracing::debug!(?station, "heard");
                    self.book.claim(&tag, now);
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "decisions about a station that moved stay"),
            }
        }
    }

    /// Hears what the agent at an underlay address says.
    pub fn hear(&mut self, from: IpAddr, message: Message, now: u64) -> Result<(), MapsError> {
        let host = self.snapshot.hosts().find(|host| host.tunnel == from);
        let Some(name) = host.map(|h| h.name.clone()).filter(|n| *n != self.host) else {
            self.book.ignored += 1;
            return Ok(());
        };
        match message {
            Message::Ask(networks) => self.book.asked_by(from, networks),
            Message::Claims(claims) => {
                for claim in claims {
                    self.believe(&name, claim, now)?;
                }
            }
            Message::Carriers { version, plugs } => {
                for (port, up) in plugs {
                    let port = self.snapshot.port(port).filter(|p| p.host() == Some(&name));
                    if let Some(plug) = port.filter(|port| port.is_plug()) {
                        self.carriers.hear(plug.id, up, version, now);
                    }
                }
                self.judge_carriers(now)?;
            }
        }
        Ok(())
    }

    /// The ports of this host whose frames can pass are these; others are told of the plugs.
    pub fn set_up(&mut self, up: &BTreeSet<PortId>) -> Result<(), MapsError> {
        for (plug, _) in self.carriers.own() {
            self.carriers.set_own(plug, up.contains(&plug));
        }
        self.judge_carriers(linux::monotonic_ns())
    }

    /// Takes out the decisions about plugs that have come to life or died.
    fn judge_carriers(&mut self, now: u64) -> Result<(), MapsError> {
        let alive = self.carriers.alive(now).into_iter();
        let changed = alive.filter(|(plug, up)| self.snapshot.has_carrier(*plug) != *up);
        let changed: Vec<_> = changed.collect();
        if changed.is_empty() {
            return Ok(());
        }
        let snapshot = Arc::make_mut(&mut self.snapshot);
        let tags = changed.into_iter().filter_map(|(plug, up)| {
            tracing::info!(%plug, up, "way to the outside");
            snapshot.set_carrier(plug, up)
        });
        let tags = tags.collect();
        self.invalidate(&tags)
    }

    /// Takes note of the plugs in the topology.
    fn follow_plugs(&mut self, touched: &BTreeSet<Tag>) {
        let of_plug = |id: &PortId| {
            let port = self.snapshot.port(*id);
            self.carriers.knows(*id) || port.is_some_and(|port| port.outside)
        };
        let plugs = touched
            .iter()
            .any(|tag| matches!(tag, Tag::Port(id) if of_plug(id)));
        if !plugs && self.is_ready() {
            return;
        }
        let plugs = self.snapshot.ports().filter(|port| port.is_plug());
        let known = plugs.map(|plug| {
            let bridge = plug.bridge.into_iter();
            let mut beside = bridge.flat_map(|b| self.snapshot.bridge_ports(b));
            Known {
                port: plug.id,
                own: plug.host() == Some(&self.host),
                router: beside.find_map(|port| port.router()),
            }
        });
        let known: Vec<Known> = known.collect();
        self.carriers.follow(known, linux::monotonic_ns());
    }

    /// Takes over the claim of a host: for its own ports, and if it is newer than what is known.
    fn believe(&mut self, host: &str, claim: Claim, now: u64) -> Result<(), MapsError> {
        let Some(port) = self.snapshot.port(claim.port) else {
            return Ok(()); // on its way from the cluster, or gone: told again, or not
        };
        let Some(bridge) = port.bridge.filter(|_| port.host() == Some(host)) else {
            self.book.ignored += 1;
            return Ok(());
        };
        let station = Station {
            bridge,
            port: claim.port,
            mac: claim.mac,
            ip: claim.ip,
        };
        let tag = station.tag();
        let held = self.snapshot.station(&tag).copied();
        let version = self.book.version(&tag);
        if held == Some(station) {
            return match claim.parted {
                true if claim.version >= version => self.lose(&tag),
                true => Ok(()),
                false => {
                    self.book.heard(&tag, claim.version.max(version), now);
                    Ok(())
                }
            };
        }
        // of two that were heard at once, all hosts take the same
        let rank = |s: Station| (s.port, s.mac);
        let newer = held.is_none_or(|h| (version, rank(h)) < (claim.version, rank(station)));
        if !newer {
            self.book.insist(&tag, now);
        } else if !claim.parted && self.learn(station)? {
            tracing::debug!(?station, host, "told");
            self.book.heard(&tag, claim.version, now);
        }
        Ok(())
    }

    /// Notes a station in the snapshot; true if that changed something.
    fn learn(&mut self, station: Station) -> Result<bool, MapsError> {
        match self.snapshot.would_learn(&station) {
            Learned::Changed => {}
            Learned::Full => {
                self.book.refused += 1;
                return Ok(false);
            }
            Learned::Known | Learned::Forbidden => return Ok(false),
        }
        Arc::make_mut(&mut self.snapshot).learn(station);
        self.invalidate(&BTreeSet::from([station.tag()]))?;
        Ok(true)
    }

    /// Forgets a station. If it was behind a port of this host, the others are told.
    fn lose(&mut self, tag: &Tag) -> Result<(), MapsError> {
        let Some(station) = self.snapshot.station(tag).copied() else {
            return Ok(());
        };
        Arc::make_mut(&mut self.snapshot).forget_station(tag);
        tracing::debug!(?station, "forgotten");
        self.part(station);
        self.invalidate(&BTreeSet::from([tag.clone()]))
    }

    fn part(&mut self, station: Station) {
        let tag = station.tag();
        let here = self.book.is_here(&tag);
        if let Some(version) = self.book.forget(&tag).filter(|_| here) {
            self.book.part(Claim {
                parted: true,
                ..claim(&station, version)
            });
        }
    }

    /// The tap of a port is gone, and so is who was behind it.
    pub(crate) fn lose_stations_of(&mut self, port: PortId) -> Result<(), MapsError> {
        let gone: Vec<Tag> = self.snapshot.stations_of(port).map(Station::tag).collect();
        gone.iter().try_for_each(|tag| self.lose(tag))
    }

    /// After a change of the topology: forgets what went with it, and asks about networks that are
    /// new.
    pub(crate) fn follow_topology(&mut self, touched: &BTreeSet<Tag>) {
        self.follow_plugs(touched);
        let gone = |tag: &&Tag| self.snapshot.station(tag).is_none();
        for tag in touched.iter().filter(gone) {
            self.book.forget(tag);
        }
        let before: BTreeSet<BridgeId> = self.networks.values().copied().collect();
        if !before.is_empty() && !touched.iter().any(|tag| matches!(tag, Tag::Bridge(_))) {
            return;
        }
        let bridges = self.snapshot.bridges();
        self.networks = bridges.map(|b| (b.flood_key, b.id)).collect();
        let now = linux::monotonic_ns();
        for network in self.networks.values().filter(|id| !before.contains(id)) {
            self.book.enter(*network, now);
        }
    }

    /// Everything that is to be said now.
    pub fn speak(&mut self, now: u64) -> Result<Speech, MapsError> {
        let mut speech = Speech::default();
        let mut news: BTreeMap<BridgeId, Vec<Claim>> = BTreeMap::new();
        for due in self.book.due(now) {
            match due {
                Due::Tell(tag) => {
                    if let Some(station) = self.snapshot.station(&tag) {
                        let claim = claim(station, self.book.version(&tag));
                        news.entry(station.bridge).or_default().push(claim);
                    }
                }
                Due::Wake(tag) => speech.frames.extend(self.wake(&tag)?),
                Due::Forget(tag) => self.expire(&tag)?,
            }
        }
        for claim in std::mem::take(&mut self.book.parted) {
            let bridge = self.snapshot.port(claim.port).and_then(|p| p.bridge);
            if let Some(bridge) = bridge {
                news.entry(bridge).or_default().push(claim);
            }
        }
        let mut to: BTreeMap<IpAddr, Vec<Claim>> = BTreeMap::new();
        for (bridge, claims) in news {
            for host in self.senders(bridge) {
                to.entry(host).or_default().extend(&claims);
            }
        }
        for (host, networks) in std::mem::take(&mut self.book.answers) {
            to.entry(host)
                .or_default()
                .extend(self.own_claims(&networks));
        }
        let claims = to.into_iter().map(|(host, c)| (host, Message::Claims(c)));
        speech.messages.extend(claims);
        speech.messages.extend(self.questions_to_hosts(now));
        speech.messages.extend(self.own_carriers(now));
        self.judge_carriers(now)?;
        for question in std::mem::take(&mut self.book.questions) {
            speech.frames.push(self.copies(question));
        }
        let next = self.book.next().into_iter();
        speech.next = next.chain(self.carriers.next(now)).min();
        Ok(speech)
    }

    /// A station has been silent. Of a MAC the next frame comes up if the decisions about it are
    /// taken out; whoever has an address answers a router.
    fn wake(&mut self, tag: &Tag) -> Result<Option<Copies>, MapsError> {
        let Tag::Neighbor(bridge, ip) = tag else {
            self.invalidate(&BTreeSet::from([tag.clone()]))?;
            return Ok(None);
        };
        let Some(station) = self.snapshot.station(tag) else {
            return Ok(None);
        };
        let question = sim::question(&self.snapshot, *bridge, *ip);
        let ports = vec![station.port];
        Ok(question.map(|question| self.copies(Question { ports, ..question })))
    }

    /// A station has been silent for too long; the book knows it no more.
    fn expire(&mut self, tag: &Tag) -> Result<(), MapsError> {
        if self.snapshot.station(tag).is_some() {
            Arc::make_mut(&mut self.snapshot).forget_station(tag);
        }
        self.invalidate(&BTreeSet::from([tag.clone()]))
    }

    /// Those that frames for a network can come from are told of its stations.
    fn senders(&self, bridge: BridgeId) -> BTreeSet<IpAddr> {
        self.others(hosts_of_network(&self.snapshot, bridge))
    }

    /// Those that have ports on a network can have stations there.
    fn members(&self, bridge: BridgeId) -> BTreeSet<IpAddr> {
        self.others(self.snapshot.bridge_ports(bridge).filter_map(|p| p.host()))
    }

    /// Underlay addresses of the other ones of these hosts.
    fn others<'a>(&self, hosts: impl IntoIterator<Item = &'a str>) -> BTreeSet<IpAddr> {
        let others = hosts.into_iter().filter(|host| *host != self.host);
        let known = others.filter_map(|host| self.snapshot.host(host));
        known.map(|host| host.tunnel).collect()
    }

    /// Where the stations of networks are that are behind ports of this host.
    fn own_claims(&self, networks: &[BridgeId]) -> Vec<Claim> {
        let wanted = |s: &&Station| networks.contains(&s.bridge) && self.book.is_here(&s.tag());
        let stations = self.snapshot.stations().filter(wanted);
        stations
            .map(|s| claim(s, self.book.version(&s.tag())))
            .collect()
    }

    /// Whether the plugs of this host are up, for those that send frames to them.
    fn own_carriers(&mut self, now: u64) -> Vec<(IpAddr, Message)> {
        let mut to: BTreeMap<IpAddr, Vec<(PortId, bool)>> = BTreeMap::new();
        for (plug, up) in self.carriers.tell(now) {
            let bridge = self.snapshot.port(plug).and_then(|port| port.bridge);
            for host in bridge.into_iter().flat_map(|bridge| self.senders(bridge)) {
                to.entry(host).or_default().push((plug, up));
            }
        }
        let version = self.book.stamp(now);
        let message = |plugs| Message::Carriers { version, plugs };
        to.into_iter()
            .map(|(host, plugs)| (host, message(plugs)))
            .collect()
    }

    fn questions_to_hosts(&mut self, now: u64) -> Vec<(IpAddr, Message)> {
        let mut to: BTreeMap<IpAddr, Vec<BridgeId>> = BTreeMap::new();
        for network in self.book.networks_due(now) {
            for host in self.members(network) {
                to.entry(host).or_default().push(network);
            }
        }
        to.into_iter()
            .map(|(host, networks)| (host, Message::Ask(networks)))
            .collect()
    }

    fn copies(&self, question: Question) -> Copies {
        let flood_key = self.snapshot.bridge(question.bridge).map(|b| b.flood_key);
        let mut copies = Copies {
            frame: question.frame,
            ..Copies::default()
        };
        for port in question.ports {
            match (self.place(port), flood_key) {
                (Place::Local { ifindex }, _) => copies.taps.push(ifindex),
                (Place::Remote { address, .. }, Some(key)) => {
                    copies.remote.insert((address, key));
                }
                _ => {}
            }
        }
        copies
    }
}

/// Whatever a VM sends, it must not end the agent.
fn stations_of(snapshot: &Snapshot, port: PortId, packet: &Packet<'_>) -> Vec<Station> {
    let listen = AssertUnwindSafe(|| sim::stations_of(snapshot, port, packet));
    catch_unwind(listen).unwrap_or_default()
}

fn claim(station: &Station, version: u64) -> Claim {
    Claim {
        port: station.port,
        mac: station.mac,
        ip: station.ip,
        version,
        parted: false,
    }
}

#[cfg(test)]
mod tests;
