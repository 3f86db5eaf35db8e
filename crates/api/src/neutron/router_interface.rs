//! Router interface: a request about a router and a port, not a resource that is kept.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A port becomes, or is no longer, an interface of a router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterInterface {
    /// The router; that of the path if absent.
    #[serde(default)]
    pub id: Option<Uuid>,
    /// The port.
    pub port_id: Uuid,
}
