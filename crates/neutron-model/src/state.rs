//! Everything a plan is made against.

use crate::{Keys, Model, Op};
use std::collections::BTreeSet;
use topology::{Change, Object, ObjectId, Snapshot, Tag, TunnelKey, Versioned};

/// Neutron resources, the topology they became, and the tunnel keys in use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Neutron resources.
    pub neutron: Model,
    /// What they became, and the hosts.
    pub topology: Snapshot,
    /// Tunnel keys.
    pub keys: Keys,
}

impl State {
    /// Makes one step, written at this store revision; returns the tags it touched.
    pub fn apply(&mut self, op: Op, revision: u64) -> BTreeSet<Tag> {
        match op {
            Op::Keep(resource) => self.neutron.keep(resource),
            Op::Forget(kind, id) => self.neutron.forget((kind, id)),
            Op::KeyTaken(key) => self.keys.set_last(key),
            Op::Put(object) => {
                if let Some(key) = key_of(&object) {
                    self.keys.take(key);
                }
                return self
                    .topology
                    .apply(Change::Put(Versioned { revision, object }));
            }
            Op::Delete(id) => {
                if let Some(key) = self.topology.get(id).and_then(|v| key_of(&v.object)) {
                    self.keys.free(key);
                }
                return self.topology.apply(Change::Delete(id));
            }
        }
        BTreeSet::new()
    }

    /// Whether a step would change nothing.
    pub(crate) fn has(&self, op: &Op) -> bool {
        match op {
            Op::Keep(resource) => {
                self.neutron.stored(resource.kind(), resource.id()) == Some(resource)
            }
            Op::Forget(kind, id) => self.neutron.stored(*kind, *id).is_none(),
            Op::Put(object) => self
                .topology
                .get(object.id())
                .is_some_and(|held| held.object == *object),
            Op::Delete(id) => self.topology.revision(*id).is_none(),
            Op::KeyTaken(_) => false,
        }
    }

    /// The key an object has already.
    pub(crate) fn key_of(&self, id: ObjectId) -> Option<TunnelKey> {
        self.topology.get(id).and_then(|held| key_of(&held.object))
    }
}

fn key_of(object: &Object) -> Option<TunnelKey> {
    match object {
        Object::Bridge(bridge) => Some(bridge.flood_key),
        Object::Port(port) => Some(port.key),
        Object::Router(router) => Some(router.key).filter(|key| *key != 0),
        Object::Subnet(_)
        | Object::AddressGroup(_)
        | Object::Group(_)
        | Object::Policy(_)
        | Object::Host(_)
        | Object::FloatingIp(_)
        | Object::Lease(_) => None,
    }
}
