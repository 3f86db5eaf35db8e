//! The tunnel zone: which underlay address each host is reached at.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// Id of the one tunnel zone, which every host joins by itself.
pub const DEFAULT_TUNNEL_ZONE: Uuid = Uuid::from_u128(0x6d69646f_6e65_4000_8000_000000000001);

/// A tunnel zone. There is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TunnelZone {
    /// [`DEFAULT_TUNNEL_ZONE`].
    pub id: Uuid,
    /// `default`
    pub name: String,
    /// `vxlan`
    #[serde(rename = "type")]
    pub kind: String,
    /// Address of this document.
    pub uri: String,
    /// Address of its hosts.
    pub hosts: String,
}

/// A host's address in the tunnel zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TunnelZoneHost {
    /// The zone.
    #[serde(default)]
    pub tunnel_zone_id: Option<Uuid>,
    /// The host.
    #[serde(default)]
    pub host_id: Option<Uuid>,
    /// Underlay address that other hosts send to.
    pub ip_address: IpAddr,
    /// Set by an operator, against what the agent says of itself.
    #[serde(default)]
    pub overridden: bool,
    /// Address of this document.
    #[serde(default)]
    pub uri: String,
}
