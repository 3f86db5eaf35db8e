//! The virtual topology: bridges, routers, ports, subnets, security groups and hosts.
//!
//! The cluster plans changes to it, agents hold the part that concerns them, and the simulation
//! reads it. Everything here is pure: no I/O, no clock, no threads.
#![forbid(unsafe_code)]

mod address_group;
mod address_set;
mod bridge;
mod dhcp_option;
mod floating_ip;
mod group;
mod host;
mod id;
mod instance;
mod lease;
mod object;
mod outside;
mod policy;
mod port;
mod router;
mod snapshot;
mod station;
mod subnet;
mod tag;
mod view;

pub use address_group::AddressGroup;
pub use address_set::SetId;
pub use bridge::Bridge;
pub use dhcp_option::DhcpOption;
pub use floating_ip::{FloatingIp, Forwarded, PortRange};
pub use group::{Direction, Family, Group, Layer4, Remote, Rule};
pub use host::Host;
pub use id::{
    AddressGroupId, BridgeId, FloatingIpId, GroupId, HostId, LeaseId, PolicyId, PortId, RouterId,
    RuleId, SubnetId,
};
pub use instance::Instance;
pub use lease::{BLOCK_FIRST, Lease, block_of};
pub use object::{Change, Object, ObjectId, Versioned};
pub use outside::NAT64_POOL;
pub use policy::{Limits, Policy, Rate};
pub use port::{Address, AddressPair, Link, Port, Security, Trunk};
pub use router::{DEFAULT_WEIGHT, Gateway, Nexthop, Route, Router};
pub use snapshot::Snapshot;
pub use station::{Holder, Learned, STATIONS_MAX, STATIONS_PER_PORT, Station};
pub use subnet::{HostRoute, Ipv6Mode, Subnet};
pub use tag::Tag;
pub use view::{View, hosts_of_network, networks_of_host};

/// Key of a port or of a network on the underlay: the VNI below its flag bits, never 0.
pub type TunnelKey = u32;
