//! The topology at one moment, with the indexes that the simulation asks.

use crate::{
    AddressGroup, AddressGroupId, Bridge, BridgeId, Change, FloatingIp, FloatingIpId, Group,
    GroupId, Host, Lease, LeaseId, Object, ObjectId, Policy, PolicyId, Port, PortId, Router,
    RouterId, SetId, Subnet, SubnetId, Tag, Versioned, address_set::AddressSets, outside::Outside,
    station::Stations,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};
use wire::Mac;

type Held<T> = (u64, Arc<T>);

/// Objects and indexes. `apply` is the only way to change one; it costs what the change costs,
/// not what the topology weighs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    bridges: BTreeMap<BridgeId, Held<Bridge>>,
    routers: BTreeMap<RouterId, Held<Router>>,
    ports: BTreeMap<PortId, Held<Port>>,
    subnets: BTreeMap<SubnetId, Held<Subnet>>,
    address_groups: BTreeMap<AddressGroupId, Held<AddressGroup>>,
    groups: BTreeMap<GroupId, Held<Group>>,
    policies: BTreeMap<PolicyId, Held<Policy>>,
    hosts: BTreeMap<String, Held<Host>>,
    floating_ips: BTreeMap<FloatingIpId, Held<FloatingIp>>,
    leases: BTreeMap<LeaseId, Held<Lease>>,
    // indexes, each derivable from the tables above
    macs: HashMap<(BridgeId, Mac), BTreeSet<PortId>>,
    neighbors: HashMap<(BridgeId, IpAddr), BTreeSet<PortId>>,
    bridge_ports: HashMap<BridgeId, BTreeSet<PortId>>,
    bridge_subnets: HashMap<BridgeId, BTreeSet<SubnetId>>,
    router_ports: HashMap<RouterId, BTreeSet<PortId>>,
    sets: AddressSets,
    pub(crate) outside: Outside,
    /// Learned, not stored.
    pub(crate) stations: Stations,
}

impl Snapshot {
    /// A snapshot of these objects.
    pub fn of(objects: impl IntoIterator<Item = Object>) -> Self {
        let mut snapshot = Self::default();
        for object in objects {
            snapshot.apply(Change::Put(Versioned {
                revision: 1,
                object,
            }));
        }
        snapshot
    }

    /// A bridge by id.
    pub fn bridge(&self, id: BridgeId) -> Option<&Arc<Bridge>> {
        self.bridges.get(&id).map(|(_, b)| b)
    }

    /// A router by id.
    pub fn router(&self, id: RouterId) -> Option<&Arc<Router>> {
        self.routers.get(&id).map(|(_, r)| r)
    }

    /// A port by id.
    pub fn port(&self, id: PortId) -> Option<&Arc<Port>> {
        self.ports.get(&id).map(|(_, p)| p)
    }

    /// A subnet by id.
    pub fn subnet(&self, id: SubnetId) -> Option<&Arc<Subnet>> {
        self.subnets.get(&id).map(|(_, s)| s)
    }

    /// An address group by id.
    pub fn address_group(&self, id: AddressGroupId) -> Option<&Arc<AddressGroup>> {
        self.address_groups.get(&id).map(|(_, g)| g)
    }

    /// A security group by id.
    pub fn group(&self, id: GroupId) -> Option<&Arc<Group>> {
        self.groups.get(&id).map(|(_, g)| g)
    }

    /// A QoS policy by id.
    pub fn policy(&self, id: PolicyId) -> Option<&Arc<Policy>> {
        self.policies.get(&id).map(|(_, p)| p)
    }

    /// A host by name.
    pub fn host(&self, name: &str) -> Option<&Arc<Host>> {
        self.hosts.get(name).map(|(_, h)| h)
    }

    /// A floating IP or port forwarding by id.
    pub fn floating_ip(&self, id: FloatingIpId) -> Option<&Arc<FloatingIp>> {
        self.floating_ips.get(&id).map(|(_, f)| f)
    }

    /// A lease by id.
    pub fn lease(&self, id: LeaseId) -> Option<&Arc<Lease>> {
        self.leases.get(&id).map(|(_, l)| l)
    }

    /// All leases by id.
    pub fn leases(&self) -> impl Iterator<Item = &Arc<Lease>> {
        self.leases.values().map(|(_, l)| l)
    }

    /// All ports by id.
    pub fn ports(&self) -> impl Iterator<Item = &Arc<Port>> {
        self.ports.values().map(|(_, p)| p)
    }

    /// All hosts by name.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.hosts.values().map(|(_, h)| h)
    }

    /// All bridges by id.
    pub fn bridges(&self) -> impl Iterator<Item = &Arc<Bridge>> {
        self.bridges.values().map(|(_, b)| b)
    }

    /// All routers by id.
    pub fn routers(&self) -> impl Iterator<Item = &Arc<Router>> {
        self.routers.values().map(|(_, r)| r)
    }

    /// The port of a bridge that has a MAC; the lowest id if several do.
    pub fn port_by_mac(&self, bridge: BridgeId, mac: Mac) -> Option<&Arc<Port>> {
        let ids = self.macs.get(&(bridge, mac))?;
        self.port(*ids.first()?)
    }

    /// The port of a bridge that has a fixed address; the lowest id if several do.
    pub fn port_by_address(&self, bridge: BridgeId, ip: IpAddr) -> Option<&Arc<Port>> {
        let ids = self.neighbors.get(&(bridge, ip))?;
        self.port(*ids.first()?)
    }

    /// The ports of a bridge by id.
    pub fn bridge_ports(&self, bridge: BridgeId) -> impl Iterator<Item = &Arc<Port>> {
        self.bridge_ports
            .get(&bridge)
            .into_iter()
            .flatten()
            .filter_map(|id| self.port(*id))
    }

    /// The subnets of a bridge by id.
    pub fn bridge_subnets(&self, bridge: BridgeId) -> impl Iterator<Item = &Arc<Subnet>> {
        self.bridge_subnets
            .get(&bridge)
            .into_iter()
            .flatten()
            .filter_map(|id| self.subnet(*id))
    }

    /// The interfaces of a router by port id.
    pub fn router_ports(&self, router: RouterId) -> impl Iterator<Item = &Arc<Port>> {
        self.router_ports
            .get(&router)
            .into_iter()
            .flatten()
            .filter_map(|id| self.port(*id))
    }

    /// Whether an address is in a set, and the tags that this depends on. Members of a group are
    /// known by their fixed addresses and allowed pairs, as Neutron counts them.
    pub fn is_in(&self, set: SetId, ip: IpAddr, depends_on: impl FnMut(Tag)) -> bool {
        self.sets.contains(set, ip, depends_on)
    }

    /// Every object with its revision, in the order bridges, subnets, routers, address groups,
    /// groups, policies, hosts, ports, floating IPs, leases: what a later object names comes before it.
    pub fn objects(&self) -> impl Iterator<Item = Versioned> {
        fn wrap<'a, T: Clone + 'a>(
            held: impl Iterator<Item = &'a Held<T>>,
            make: fn(T) -> Object,
        ) -> impl Iterator<Item = Versioned> {
            held.map(move |(revision, o)| Versioned {
                revision: *revision,
                object: make(T::clone(o)),
            })
        }
        wrap(self.bridges.values(), Object::Bridge)
            .chain(wrap(self.subnets.values(), Object::Subnet))
            .chain(wrap(self.routers.values(), Object::Router))
            .chain(wrap(self.address_groups.values(), Object::AddressGroup))
            .chain(wrap(self.groups.values(), Object::Group))
            .chain(wrap(self.policies.values(), Object::Policy))
            .chain(wrap(self.hosts.values(), Object::Host))
            .chain(wrap(self.ports.values(), Object::Port))
            .chain(wrap(self.floating_ips.values(), Object::FloatingIp))
            .chain(wrap(self.leases.values(), Object::Lease))
    }

    /// One object with its revision.
    pub fn get(&self, id: ObjectId) -> Option<Versioned> {
        fn wrap<T: Clone>(held: &Held<T>, make: fn(T) -> Object) -> Versioned {
            Versioned {
                revision: held.0,
                object: make(T::clone(&held.1)),
            }
        }
        match id {
            ObjectId::Bridge(id) => self.bridges.get(&id).map(|h| wrap(h, Object::Bridge)),
            ObjectId::Router(id) => self.routers.get(&id).map(|h| wrap(h, Object::Router)),
            ObjectId::Port(id) => self.ports.get(&id).map(|h| wrap(h, Object::Port)),
            ObjectId::FloatingIp(id) => {
                let held = self.floating_ips.get(&id);
                held.map(|h| wrap(h, Object::FloatingIp))
            }
            ObjectId::Lease(id) => self.leases.get(&id).map(|h| wrap(h, Object::Lease)),
            ObjectId::Subnet(id) => self.subnets.get(&id).map(|h| wrap(h, Object::Subnet)),
            ObjectId::AddressGroup(id) => {
                let held = self.address_groups.get(&id);
                held.map(|h| wrap(h, Object::AddressGroup))
            }
            ObjectId::Group(id) => self.groups.get(&id).map(|h| wrap(h, Object::Group)),
            ObjectId::Policy(id) => self.policies.get(&id).map(|h| wrap(h, Object::Policy)),
            ObjectId::Host(id) => self
                .hosts
                .values()
                .find(|(_, h)| h.id == id)
                .map(|h| wrap(h, Object::Host)),
        }
    }

    /// The store revision that wrote an object.
    pub fn revision(&self, id: ObjectId) -> Option<u64> {
        match id {
            ObjectId::Bridge(id) => self.bridges.get(&id).map(|h| h.0),
            ObjectId::Router(id) => self.routers.get(&id).map(|h| h.0),
            ObjectId::Port(id) => self.ports.get(&id).map(|h| h.0),
            ObjectId::FloatingIp(id) => self.floating_ips.get(&id).map(|h| h.0),
            ObjectId::Lease(id) => self.leases.get(&id).map(|h| h.0),
            ObjectId::Subnet(id) => self.subnets.get(&id).map(|h| h.0),
            ObjectId::AddressGroup(id) => self.address_groups.get(&id).map(|h| h.0),
            ObjectId::Group(id) => self.groups.get(&id).map(|h| h.0),
            ObjectId::Policy(id) => self.policies.get(&id).map(|h| h.0),
            ObjectId::Host(id) => self.hosts.values().find(|(_, h)| h.id == id).map(|h| h.0),
        }
    }

    /// Makes one change and names the tags it touches. A change that changes nothing touches
    /// nothing.
    pub fn apply(&mut self, change: Change) -> BTreeSet<Tag> {
        let mut touched = BTreeSet::new();
        let id = match &change {
            Change::Put(versioned) => versioned.object.id(),
            Change::Delete(id) => *id,
        };
        let before = self.brings(id);
        let was = match id {
            ObjectId::Port(port) => self.port(port).cloned(),
            _ => None,
        };
        match change {
            Change::Put(Versioned { revision, object }) => {
                if self.get(id).is_some_and(|held| held.object == object) {
                    self.set_revision(id, revision);
                } else {
                    self.remove(id, &mut touched);
                    self.insert(revision, object, &mut touched);
                }
            }
            Change::Delete(id) => self.remove(id, &mut touched),
        }
        self.sets.change(&before, &self.brings(id), &mut touched);
        if let Some(port) = was {
            self.recheck_stations(port.id, port.host(), &mut touched);
        }
        touched
    }

    /// The prefixes that an object brings to sets of addresses.
    fn brings(&self, id: ObjectId) -> BTreeSet<(SetId, IpNet)> {
        match id {
            ObjectId::Port(id) => self.port(id).map(|port| memberships(port)),
            ObjectId::AddressGroup(id) => self.address_groups.get(&id).map(|(_, group)| {
                let set = SetId::Addresses(id);
                group.nets.iter().map(|net| (set, *net)).collect()
            }),
            _ => None,
        }
        .unwrap_or_default()
    }

    fn set_revision(&mut self, id: ObjectId, revision: u64) {
        let held = match id {
            ObjectId::Bridge(id) => self.bridges.get_mut(&id).map(|h| &mut h.0),
            ObjectId::Router(id) => self.routers.get_mut(&id).map(|h| &mut h.0),
            ObjectId::Port(id) => self.ports.get_mut(&id).map(|h| &mut h.0),
            ObjectId::FloatingIp(id) => self.floating_ips.get_mut(&id).map(|h| &mut h.0),
            ObjectId::Lease(id) => self.leases.get_mut(&id).map(|h| &mut h.0),
            ObjectId::Subnet(id) => self.subnets.get_mut(&id).map(|h| &mut h.0),
            ObjectId::AddressGroup(id) => self.address_groups.get_mut(&id).map(|h| &mut h.0),
            ObjectId::Group(id) => self.groups.get_mut(&id).map(|h| &mut h.0),
            ObjectId::Policy(id) => self.policies.get_mut(&id).map(|h| &mut h.0),
            ObjectId::Host(id) => self
                .hosts
                .values_mut()
                .find(|(_, h)| h.id == id)
                .map(|h| &mut h.0),
        };
        if let Some(held) = held {
            *held = revision;
        }
    }

    fn insert(&mut self, revision: u64, object: Object, touched: &mut BTreeSet<Tag>) {
        match object {
            Object::Bridge(o) => {
                touched.insert(Tag::Bridge(o.id));
                self.bridges.insert(o.id, (revision, Arc::new(o)));
            }
            Object::Router(o) => {
                touched.insert(Tag::Router(o.id));
                self.routers.insert(o.id, (revision, Arc::new(o)));
            }
            Object::AddressGroup(o) => {
                self.address_groups.insert(o.id, (revision, Arc::new(o)));
            }
            Object::Group(o) => {
                touched.insert(Tag::Group(o.id));
                self.groups.insert(o.id, (revision, Arc::new(o)));
            }
            Object::Policy(o) => {
                touched.insert(Tag::Policy(o.id));
                self.policies.insert(o.id, (revision, Arc::new(o)));
            }
            Object::Host(o) => {
                touched.insert(Tag::Host(o.name.clone()));
                self.hosts.insert(o.name.clone(), (revision, Arc::new(o)));
            }
            Object::FloatingIp(o) => {
                self.outside.insert_floating_ip(&o, touched);
                self.floating_ips.insert(o.id, (revision, Arc::new(o)));
            }
            Object::Lease(o) => {
                self.outside.insert_lease(&o, touched);
                self.leases.insert(o.id, (revision, Arc::new(o)));
            }
            Object::Subnet(o) => {
                self.touch_subnet(&o, touched);
                self.bridge_subnets
                    .entry(o.bridge)
                    .or_default()
                    .insert(o.id);
                self.subnets.insert(o.id, (revision, Arc::new(o)));
            }
            Object::Port(o) => {
                self.touch_port(&o, touched);
                self.index_port(&o);
                self.ports.insert(o.id, (revision, Arc::new(o)));
            }
        }
    }

    fn remove(&mut self, id: ObjectId, touched: &mut BTreeSet<Tag>) {
        match id {
            ObjectId::Bridge(id) => {
                if self.bridges.remove(&id).is_some() {
                    touched.insert(Tag::Bridge(id));
                }
            }
            ObjectId::Router(id) => {
                if self.routers.remove(&id).is_some() {
                    touched.insert(Tag::Router(id));
                }
            }
            ObjectId::AddressGroup(id) => {
                self.address_groups.remove(&id);
            }
            ObjectId::Group(id) => {
                if self.groups.remove(&id).is_some() {
                    touched.insert(Tag::Group(id));
                }
            }
            ObjectId::Policy(id) => {
                if self.policies.remove(&id).is_some() {
                    touched.insert(Tag::Policy(id));
                }
            }
            ObjectId::Host(id) => {
                let name = self
                    .hosts
                    .values()
                    .find(|(_, h)| h.id == id)
                    .map(|(_, h)| &h.name);
                if let Some(name) = name.cloned() {
                    self.hosts.remove(&name);
                    touched.insert(Tag::Host(name));
                }
            }
            ObjectId::FloatingIp(id) => {
                if let Some((_, old)) = self.floating_ips.remove(&id) {
                    self.outside.remove_floating_ip(&old, touched);
                }
            }
            ObjectId::Lease(id) => {
                if let Some((_, old)) = self.leases.remove(&id) {
                    self.outside.remove_lease(&old, touched);
                }
            }
            ObjectId::Subnet(id) => {
                if let Some((_, old)) = self.subnets.remove(&id) {
                    self.touch_subnet(&old, touched);
                    forget(&mut self.bridge_subnets, &old.bridge, &id);
                }
            }
            ObjectId::Port(id) => {
                if let Some((_, old)) = self.ports.remove(&id) {
                    self.unindex_port(&old);
                    self.touch_port(&old, touched);
                }
            }
        }
    }

    /// A subnet gives its bridge's routers their prefixes.
    fn touch_subnet(&self, subnet: &Subnet, touched: &mut BTreeSet<Tag>) {
        touched.insert(Tag::Subnet(subnet.id));
        let routers = self.bridge_ports(subnet.bridge).filter_map(|p| p.router());
        touched.extend(routers.map(Tag::Router));
    }

    fn touch_port(&self, port: &Port, touched: &mut BTreeSet<Tag>) {
        touched.insert(Tag::Port(port.id));
        touched.extend(port.router().map(Tag::Router));
        if let Some(bridge) = port.bridge {
            touched.insert(Tag::Ports(bridge));
            touched.insert(Tag::Mac(bridge, port.mac));
            touched.extend(port.addresses.iter().map(|a| Tag::Neighbor(bridge, a.ip)));
            let floating = self.stood_for(port);
            touched.extend(floating.map(|(bridge, ip)| Tag::Neighbor(bridge, ip)));
        }
    }

    fn index_port(&mut self, port: &Port) {
        if let Some(bridge) = port.bridge {
            self.bridge_ports.entry(bridge).or_default().insert(port.id);
            self.macs
                .entry((bridge, port.mac))
                .or_default()
                .insert(port.id);
            for address in &port.addresses {
                self.neighbors
                    .entry((bridge, address.ip))
                    .or_default()
                    .insert(port.id);
            }
        }
        if let Some(router) = port.router() {
            self.router_ports.entry(router).or_default().insert(port.id);
        }
    }

    fn unindex_port(&mut self, port: &Port) {
        if let Some(bridge) = port.bridge {
            forget(&mut self.bridge_ports, &bridge, &port.id);
            forget(&mut self.macs, &(bridge, port.mac), &port.id);
            for address in &port.addresses {
                forget(&mut self.neighbors, &(bridge, address.ip), &port.id);
            }
        }
        if let Some(router) = port.router() {
            forget(&mut self.router_ports, &router, &port.id);
        }
    }
}

/// The groups a port is a member of, with each of its addresses.
fn memberships(port: &Port) -> BTreeSet<(SetId, IpNet)> {
    let Some(security) = &port.security else {
        return BTreeSet::new();
    };
    let fixed = port.addresses.iter().map(|a| IpNet::from(a.ip));
    let nets: Vec<IpNet> = fixed.chain(security.pairs.iter().map(|p| p.net)).collect();
    let groups = security.groups.iter().map(|id| SetId::Members(*id));
    groups
        .flat_map(|set| nets.iter().map(move |net| (set, *net)))
        .collect()
}

/// Takes one value out of a set of an index, and the set too when it is empty, so that an index
/// after changes equals the index of a fresh snapshot.
pub(crate) fn forget<K, V>(index: &mut HashMap<K, BTreeSet<V>>, key: &K, value: &V)
where
    K: std::hash::Hash + Eq,
    V: Ord,
{
    if let Some(set) = index.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
