//! What one host needs of the topology: the networks its ports can reach, and what is on them.

use crate::{BridgeId, Change, ObjectId, Remote, Snapshot};
use std::collections::{BTreeMap, BTreeSet};

/// The networks of a host's ports and all that routers join to them.
pub fn networks_of_host(all: &Snapshot, host: &str) -> BTreeSet<BridgeId> {
    let ports = all.ports().filter(|p| p.host() == Some(host));
    joined(all, ports.filter_map(|p| p.bridge).collect())
}

/// The hosts that frames for a network can come from: those of its ports and of all networks that
/// routers join to it.
pub fn hosts_of_network(all: &Snapshot, bridge: BridgeId) -> BTreeSet<&str> {
    let networks = joined(all, BTreeSet::from([bridge]));
    let ports = networks.iter().flat_map(|b| all.bridge_ports(*b));
    ports.filter_map(|p| p.host()).collect()
}

/// Networks and all that routers join to them.
fn joined(all: &Snapshot, mut reached: BTreeSet<BridgeId>) -> BTreeSet<BridgeId> {
    let mut queue: Vec<BridgeId> = reached.iter().copied().collect();
    while let Some(bridge) = queue.pop() {
        let routers = all.bridge_ports(bridge).filter_map(|p| p.router());
        let joined = routers
            .flat_map(|r| all.router_ports(r))
            .filter_map(|p| p.bridge);
        queue.extend(joined.filter(|b| reached.insert(*b)));
    }
    reached
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
    let mut groups = BTreeSet::new();
    for &bridge in &networks {
        ids.insert(ObjectId::Bridge(bridge));
        ids.extend(all.bridge_subnets(bridge).map(|s| ObjectId::Subnet(s.id)));
        for port in all.bridge_ports(bridge) {
            ids.insert(ObjectId::Port(port.id));
            ids.extend(port.router().map(ObjectId::Router));
            if port.host() == Some(host) {
                ids.extend(port.policy.map(ObjectId::Policy));
            }
            groups.extend(port.security.iter().flat_map(|s| s.groups.iter().copied()));
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
