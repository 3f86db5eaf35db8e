//! The decision table's books: classes, action slots, tags, generations.

use crate::{Compiled, Maps, MapsError};
use bpf_abi::Action;
use flow::{FlowKey, Mask};
use std::collections::BTreeSet;
use topology::Tag;
use uuid::Uuid;

/// A decision cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The kernel refused.
    #[error(transparent)]
    Maps(#[from] MapsError),
}

/// One decision with its counters, for the operator.
#[derive(Clone, Debug)]
pub struct DecisionInfo {
    /// Action slot.
    pub id: u32,
    /// Bits that matter.
    pub mask: Mask,
    /// Their values.
    pub key: FlowKey,
    /// What happens, with packets and bytes.
    pub action: Action,
    /// What it depends on.
    pub tags: BTreeSet<Tag>,
    /// The Neutron resource that made it a drop.
    pub cause: Option<Uuid>,
}

/// The decision table over the kernel's maps or their fake twin.
pub struct Table<M> {
    maps: M,
}

impl<M: Maps> Table<M> {
    /// A table over maps in any state, also what an earlier process left: every decision is
    /// removed and every generation raised, so that each connection is decided again with its next
    /// packet. Connection entries stay.
    ///
    /// Call it when the snapshot is there: until then the old decisions forward on.
    pub fn new(maps: M) -> Result<Self, MapsError> {
        Ok(Self { maps })
    }

    /// Installs a decision for all packets that equal `key` under `mask`. An existing decision of
    /// the same class is replaced. At `ACTIONS_MAX` decisions the least recently hit make room.
    pub fn install(
        &mut self,
        _key: &FlowKey,
        _mask: &Mask,
        _compiled: Compiled,
    ) -> Result<(), InstallError> {
        unimplemented!()
    }

    /// Removes the decisions that depend on one of these tags; connections made from them are
    /// decided again. Returns how many there were.
    pub fn invalidate(&mut self, _tags: &BTreeSet<Tag>) -> Result<usize, MapsError> {
        unimplemented!()
    }

    /// Removes all decisions.
    pub fn clear(&mut self) -> Result<(), MapsError> {
        unimplemented!()
    }

    /// Orders the classes by use, the busiest first. Call it every few seconds.
    pub fn reorder(&mut self) -> Result<(), MapsError> {
        unimplemented!()
    }

    /// All decisions with their counters.
    pub fn decisions(&self) -> Result<Vec<DecisionInfo>, MapsError> {
        unimplemented!()
    }

    /// How many decisions there are.
    pub fn len(&self) -> usize {
        unimplemented!()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The maps, for ports, tunnels and counters.
    pub fn maps(&self) -> &M {
        &self.maps
    }

    /// The maps, to change ports and tunnels.
    pub fn maps_mut(&mut self) -> &mut M {
        &mut self.maps
    }
}
