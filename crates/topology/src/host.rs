//! A host that runs an agent.

use crate::HostId;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One machine. Neutron names it in `binding:host_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Made by the agent on first start and kept in its state directory.
    pub id: HostId,
    /// What Neutron and Nova call the host; unique.
    pub name: String,
    /// Underlay address that other hosts send to.
    pub tunnel: IpAddr,
    /// Its uplinks are to be used only where there are no others.
    #[serde(default)]
    pub draining: bool,
}
