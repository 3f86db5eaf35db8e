//! Any object of the topology, as stored and pushed, with its identity and revision.

use crate::{AddressGroup, AddressGroupId};
use crate::{Bridge, FloatingIp, Group, Host, Lease, Policy, Port, Router, Subnet};
use crate::{
    BridgeId, FloatingIpId, GroupId, HostId, LeaseId, PolicyId, PortId, RouterId, SubnetId,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An object of the topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are named for what they hold")]
pub enum Object {
    Bridge(Bridge),
    Subnet(Subnet),
    Router(Router),
    AddressGroup(AddressGroup),
    Group(Group),
    Policy(Policy),
    Host(Host),
    Port(Port),
    FloatingIp(FloatingIp),
    Lease(Lease),
}

/// Identity of an object. The order puts an object after those it names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are named for what they identify")]
pub enum ObjectId {
    Bridge(BridgeId),
    Subnet(SubnetId),
    Router(RouterId),
    AddressGroup(AddressGroupId),
    Group(GroupId),
    Policy(PolicyId),
    Host(HostId),
    Port(PortId),
    FloatingIp(FloatingIpId),
    Lease(LeaseId),
}

/// An object with the store revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned {
    /// Store revision of the write.
    pub revision: u64,
    /// The object.
    pub object: Object,
}

/// One step from a snapshot to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are puts, and none is kept: a box each would only cost"
)]
pub enum Change {
    /// The object is new or different.
    Put(Versioned),
    /// The object is gone; no error if it was not there.
    Delete(ObjectId),
}

impl Object {
    /// Its identity.
    pub fn id(&self) -> ObjectId {
        match self {
            Object::Bridge(o) => ObjectId::Bridge(o.id),
            Object::Router(o) => ObjectId::Router(o.id),
            Object::Port(o) => ObjectId::Port(o.id),
            Object::Subnet(o) => ObjectId::Subnet(o.id),
            Object::AddressGroup(o) => ObjectId::AddressGroup(o.id),
            Object::Group(o) => ObjectId::Group(o.id),
            Object::Policy(o) => ObjectId::Policy(o.id),
            Object::Host(o) => ObjectId::Host(o.id),
            Object::FloatingIp(o) => ObjectId::FloatingIp(o.id),
            Object::Lease(o) => ObjectId::Lease(o.id),
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectId::Bridge(id) => write!(f, "bridge/{id}"),
            ObjectId::Router(id) => write!(f, "router/{id}"),
            ObjectId::Port(id) => write!(f, "port/{id}"),
            ObjectId::FloatingIp(id) => write!(f, "floating_ip/{id}"),
            ObjectId::Lease(id) => write!(f, "lease/{id}"),
            ObjectId::Subnet(id) => write!(f, "subnet/{id}"),
            ObjectId::AddressGroup(id) => write!(f, "address_group/{id}"),
            ObjectId::Group(id) => write!(f, "group/{id}"),
            ObjectId::Policy(id) => write!(f, "policy/{id}"),
            ObjectId::Host(id) => write!(f, "host/{id}"),
        }
    }
}
