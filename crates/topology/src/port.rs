//! A port: where something is plugged into a bridge or a router.

use crate::{
    BridgeId, DhcpOption, GroupId, Instance, PolicyId, PortId, RouterId, SubnetId, TunnelKey,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use wire::Mac;

/// A Neutron port. A router interface is one port as well: on its bridge, linked to its router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Same as the Neutron port's.
    pub id: PortId,
    /// For people only.
    pub name: String,
    /// The network; `None` for a port of a router towards an uplink, which has no bridge.
    pub bridge: Option<BridgeId>,
    /// When false the port drops every frame.
    pub admin_up: bool,
    /// Its MAC.
    pub mac: Mac,
    /// Beyond it is the outside: nobody there knows connections, and what comes from there goes on at
    /// the host that does. So are a router's gateway, an uplink, and the interface it is plugged to.
    #[serde(default)]
    pub outside: bool,
    /// Fixed addresses.
    pub addresses: Vec<Address>,
    /// What is plugged in.
    pub link: Link,
    /// VNI of frames for this port.
    pub key: TunnelKey,
    /// Anti-spoofing and security groups; `None` when port security is off or the port is trusted.
    pub security: Option<Security>,
    /// The QoS policy that applies: its own, or its network's.
    #[serde(default)]
    pub policy: Option<PolicyId>,
    /// The server it belongs to, if Nova made it; only such a port is given metadata.
    #[serde(default)]
    pub instance: Option<Instance>,
    /// DHCP options beside those of its subnets; one with the number of a subnet's replaces it.
    #[serde(default)]
    pub dhcp_options: Vec<DhcpOption>,
}

/// A fixed address of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The subnet it was taken from.
    pub subnet: SubnetId,
}

/// What is at the other side of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Nothing yet: an unbound port.
    None,
    /// An interface of a host.
    Host {
        /// Host name as in `binding:host_id`.
        host: String,
        /// Interface name from `binding:profile`; absent when the tap names the port.
        interface: Option<String>,
        /// Where it is a VLAN of another port's interface, as a sub-port of a trunk is.
        #[serde(default)]
        trunk: Option<Trunk>,
        /// VLAN id of its frames there, if the interface is not all its own.
        #[serde(default)]
        vlan: Option<u16>,
    },
    /// A router: this port is one of its interfaces.
    Router(RouterId),
}

/// How a sub-port of a Neutron trunk is plugged: its frames are those of a VLAN on the interface of
/// another port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trunk {
    /// The port whose interface it is.
    pub parent: PortId,
    /// VLAN id (IEEE 802.1Q), 1 to 4094.
    pub vlan: u16,
}

/// Port security of a VM's port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// Groups whose rules allow; none allows nothing.
    pub groups: Vec<GroupId>,
    /// Sources the VM may use beside its own.
    pub pairs: Vec<AddressPair>,
}

/// A Neutron allowed address pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPair {
    /// Addresses.
    pub net: IpNet,
    /// MAC; the port's own if Neutron was given none.
    pub mac: Mac,
}

impl Port {
    /// The host this port is bound to.
    pub fn host(&self) -> Option<&str> {
        match &self.link {
            Link::Host { host, .. } => Some(host),
            Link::None | Link::Router(_) => None,
        }
    }

    /// The trunk this port is a sub-port of.
    pub fn trunk(&self) -> Option<Trunk> {
        match &self.link {
            Link::Host { trunk, .. } => *trunk,
            Link::None | Link::Router(_) => None,
        }
    }

    /// The VLAN that its frames are on the interface of a host, if the interface is not all its own.
    pub fn vlan(&self) -> Option<u16> {
        match &self.link {
            Link::Host { vlan, .. } => *vlan,
            Link::None | Link::Router(_) => None,
        }
    }

    /// The router this port is an interface of.
    pub fn router(&self) -> Option<RouterId> {
        match self.link {
            Link::Router(id) => Some(id),
            Link::None | Link::Host { .. } => None,
        }
    }

    /// Whether it is a plug: an interface of a host that leads to the outside.
    pub fn is_plug(&self) -> bool {
        self.outside && matches!(self.link, Link::Host { .. })
    }

    /// The Neutron port whose state is this one's: a plug is the host's end of an uplink, which has a
    /// network of its own with the id of the uplink's port.
    pub fn neutron_id(&self) -> PortId {
        match self.bridge.filter(|_| self.is_plug()) {
            Some(bridge) => PortId(bridge.0),
            None => self.id,
        }
    }

    /// Name that Nova gives the tap of this port.
    pub fn tap_name(&self) -> String {
        self.id.tap_name()
    }
}

impl PortId {
    /// Name that Nova gives the tap of a port: `tap` and the first 11 characters of the id.
    pub fn tap_name(self) -> String {
        let mut name = format!("tap{self}");
        name.truncate(14);
        name
    }
}
