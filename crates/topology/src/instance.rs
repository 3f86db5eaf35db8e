//! An instance: the server that a port belongs to, as Nova knows it.

use serde::{Deserialize, Serialize};

/// Who asks when a VM asks for its metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The server's id: the port's `device_id`.
    pub id: String,
    /// The port's project.
    pub project: String,
}
