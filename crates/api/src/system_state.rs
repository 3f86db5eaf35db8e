//! State of the system as MidoNet v5 tells it.

use serde::{Deserialize, Serialize};

/// State of the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemState {
    /// `ACTIVE`
    pub state: String,
    /// `READWRITE`
    pub availability: String,
    /// Version of the cluster.
    pub version: String,
}
