//! A host that runs an agent.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// A host as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// Made by its agent on first start.
    pub id: Uuid,
    /// What Neutron calls it in `binding:host_id`.
    pub name: String,
    /// Underlay addresses.
    pub addresses: Vec<IpAddr>,
    /// Its agent is connected.
    pub alive: bool,
    /// Address of this document.
    pub uri: String,
    /// Address of the list of ports bound to it.
    pub ports: String,
}

/// A port bound to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostPort {
    /// The host.
    pub host_id: Uuid,
    /// The port.
    pub port_id: Uuid,
    /// Interface of the host; the name Nova gives unless another was asked for.
    pub interface_name: String,
}
