//! Stations: who speaks behind a port with a MAC or an address that Neutron did not give to it.
//!
//! Neutron fixes one MAC and some addresses for each port. Allowed address pairs and ports without
//! port security may use others: a shared address, a virtual MAC, whole segments behind a VM that
//! bridges. Where those are is not in the store: agents learn it from what is said, and keep it here
//! beside the topology, so that a look-up sees both and a decision can depend on either.

use crate::{BridgeId, Link, Port, PortId, Snapshot, Tag};
use ipnet::IpNet;
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};
use wire::Mac;

/// Stations behind one port. A bridge for more than that wants a network of its own.
pub const STATIONS_PER_PORT: usize = 256;

/// Stations that one host knows, of all networks that reach it.
pub const STATIONS_MAX: usize = 65_536;

/// Somebody behind a port: a MAC, or an address with the MAC that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Station {
    /// The port's network.
    pub bridge: BridgeId,
    /// Where to send frames for it.
    pub port: PortId,
    /// Its MAC.
    pub mac: Mac,
    /// Its address; `None` for what is known of the MAC alone.
    pub ip: Option<IpAddr>,
}

/// What has become of something that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It is known now; decisions with the station's tag are out of date.
    Changed,
    /// It was known before.
    Known,
    /// The port may not speak so, or the MAC or address belongs to another port.
    Forbidden,
    /// There is no room: the bounds are [`STATIONS_PER_PORT`] and [`STATIONS_MAX`].
    Full,
}

/// Who has a MAC or an address on a network.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    /// A port to which Neutron gave it.
    Fixed(&'a Arc<Port>),
    /// Somebody behind a port, with this MAC.
    Learned(&'a Arc<Port>, Mac),
}

/// All stations that are known. A station is filed under the tag that asks for it: no decision can
/// depend on it without carrying that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stations {
    by_tag: HashMap<Tag, Station>,
    by_port: HashMap<PortId, BTreeSet<Tag>>,
}

impl Station {
    /// What decisions that depend on it carry; it identifies the station.
    pub fn tag(&self) -> Tag {
        match self.ip {
            Some(ip) => Tag::Neighbor(self.bridge, ip),
            None => Tag::Mac(self.bridge, self.mac),
        }
    }
}

impl Stations {
    fn insert(&mut self, station: Station) {
        let tag = station.tag();
        self.remove(&tag);
        let of_port = self.by_port.entry(station.port).or_default();
        of_port.insert(tag.clone());
        self.by_tag.insert(tag, station);
    }

    fn remove(&mut self, tag: &Tag) -> Option<Station> {
        let station = self.by_tag.remove(tag)?;
        if let Some(of_port) = self.by_port.get_mut(&station.port) {
            of_port.remove(tag);
            if of_port.is_empty() {
                self.by_port.remove(&station.port);
            }
        }
        Some(station)
    }

    fn has_room(&self, station: &Station) -> bool {
        let moves = self.by_tag.contains_key(&station.tag());
        let of_port = self.by_port.get(&station.port).map_or(0, BTreeSet::len);
        of_port < STATIONS_PER_PORT && (moves || self.by_tag.len() < STATIONS_MAX)
    }
}

impl Snapshot {
    /// What [`Snapshot::learn`] would do.
    pub fn would_learn(&self, station: &Station) -> Learned {
        if self.stations.by_tag.get(&station.tag()) == Some(station) {
            return Learned::Known;
        }
        if !self.allows(station) || !self.outranks(station, self.fixed(&station.tag())) {
            return Learned::Forbidden;
        }
        match self.stations.has_room(station) {
            true => Learned::Changed,
            false => Learned::Full,
        }
    }

    /// Takes note of a station, wherever it was before. A change touches the station's tag and no
    /// other.
    pub fn learn(&mut self, station: Station) -> Learned {
        let learned = self.would_learn(&station);
        if learned == Learned::Changed {
            self.stations.insert(station);
        }
        learned
    }

    /// Forgets a station; its tag is touched if there was one.
    pub fn forget_station(&mut self, tag: &Tag) -> Option<Station> {
        self.stations.remove(tag)
    }

    /// The station with this tag.
    pub fn station(&self, tag: &Tag) -> Option<&Station> {
        self.stations.by_tag.get(tag)
    }

    /// All stations, in no particular order.
    pub fn stations(&self) -> impl Iterator<Item = &Station> {
        self.stations.by_tag.values()
    }

    /// The stations behind a port.
    pub fn stations_of(&self, port: PortId) -> impl Iterator<Item = &Station> {
        let tags = self.stations.by_port.get(&port).into_iter().flatten();
        tags.filter_map(|tag| self.station(tag))
    }

    /// Who has a MAC on a network.
    pub fn holder_of_mac(&self, bridge: BridgeId, mac: Mac) -> Option<Holder<'_>> {
        self.holder(&Tag::Mac(bridge, mac))
    }

    /// Who has an address on a network.
    pub fn holder_of_address(&self, bridge: BridgeId, ip: IpAddr) -> Option<Holder<'_>> {
        self.holder(&Tag::Neighbor(bridge, ip))
    }

    /// The port that stands for an address on a network: a router's, if it is a floating IP, or the
    /// one whose fixed address it is.
    pub fn port_with_address(&self, bridge: BridgeId, ip: IpAddr) -> Option<&Arc<Port>> {
        let floating = self.floating_port(bridge, ip);
        floating.or_else(|| self.port_by_address(bridge, ip))
    }

    fn holder(&self, tag: &Tag) -> Option<Holder<'_>> {
        let fixed = self.fixed(tag);
        let learned = self.station(tag).filter(|s| self.outranks(s, fixed));
        let learned = learned.and_then(|s| Some(Holder::Learned(self.port(s.port)?, s.mac)));
        learned.or(fixed.map(Holder::Fixed))
    }

    /// The port to which Neutron gave what the tag asks for.
    fn fixed(&self, tag: &Tag) -> Option<&Arc<Port>> {
        match tag {
            Tag::Mac(bridge, mac) => self.port_by_mac(*bridge, *mac),
            Tag::Neighbor(bridge, ip) => self.port_with_address(*bridge, *ip),
            _ => None,
        }
    }

    /// The station's port is there and its VM may speak so.
    fn allows(&self, station: &Station) -> bool {
        let Some(port) = self.port(station.port) else {
            return false;
        };
        let may = match station.ip {
            Some(ip) => self.is_on_subnet(station.bridge, ip) && port.may_use(station.mac, ip),
            None => port.may_use_mac(station.mac),
        };
        port.bridge == Some(station.bridge) && port.host().is_some() && may
    }

    /// What a bound port or a router was given is its own, unless an allowed address pair names it:
    /// such an address is shared. A port that is not bound only reserves its address, as Octavia's
    /// and keepalived's users do.
    fn outranks(&self, station: &Station, fixed: Option<&Arc<Port>>) -> bool {
        let Some(fixed) = fixed.filter(|port| port.id != station.port) else {
            return true;
        };
        match fixed.link {
            Link::None => true,
            Link::Router(_) => false,
            Link::Host { .. } => self.port(station.port).is_some_and(|p| p.names(station)),
        }
    }

    /// An address outside the network's subnets is nobody's next hop.
    fn is_on_subnet(&self, bridge: BridgeId, ip: IpAddr) -> bool {
        self.bridge_subnets(bridge).any(|s| s.cidr.contains(&ip))
    }

    /// After a change of a port: forgets the stations that cannot be behind it any more, and all
    /// of them if it is elsewhere.
    pub(crate) fn recheck_stations(
        &mut self,
        port: PortId,
        was_at: Option<&str>,
        touched: &mut BTreeSet<Tag>,
    ) {
        let moved = self.port(port).is_none_or(|p| p.host() != was_at);
        let gone = self.stations_of(port).filter(|s| moved || !self.allows(s));
        let gone: Vec<Tag> = gone.map(Station::tag).collect();
        for tag in gone {
            self.stations.remove(&tag);
            touched.insert(tag);
        }
    }
}

impl Port {
    /// Whether the VM may send frames with this source. Port security off allows every station's.
    pub fn may_use_mac(&self, mac: Mac) -> bool {
        let can_send = !mac.is_multicast() && !mac.is_zero();
        can_send && (self.mac == mac || self.may_hold_mac(mac))
    }

    /// Whether the VM may speak for an address with one of its MACs.
    pub fn may_use(&self, mac: Mac, ip: IpAddr) -> bool {
        self.security.is_none() || self.sources(mac).any(|net| net.contains(&ip))
    }

    /// Addresses that go with one of the port's MACs when port security is on.
    pub fn sources(&self, mac: Mac) -> impl Iterator<Item = IpNet> + '_ {
        let own = (self.mac == mac).then_some(&self.addresses);
        let own = own.into_iter().flatten().map(|a| IpNet::from(a.ip));
        let pairs = self.pairs().filter(move |p| p.1 == mac).map(|p| p.0);
        let link_local = self
            .may_use_mac(mac)
            .then(|| IpNet::from(IpAddr::V6(mac.link_local())));
        own.chain(pairs).chain(link_local)
    }

    /// Whether somebody behind it may have a MAC that is not the port's.
    pub fn may_hold_mac(&self, mac: Mac) -> bool {
        self.security.is_none() || self.pairs().any(|p| p.1 == mac)
    }

    /// Whether somebody behind it may have an address that is not the port's.
    pub fn may_hold(&self, ip: IpAddr) -> bool {
        self.security.is_none() || self.pairs().any(|p| p.0.contains(&ip))
    }

    /// Whether an allowed address pair names the station: its MAC, and its address alone.
    fn names(&self, station: &Station) -> bool {
        let mut pairs = self.pairs().filter(|p| p.1 == station.mac);
        match station.ip {
            Some(ip) => pairs.any(|p| p.0 == IpNet::from(ip)),
            None => pairs.next().is_some(),
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (IpNet, Mac)> + '_ {
        let security = self.security.iter();
        security.flat_map(|s| s.pairs.iter().map(|p| (p.net, p.mac)))
    }
}

#[cfg(test)]
mod tests;
