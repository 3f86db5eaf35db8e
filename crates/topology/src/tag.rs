//! Tags: what a decision depended on, as fine as the simulation asked.
//!
//! A decision carries the tags of everything it looked at; applying a change names the tags it
//! touches. The decisions that carry one of them are removed, and no others.

use crate::{BridgeId, GroupId, PolicyId, PortId, RouterId, SetId, SubnetId};
use ipnet::IpNet;
use std::net::IpAddr;
use wire::Mac;

/// Something a decision can depend on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// Any attribute of a port.
    Port(PortId),
    /// Any attribute of a bridge.
    Bridge(BridgeId),
    /// Attributes, routes or the set of interfaces of a router.
    Router(RouterId),
    /// A subnet.
    Subnet(SubnetId),
    /// The rules of a group.
    Group(GroupId),
    /// Whether a set of addresses has a prefix.
    Covered(SetId, IpNet),
    /// Which prefix lengths a set of addresses has.
    Lengths(SetId),
    /// Which port has a MAC on a bridge, if any.
    Mac(BridgeId, Mac),
    /// Which port has an address on a bridge, of its own or as a floating IP, if any.
    Neighbor(BridgeId, IpAddr),
    /// The set of ports of a bridge (floods).
    Ports(BridgeId),
    /// A QoS policy.
    Policy(PolicyId),
    /// Underlay address of a host, if it is known.
    Host(String),
    /// The floating IPs that lead to a port.
    FloatingIps(PortId),
    /// Which host has leased a block of a router's ports.
    Block(RouterId, u8),
    /// Whether a port that is plugged to the outside is alive.
    Carrier(PortId),
}
