//! Any Neutron resource.

use super::{
    AddressGroup, FloatingIp, Kind, Network, Port, PortForwarding, QosPolicy, Router,
    SecurityGroup, SecurityGroupRule, Subnet,
};
use crate::{Shape, decode};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// Any Neutron resource.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the variants are named for what they hold")]
pub enum Resource {
    QosPolicy(QosPolicy),
    Network(Network),
    Subnet(Subnet),
    AddressGroup(AddressGroup),
    SecurityGroup(SecurityGroup),
    SecurityGroupRule(SecurityGroupRule),
    Router(Router),
    Port(Port),
    FloatingIp(FloatingIp),
    PortForwarding(PortForwarding),
}

macro_rules! each {
    ($self:expr, $r:ident => $what:expr) => {
        match $self {
            Resource::QosPolicy($r) => $what,
            Resource::Network($r) => $what,
            Resource::Subnet($r) => $what,
            Resource::AddressGroup($r) => $what,
            Resource::SecurityGroup($r) => $what,
            Resource::SecurityGroupRule($r) => $what,
            Resource::Router($r) => $what,
            Resource::Port($r) => $what,
            Resource::FloatingIp($r) => $what,
            Resource::PortForwarding($r) => $what,
        }
    };
}

impl Resource {
    /// A resource of a kind from JSON.
    pub fn decode(kind: Kind, json: Value) -> Result<Self, Shape> {
        Ok(match kind {
            Kind::QosPolicy => Resource::QosPolicy(decode(json)?),
            Kind::Network => Resource::Network(decode(json)?),
            Kind::Subnet => Resource::Subnet(decode(json)?),
            Kind::AddressGroup => Resource::AddressGroup(decode(json)?),
            Kind::SecurityGroup => Resource::SecurityGroup(decode(json)?),
            Kind::SecurityGroupRule => Resource::SecurityGroupRule(decode(json)?),
            Kind::Router => Resource::Router(decode(json)?),
            Kind::Port => Resource::Port(decode(json)?),
            Kind::FloatingIp => Resource::FloatingIp(decode(json)?),
            Kind::PortForwarding => Resource::PortForwarding(decode(json)?),
        })
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Resource::QosPolicy(_) => Kind::QosPolicy,
            Resource::Network(_) => Kind::Network,
            Resource::Subnet(_) => Kind::Subnet,
            Resource::AddressGroup(_) => Kind::AddressGroup,
            Resource::SecurityGroup(_) => Kind::SecurityGroup,
            Resource::SecurityGroupRule(_) => Kind::SecurityGroupRule,
            Resource::Router(_) => Kind::Router,
            Resource::Port(_) => Kind::Port,
            Resource::FloatingIp(_) => Kind::FloatingIp,
            Resource::PortForwarding(_) => Kind::PortForwarding,
        }
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        each!(self, r => r.id)
    }

    /// Neutron's revision of it, if it was sent with one.
    pub fn revision_number(&self) -> Option<u64> {
        each!(self, r => r.revision_number)
    }

    /// The project it belongs to.
    pub fn project(&self) -> Option<&str> {
        each!(self, r => r.tenant_id.as_deref().or(r.project_id.as_deref()))
    }
}
