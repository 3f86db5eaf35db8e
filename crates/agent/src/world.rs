//! What the agent knows: the topology, which tap is which port, and the decisions made from both.
//!
//! One lock around a `World` keeps the three consistent: a packet is judged and its decision
//! installed under the same lock that a topology change takes, so a decision can never be installed
//! after the change that would have removed it.

use crate::{
    learning::{Book, Carriers},
    plug::Plugged,
    reassembly::{Added, Reassembly},
    saver::{Unsaved, Work},
    state::Saved,
    too_big::split,
};
use datapath::{Maps, MapsError, Place, Places, Table, compile};
use flow::{Decision, Destination, DropReason, FlowKey, Verdict};
use ipnet::Ipv4Net;
use metadata::Metadata;
use routers::Numbers;
use sim::{Ingress, Packet};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use topology::{BridgeId, Change, PortId, RouterId, Snapshot, Tag, TunnelKey};
use uuid::Uuid;

/// Upcalls a second of a port or a router, unless configured.
pub const UPCALL_RATE: u32 = 1_000;

/// See the module.
pub struct World<M> {
    pub(crate) host: String,
    instance: Option<Uuid>,
    revision: u64,
    pub(crate) snapshot: Arc<Snapshot>,
    decisions: Decisions<M>,
    taps: BTreeMap<u32, Plugged>,
    ports: HashMap<PortId, u32>,
    pub(crate) networks: HashMap<TunnelKey, BridgeId>,
    pub(crate) book: Book,
    pub(crate) carriers: Carriers,
    drops: BTreeMap<(u32, DropReason), Dropped>,
    unsaved: Unsaved,
    reassembly: Reassembly,
    metadata: Metadata,
    /// Of routers, once there is a table for them.
    numbers: Option<Numbers>,
    upcall_rate: u32,
}

/// The decision table exists only once there is a topology to decide by; until then the decisions
/// of an earlier process stay in force.
enum Decisions<M> {
    Waiting(Option<M>),
    Ready(Box<Table<M>>),
}

/// Frames that the agent itself dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The Neutron resource that caused the last one.
    pub cause: Option<Uuid>,
}

/// What is to be done with a frame that came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A decision for it is installed: let the kernel program take it again.
    Again,
    /// Likewise, but these frames, which it has been split into.
    Split(Vec<Vec<u8>>),
    /// Send these to the port it came from.
    Answer(Vec<Vec<u8>>),
    /// A router sends this by its port with this number.
    Said {
        /// The number.
        number: u32,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Send copies to these taps, and by tunnel with these keys to these hosts.
    Deliver {
        /// ifindex of each tap.
        taps: Vec<u32>,
        /// Underlay address and VNI.
        remote: BTreeSet<(IpAddr, u32)>,
    },
    /// Nothing; it has been counted.
    Dropped(DropReason),
}

/// Why a frame came up and what it is, without the kernel's bookkeeping.
#[derive(Clone, Copy, Debug)]
pub struct Upcall<'a> {
    /// The kernel program's header.
    pub header: bpf_abi::Upcall,
    /// The frame, perhaps cut.
    pub bytes: &'a [u8],
}

impl<M: Maps> World<M> {
    /// A world without topology.
    pub fn new(host: String, maps: M) -> Self {
        Self {
            host,
            instance: None,
            revision: 0,
            snapshot: Arc::default(),
            decisions: Decisions::Waiting(Some(maps)),
            taps: BTreeMap::new(),
            ports: HashMap::new(),
            networks: HashMap::new(),
            book: Book::new(linux::day_ns()),
            carriers: Carriers::default(),
            drops: BTreeMap::new(),
            unsaved: Unsaved::default(),
            reassembly: Reassembly::default(),
            metadata: Metadata::off(),
            numbers: None,
            upcall_rate: UPCALL_RATE,
        }
    }

    /// Judges what IPv6 clients of IPv4 VMs say by the pool that the kernel program translates them
    /// to. Before the first decision.
    pub fn set_nat64_pool(&mut self, pool: Ipv4Net) {
        Arc::make_mut(&mut self.snapshot).set_nat64_pool(pool);
    }

    /// Allows routers this many upcalls a second each, from the next topology on.
    pub fn set_upcall_rate(&mut self, rate: u32) {
        self.upcall_rate = rate;
    }

    /// Takes over the topology that was saved.
    pub fn restore(&mut self, saved: Saved) -> Result<(), MapsError> {
        self.instance = saved.instance;
        self.revision = saved.revision;
        self.unsaved.whole(saved.instance);
        self.snapshot = Arc::new(saved.snapshot);
        self.follow_topology(&BTreeSet::new());
        self.begin()?;
        self.follow_routers()?;
        self.set_peers()
    }

    /// Applies one step and takes out the decisions that it touches.
    pub fn apply(
        &mut self,
        instance: Uuid,
        revision: u64,
        changes: Vec<Change>,
    ) -> Result<(), MapsError> {
        self.instance = Some(instance);
        self.revision = revision;
        self.unsaved.step(instance, revision, &changes);
        let snapshot = Arc::make_mut(&mut self.snapshot);
        let touched: BTreeSet<Tag> = changes
            .into_iter()
            .flat_map(|change| snapshot.apply(change))
            .collect();
        self.follow_topology(&touched);
        self.begin()?;
        self.follow_routers()?;
        if touched.iter().any(|tag| matches!(tag, Tag::Host(_))) {
            self.set_peers()?;
        }
        self.invalidate(&touched)
    }

    /// What is to be saved; from here on it counts as saved.
    pub fn take_unsaved(&mut self) -> Work {
        self.unsaved.take(self.instance)
    }

    /// What counted as saved is not: the next time all of it is.
    pub fn nothing_saved(&mut self) {
        self.unsaved.whole(None);
    }

    /// Starts to decide, once.
    fn begin(&mut self) -> Result<(), MapsError> {
        if let Decisions::Waiting(maps) = &mut self.decisions
            && let Some(maps) = maps.take()
        {
            self.decisions = Decisions::Ready(Box::new(Table::new(maps)?));
        }
        Ok(())
    }

    /// Tunnelled frames are taken from known hosts only.
    fn set_peers(&mut self) -> Result<(), MapsError> {
        let peers = self.snapshot.hosts().map(|h| h.tunnel).collect();
        self.table_mut()
            .map_or(Ok(()), |table| table.maps_mut().set_peers(&peers))
    }

    pub(crate) fn invalidate(&mut self, tags: &BTreeSet<Tag>) -> Result<(), MapsError> {
        self.table_mut()
            .map_or(Ok(()), |table| table.invalidate(tags).map(|_| ()))
    }

    /// A tap is attached: frames from it are the port's, frames for the port go to it.
    pub fn plugged(&mut self, ifindex: u32, plugged: Plugged) -> Result<(), MapsError> {
        let port = plugged.port;
        if let Some(table) = self.table_mut() {
            table.maps_mut().set_tunnel(plugged.key, ifindex)?;
        }
        self.ports.insert(port, ifindex);
        let before = self.taps.insert(ifindex, plugged);
        self.forget_key(before)?;
        self.invalidate(&BTreeSet::from([Tag::Port(port)]))
    }

    /// A tap is detached.
    pub fn unplugged(&mut self, ifindex: u32) -> Result<(), MapsError> {
        let Some(before) = self.taps.remove(&ifindex) else {
            return Ok(());
        };
        self.drops.retain(|(tap, _), _| *tap != ifindex);
        self.reassembly.forget(ifindex);
        self.metadata.forget(before.port);
        if self.ports.get(&before.port) == Some(&ifindex) {
            self.ports.remove(&before.port);
        }
        let port = before.port;
        self.lose_stations_of(port)?;
        self.forget_key(Some(before))?;
        self.invalidate(&BTreeSet::from([Tag::Port(port)]))
    }

    /// Forgets a tunnel key that no tap has any more.
    fn forget_key(&mut self, before: Option<Plugged>) -> Result<(), MapsError> {
        let Some(key) = before.map(|p| p.key) else {
            return Ok(());
        };
        if self.taps.values().any(|tap| tap.key == key) {
            return Ok(());
        }
        self.table_mut()
            .map_or(Ok(()), |table| table.maps_mut().remove_tunnel(key))
    }

    /// Takes frames with these flood keys up to the agent, and no others.
    pub fn set_flood_keys(&mut self, keys: &BTreeSet<TunnelKey>) -> Result<(), MapsError> {
        let taps = self.taps.iter().map(|(ifindex, tap)| (tap.key, *ifindex));
        let taps: BTreeMap<TunnelKey, u32> = taps.chain(self.router_keys()).collect();
        let Some(table) = self.table_mut() else {
            return Ok(());
        };
        let maps = table.maps_mut();
        for (key, ifindex) in maps.tunnels()? {
            if ifindex == 0 && !keys.contains(&key) || ifindex != 0 && !taps.contains_key(&key) {
                maps.remove_tunnel(key)?;
            }
        }
        keys.iter().try_for_each(|key| maps.set_tunnel(*key, 0))
    }

    /// Judges a frame that came up.
    pub fn decide(&mut self, upcall: &Upcall<'_>) -> Outcome {
        if upcall.header.vni == 0 && self.metadata.device == Some(upcall.header.key.in_port) {
            return self.answer_asker(upcall);
        }
        let ingress = match self.ingress(&upcall.header) {
            Ok(ingress) => ingress,
            Err(reason) => return self.dropped(upcall, reason, None),
        };
        let header = &upcall.header;
        let packet = Packet {
            key: header.key,
            frame: upcall.bytes,
            gso_size: header.gso_size,
        };
        if let Some(tap) = self
            .taps
            .get(&header.key.in_port)
            .filter(|_| header.vni == 0)
        {
            self.listen(tap.port, &packet, header.time_ns);
        }
        let Some(mut decision) = simulate(&self.snapshot, ingress, &packet) else {
            return self.dropped(upcall, DropReason::Malformed, None);
        };
        if let Some(question) = decision.question.take() {
            self.book.wonder(question, header.time_ns);
        }
        if decision.verdict == Verdict::Metadata {
            decision.verdict = self.serve_asker(ingress, &header.key);
        }
        let cached = header.why == bpf_abi::WHY_MISS;
        if cached && !self.install(upcall, &decision) {
            return self.dropped(upcall, DropReason::TableFull, None);
        }
        match decision.verdict {
            Verdict::Answer(frames) => Outcome::Answer(frames),
            Verdict::Drop { reason, cause } => self.dropped(upcall, reason, cause),
            Verdict::Refuse {
                reason: DropReason::RouterFragment,
                ..
            } => self.collect(upcall, ingress),
            Verdict::Refuse {
                reason,
                cause,
                answer,
            } => {
                let dropped = self.dropped(upcall, reason, cause);
                let answered = answer.and_then(|frame| match ingress {
                    Ingress::Router(router) => self.said_by(router, &header.key, frame),
                    Ingress::Port(_) | Ingress::Network(_) => Some(Outcome::Answer(vec![frame])),
                });
                answered.unwrap_or(dropped)
            }
            Verdict::Flood { ports } => self.flood(ingress, &ports),
            Verdict::Metadata => self.no_service(upcall),
            Verdict::Forward { mtu, .. }
                if matches!(header.why, bpf_abi::WHY_MISS | bpf_abi::WHY_MTU)
                    && let Some(frames) =
                        split(upcall.bytes, header.gso_size, mtu, header.key.family) =>
            {
                Outcome::Split(frames)
            }
            Verdict::Forward { .. } if cached => Outcome::Again,
            // The kernel program sends such frames up whatever was decided for their class, so they
            // would come up for ever: those for the agent are delivered by it, and one that was too
            // large or too old a moment ago is left to its sender to repeat.
            Verdict::Forward {
                to: Destination::Router { .. },
                ..
            } => self.dropped(upcall, DropReason::RouterAddress, None),
            Verdict::Forward {
                to: Destination::Port(port),
                rewrite,
                ..
            } => match header.why {
                bpf_abi::WHY_TTL => self.dropped(upcall, DropReason::TtlExpired, None),
                bpf_abi::WHY_MTU => self.dropped(upcall, DropReason::TooBig, None),
                _ if rewrite.hops > 0 => self.dropped(upcall, DropReason::RouterAddress, None),
                _ => self.deliver(upcall, port),
            },
        }
    }

    /// A fragment of what a router answers itself: the simulation sees the packet once it is whole.
    fn collect(&mut self, upcall: &Upcall<'_>, ingress: Ingress) -> Outcome {
        let header = &upcall.header;
        let tap = header.key.in_port;
        let (added, lost) = self.reassembly.add(tap, upcall.bytes, header.time_ns);
        for lost in lost {
            let count = self.drops.entry((lost.tap, DropReason::RouterFragment));
            let count = count.or_default();
            count.packets += lost.frames;
            count.bytes += lost.bytes;
        }
        let frame = match added {
            Added::Kept => return Outcome::Answer(Vec::new()),
            Added::Refused => return self.dropped(upcall, DropReason::RouterFragment, None),
            Added::Whole(frame) => frame,
        };
        let key = FlowKey {
            flags: header.key.flags & !bpf_abi::FLAG_FRAGMENT,
            ..header.key
        };
        let packet = Packet {
            key,
            frame: &frame,
            gso_size: 0,
        };
        match simulate(&self.snapshot, ingress, &packet).map(|d| d.verdict) {
            Some(Verdict::Answer(frames)) => Outcome::Answer(frames),
            Some(Verdict::Refuse { reason, cause, .. }) => self.dropped(upcall, reason, cause),
            _ => self.dropped(upcall, DropReason::RouterFragment, None),
        }
    }

    fn ingress(&self, header: &bpf_abi::Upcall) -> Result<Ingress, DropReason> {
        if header.vni == 0 {
            let number = header.key.in_port;
            let tap = self.taps.get(&number).map(|tap| Ingress::Port(tap.port));
            let ingress = tap.or_else(|| self.router_ingress(number));
            return ingress.ok_or(DropReason::PortUnknown);
        }
        let key = header.vni & ((1 << bpf_abi::TUNNEL_KEY_BITS) - 1);
        let network = self
            .networks
            .get(&key)
            .ok_or(DropReason::TunnelKeyUnknown)?;
        Ok(Ingress::Network(*network))
    }

    /// False if the decision could not be installed, so that sending the frame again would only
    /// bring it up again.
    fn install(&mut self, upcall: &Upcall<'_>, decision: &Decision) -> bool {
        let Some(compiled) = compile(decision, self) else {
            return true;
        };
        let key = &upcall.header.key;
        let Some(table) = self.table_mut() else {
            return false;
        };
        match table.install(key, &decision.mask, compiled) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "decision not installed; the frame is dropped");
                false
            }
        }
    }

    fn flood(&self, ingress: Ingress, ports: &[PortId]) -> Outcome {
        let taps = ports
            .iter()
            .filter_map(|port| self.ports.get(port).copied())
            .collect();
        let remote = match ingress {
            Ingress::Network(_) | Ingress::Router(_) => BTreeSet::new(),
            Ingress::Port(from) => self.remote_hosts(from, ports),
        };
        Outcome::Deliver { taps, remote }
    }

    /// Each other host that has one of these ports, with the flood key of the sender's network.
    fn remote_hosts(&self, from: PortId, ports: &[PortId]) -> BTreeSet<(IpAddr, u32)> {
        let bridge = self.snapshot.port(from).and_then(|p| p.bridge);
        let Some(bridge) = bridge.and_then(|id| self.snapshot.bridge(id)) else {
            return BTreeSet::new();
        };
        let places = ports.iter().map(|port| self.place(*port));
        let remote = places.filter_map(|place| match place {
            Place::Remote { address, .. } => Some((address, bridge.flood_key)),
            _ => None,
        });
        remote.collect()
    }

    fn deliver(&mut self, upcall: &Upcall<'_>, port: PortId) -> Outcome {
        match self.place(port) {
            Place::Local { ifindex } => Outcome::Deliver {
                taps: vec![ifindex],
                remote: BTreeSet::new(),
            },
            Place::Remote { address, key, .. } => Outcome::Deliver {
                taps: Vec::new(),
                remote: BTreeSet::from([(address, key | bpf_abi::VNI_UNTRACKED)]),
            },
            Place::Unbound => self.dropped(upcall, DropReason::PortUnbound, None),
            Place::HostUnknown { .. } => self.dropped(upcall, DropReason::HostUnknown, None),
        }
    }

    fn dropped(&mut self, upcall: &Upcall<'_>, reason: DropReason, cause: Option<Uuid>) -> Outcome {
        let tap = if upcall.header.vni == 0 {
            upcall.header.key.in_port
        } else {
            0
        };
        let count = self.drops.entry((tap, reason)).or_default();
        count.packets += 1;
        count.bytes += u64::from(upcall.header.len);
        count.cause = cause.or(count.cause);
        Outcome::Dropped(reason)
    }

    /// Frames of a port were dropped where nobody sees them one by one.
    pub fn count_drops(&mut self, number: u32, reason: DropReason, packets: u32, cause: Uuid) {
        let count = self.drops.entry((number, reason)).or_default();
        count.packets += u64::from(packets);
        count.cause = Some(cause);
    }

    /// The decision table, to keep it in shape.
    pub fn table_mut(&mut self) -> Option<&mut Table<M>> {
        match &mut self.decisions {
            Decisions::Ready(table) => Some(table),
            Decisions::Waiting(_) => None,
        }
    }
}

/// Whatever a VM sends, it must not end the agent: a frame that the simulation cannot cope with is
/// dropped. The simulation only reads, so nothing is left half done.
fn simulate(snapshot: &Snapshot, ingress: Ingress, packet: &Packet<'_>) -> Option<Decision> {
    let judge = AssertUnwindSafe(|| sim::simulate(snapshot, ingress, packet));
    let decision = catch_unwind(judge).ok();
    if decision.is_none() {
        tracing::error!(key = ?packet.key, "a frame broke the simulation; please report it");
    }
    decision
}

/// What others may see of it.
impl<M> World<M> {
    /// Whether there is a topology.
    pub fn is_ready(&self) -> bool {
        matches!(self.decisions, Decisions::Ready(_))
    }

    /// Name of this host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The cluster's store that the revision belongs to.
    pub fn instance(&self) -> Option<Uuid> {
        self.instance
    }

    /// Topology revision that is applied.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The topology as it is now.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The decision table, once there is a topology.
    pub fn table(&self) -> Option<&Table<M>> {
        match &self.decisions {
            Decisions::Ready(table) => Some(table),
            Decisions::Waiting(_) => None,
        }
    }

    /// The taps that are attached, by ifindex.
    pub fn taps(&self) -> &BTreeMap<u32, Plugged> {
        &self.taps
    }

    /// The tap of a port, if it is attached.
    pub fn tap_of(&self, port: PortId) -> Option<u32> {
        self.ports.get(&port).copied()
    }

    /// What is known of stations.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Frames the agent itself dropped, by tap and reason.
    pub fn drops(&self) -> &BTreeMap<(u32, DropReason), Dropped> {
        &self.drops
    }
}

impl<M> Places for World<M> {
    fn place(&self, port: PortId) -> Place {
        if port == metadata::SERVICE {
            let device = self.metadata.device;
            return device.map_or(Place::Unbound, |ifindex| Place::Local { ifindex });
        }
        let Some(port) = self.snapshot.port(port) else {
            return Place::Unbound;
        };
        match port.host() {
            None => Place::Unbound,
            Some(host) if host == self.host => match self.ports.get(&port.id) {
                Some(ifindex) => Place::Local { ifindex: *ifindex },
                None => Place::Unbound,
            },
            Some(host) => self.at_host(host, port.key),
        }
    }

    fn router(&self, router: RouterId, host: &str) -> Place {
        let Some(router) = self.snapshot.router(router) else {
            return Place::Unbound;
        };
        if host == self.host {
            return Place::Local {
                ifindex: bpf_abi::router_number(router.key),
            };
        }
        self.at_host(host, router.key)
    }

    fn number(&self, router: RouterId) -> Option<u32> {
        let router = self.snapshot.router(router)?;
        Some(bpf_abi::router_number(router.key))
    }
}

impl<M> World<M> {
    fn at_host(&self, host: &str, key: TunnelKey) -> Place {
        let host = host.to_owned();
        match self.snapshot.host(&host) {
            Some(known) => Place::Remote {
                host,
                address: known.tunnel,
                key,
            },
            None => Place::HostUnknown { host },
        }
    }
}

mod metadata;
mod routers;
#[cfg(test)]
mod tests;
