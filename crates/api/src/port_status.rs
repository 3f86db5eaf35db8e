//! The feed of port states, for Neutron.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What changed since a cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatuses {
    /// Which run of the cluster the cursor belongs to. When it changes, start again from 0.
    pub instance: Uuid,
    /// To be given as `since` the next time.
    pub cursor: u64,
    /// Ports whose state changed, each once with its latest state.
    pub ports: Vec<PortStatus>,
}

/// State of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    /// The port.
    pub id: Uuid,
    /// Its state.
    pub status: PortState,
}

/// State of a port in Neutron's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PortState {
    /// Its frames pass.
    Active,
    /// They do not.
    Down,
}
