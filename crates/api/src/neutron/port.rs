//! Port.

use crate::decode::{null_as_default, null_as_true, yes};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::net::IpAddr;
use uuid::Uuid;
use wire::Mac;

/// Values of `device_owner` that mean something here.
pub mod owner {
    /// A port of a router on a tenant network, and its variants.
    pub const ROUTER_INTERFACES: [&str; 3] = [
        ROUTER_INTERFACE,
        "network:router_interface_distributed",
        "network:ha_router_replicated_interface",
    ];
    /// A port of a router on a tenant network.
    pub const ROUTER_INTERFACE: &str = "network:router_interface";
    /// A port of a router on an external network.
    pub const ROUTER_GATEWAY: &str = "network:router_gateway";
    /// Holds a floating address; nothing is ever plugged in.
    pub const FLOATING_IP: &str = "network:floatingip";
    /// Ports of servers; what follows is the availability zone.
    pub const COMPUTE_PREFIX: &str = "compute:";
    /// Ports of the network service itself, to which a network's QoS policy does not apply.
    pub const SERVICE_PREFIXES: [&str; 2] = [NETWORK_PREFIX, "neutron:"];
    /// Ports of the network service itself; port security does not apply to them.
    pub const NETWORK_PREFIX: &str = "network:";
}

/// A Neutron port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Identity.
    pub id: Uuid,
    /// For people only.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// Project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The same by its newer name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The network it is on.
    pub network_id: Uuid,
    /// Frames pass.
    #[serde(default = "yes", deserialize_with = "null_as_true")]
    pub admin_state_up: bool,
    /// MAC.
    pub mac_address: Mac,
    /// Addresses.
    #[serde(default, deserialize_with = "null_as_default")]
    pub fixed_ips: Vec<FixedIp>,
    /// What it is plugged into: a server, a router.
    #[serde(default, deserialize_with = "null_as_default")]
    pub device_id: String,
    /// Who made it, see [`owner`].
    #[serde(default, deserialize_with = "null_as_default")]
    pub device_owner: String,
    /// Security groups.
    #[serde(default, deserialize_with = "null_as_default")]
    pub security_groups: Vec<Uuid>,
    /// Anti-spoofing and security groups apply.
    #[serde(default = "yes", deserialize_with = "null_as_true")]
    pub port_security_enabled: bool,
    /// Sources beside its own.
    #[serde(default, deserialize_with = "null_as_default")]
    pub allowed_address_pairs: Vec<AddressPair>,
    /// DHCP options of this port.
    #[serde(default, deserialize_with = "null_as_default")]
    pub extra_dhcp_opts: Vec<DhcpOption>,
    /// Name of the host it is bound to; empty if it is not.
    #[serde(
        default,
        rename = "binding:host_id",
        deserialize_with = "null_as_default"
    )]
    pub host_id: String,
    /// How it is plugged.
    #[serde(
        default,
        rename = "binding:profile",
        deserialize_with = "null_as_default"
    )]
    pub profile: BindingProfile,
    /// QoS policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos_policy_id: Option<Uuid>,
    /// Neutron's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_number: Option<u64>,
}

/// An address of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedIp {
    /// The subnet it was taken from.
    pub subnet_id: Uuid,
    /// The address.
    pub ip_address: IpAddr,
}

/// A source beside the port's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPair {
    /// An address or a prefix, as text: Neutron gives it back as it got it.
    pub ip_address: String,
    /// MAC; the port's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<Mac>,
}

/// A DHCP option of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpOption {
    /// Name or number.
    pub opt_name: String,
    /// Value as text.
    #[serde(default)]
    pub opt_value: Option<String>,
    /// 4 or 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<u8>,
}

/// How a port is plugged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingProfile {
    /// Interface of the host; absent when its name follows from the port's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_name: Option<String>,
    /// Of a trunk's sub-port: the parent port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_name: Option<Uuid>,
    /// Of a trunk's sub-port: its VLAN id on the parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<u16>,
    /// Of an uplink's port: VLAN id of its frames on the interface. A number, or its digits as text,
    /// which is what Neutron's command line makes of it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "digits"
    )]
    pub vlan: Option<u16>,
}

fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a VLAN id is wanted")]
    enum Either {
        Number(u16),
        Text(String),
    }
    match Option::<Either>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Either::Number(number)) => Ok(Some(number)),
        Some(Either::Text(text)) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(de::Error::custom("a VLAN id is wanted")),
        },
    }
}
