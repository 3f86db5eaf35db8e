//! A bridge: one L2 broadcast domain, spread over all hosts that have a port on it.

use crate::{BridgeId, TunnelKey};
use serde::{Deserialize, Serialize};

/// A Neutron network that is not of type `uplink`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Same as the network's.
    pub id: BridgeId,
    /// For people only.
    pub name: String,
    /// When false the bridge drops every frame.
    pub admin_up: bool,
    /// Largest IP packet on this network, bytes; advertised by DHCP and RA.
    pub mtu: u16,
    /// VNI of frames that go to every port of the network.
    pub flood_key: TunnelKey,
}
