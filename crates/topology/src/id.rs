//! A newtype per kind of identifier, so that one cannot stand for another.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {}", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }
    )*};
}

id! {
    /// A bridge; the id of its Neutron network.
    BridgeId,
    /// A port of a bridge or router; the id of its Neutron port.
    PortId,
    /// A router; the id of its Neutron router.
    RouterId,
    /// A subnet; the id of its Neutron subnet.
    SubnetId,
    /// A security group; the id of its Neutron security group.
    GroupId,
    /// An address group; the id of its Neutron address group.
    AddressGroupId,
    /// A security group rule; the id of its Neutron rule.
    RuleId,
    /// A QoS policy; the id of its Neutron policy.
    PolicyId,
    /// A floating IP or one of its port forwardings; the id of the Neutron one.
    FloatingIpId,
    /// What a host has leased of a router.
    LeaseId,
    /// A host; made by its agent on first start.
    HostId,
}
