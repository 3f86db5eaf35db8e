//! What one host needs of the topology: the networks its ports can reach, and what is on them.
//!
//! An external network is shared by the routers of all tenants, so what is behind them must not come
//! with it: of a router that is reached from its outside a host needs the router, its floating IPs and
//! its leases, which say what goes where, and the networks inside only as far as packets get there
//! without translation.

use crate::{BridgeId, Change, ObjectId, Port, Remote, Snapshot};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The networks of a host's ports and all that routers join to them.
pub fn networks_of_host(all: &Snapshot, host: &str) -> BTreeSet<BridgeId> {
    let ports = all.ports().filter(|p| p.host() == Some(host));
    let own = ports.filter_map(|p| p.bridge).collect();
    closure(own, |bridge| {
        let entered = all.bridge_ports(bridge);
        let joined = entered.flat_map(|from| beside(all, from).filter(|to| passes(all, from, to)));
        joined.filter_map(|to| to.bridge).collect()
    })
}

/// The hosts that frames for a network can come from: those of its ports and of all networks that
/// routers join to it. From beyond a router's outside they can come from any host: a host does not
/// know who else is there.
pub fn hosts_of_network(all: &Snapshot, bridge: BridgeId) -> BTreeSet<&str> {
    let networks = closure(BTreeSet::from([bridge]), |bridge| {
        let left = all.bridge_ports(bridge);
        let joined = left.flat_map(|to| beside(all, to).filter(|from| passes(all, from, to)));
        joined.filter_map(|from| from.bridge).collect()
    });
    let ports = || networks.iter().flat_map(|b| all.bridge_ports(*b));
    match ports().any(|p| p.outside) {
        true => all.hosts().map(|h| h.name.as_str()).collect(),
        false => ports().filter_map(|p| p.host()).collect(),
    }
}

/// These networks and all that can be reached in steps.
fn closure(
    mut reached: BTreeSet<BridgeId>,
    step: impl Fn(BridgeId) -> Vec<BridgeId>,
) -> BTreeSet<BridgeId> {
    let mut queue: Vec<BridgeId> = reached.iter().copied().collect();
    while let Some(bridge) = queue.pop() {
        queue.extend(step(bridge).into_iter().filter(|b| reached.insert(*b)));
    }
    reached
}

/// All ports of a port's router.
fn beside<'a>(all: &'a Snapshot, port: &Port) -> impl Iterator<Item = &'a Arc<Port>> + use<'a> {
    port.router().into_iter().flat_map(|r| all.router_ports(r))
}

/// Whether packets that come into a router by one port may leave it by another as they are. What
/// comes from a network where the router translates goes on at the host that it is for, which is
/// known without the networks inside; but IPv6 is routed.
fn passes(all: &Snapshot, from: &Port, to: &Port) -> bool {
    let has_v6 = |port: &Port| port.addresses.iter().any(|a| a.ip.is_ipv6());
    !translates(all, from) || (has_v6(from) && has_v6(to))
}

/// Whether a router translates what comes and goes by a port.
fn translates(all: &Snapshot, port: &Port) -> bool {
    let router = port.router().and_then(|r| all.router(r));
    router
        .and_then(|r| r.gateway)
        .is_some_and(|g| g.snat && g.port == port.id)
}

/// The part of the topology that was sent to a host, as object ids and revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    sent: BTreeMap<ObjectId, u64>,
}

impl View {
    /// A view of what the other side says it holds.
    pub fn held(objects: impl IntoIterator<Item = (ObjectId, u64)>) -> Self {
        Self {
            sent: objects.into_iter().collect(),
        }
    }

    /// Brings the view to what `host` needs of `all`; returns the changes that do it: objects
    /// before those that name them, deletions last.
    pub fn advance(&mut self, all: &Snapshot, host: &str) -> Vec<Change> {
        let wanted = needed(all, host);
        let stale = wanted
            .iter()
            .filter(|(id, rev)| self.sent.get(id) != Some(rev));
        let mut changes: Vec<Change> = stale
            .filter_map(|(id, _)| all.get(*id))
            .map(Change::Put)
            .collect();
        let gone = self.sent.keys().filter(|id| !wanted.contains_key(id));
        changes.extend(gone.map(|id| Change::Delete(*id)));
        self.sent = wanted;
        changes
    }
}

/// The objects a host needs and their revisions.
fn needed(all: &Snapshot, host: &str) -> BTreeMap<ObjectId, u64> {
    let networks = networks_of_host(all, host);
    let mut ids: BTreeSet<ObjectId> = all.hosts().map(|h| ObjectId::Host(h.id)).collect();
    let (mut groups, mut routers) = (BTreeSet::new(), BTreeSet::new());
    for &bridge in &networks {
        ids.insert(ObjectId::Bridge(bridge));
        ids.extend(all.bridge_subnets(bridge).map(|s| ObjectId::Subnet(s.id)));
        for port in all.bridge_ports(bridge) {
            ids.insert(ObjectId::Port(port.id));
            routers.extend(port.router());
            if port.host() == Some(host) {
                ids.extend(port.policy.map(ObjectId::Policy));
            }
            groups.extend(port.security.iter().flat_map(|s| s.groups.iter().copied()));
        }
    }
    for router in routers {
        ids.insert(ObjectId::Router(router));
        ids.extend(all.router_leases(router).map(|l| ObjectId::Lease(l.id)));
        for fip in all.router_floating_ips(router) {
            // of the port that it leads to, perhaps far inside, this host needs no more than the port
            ids.extend([ObjectId::FloatingIp(fip.id), ObjectId::Port(fip.port)]);
            let here = all.port(fip.port).and_then(|p| p.host()) == Some(host);
            ids.extend(fip.policy.filter(|_| here).map(ObjectId::Policy));
        }
    }
    let rules = groups
        .iter()
        .filter_map(|g| all.group(*g))
        .flat_map(|g| g.rules.iter());
    let mut remotes = BTreeSet::new();
    for rule in rules {
        match rule.remote {
            Remote::Group(id) => {
                remotes.insert(id);
            }
            Remote::Addresses(id) => {
                ids.insert(ObjectId::AddressGroup(id));
            }
            Remote::Any | Remote::Prefix(_) => {}
        }
    }
    groups.extend(remotes);
    ids.extend(groups.into_iter().map(ObjectId::Group));
    ids.into_iter()
        .filter_map(|id| Some((id, all.revision(id)?)))
        .collect()
}

#[cfg(test)]
mod tests;
