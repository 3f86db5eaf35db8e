//! A listing of the topology.

use serde::{Deserialize, Serialize};
use topology::Versioned;
use uuid::Uuid;

/// Objects of the topology at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyListing {
    /// Identity of the store.
    pub instance: Uuid,
    /// Revision of the topology.
    pub revision: u64,
    /// The objects asked for, each after those it names.
    pub objects: Vec<Versioned>,
}
