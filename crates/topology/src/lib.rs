//! The virtual topology: bridges, routers, ports, subnets, security groups and hosts.
//!
//! The cluster plans changes to it, agents hold the part that concerns them, and the simulation
//! reads it. Everything here is pure: no I/O, no clock, no threads.
#![forbid(unsafe_code)]

mod bridge;
mod group;
mod host;
mod id;
mod object;
mod port;
mod router;
mod snapshot;
mod subnet;
mod tag;
mod view;

pub use bridge::Bridge;
pub use group::{Direction, Family, Group, Layer4, Remote, Rule};
pub use host::Host;
pub use id::{BridgeId, GroupId, HostId, PortId, RouterId, RuleId, SubnetId};
pub use object::{Change, Object, ObjectId, Versioned};
pub use port::{Address, AddressPair, Link, Port, Security};
pub use router::{Route, Router};
pub use snapshot::Snapshot;
pub use subnet::{HostRoute, Ipv6Mode, Subnet};
pub use tag::Tag;
pub use view::{View, networks_of_host};

/// Key of a port or of a network on the underlay: the VNI below its flag bits, never 0.
pub type TunnelKey = u32;
