//! One step of a packet's way, for people who ask why.

use serde::{Deserialize, Serialize};
use std::fmt;
use topology::{Bridge, Port, Router};
use uuid::Uuid;

/// What one device did to a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Who did it.
    pub device: Device,
    /// What happened, one clause.
    pub what: String,
    /// The Neutron resource that was decisive: the rule that allowed, the port that refused.
    pub cause: Option<Uuid>,
}

/// A device of the topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its kind.
    pub kind: DeviceKind,
    /// Its id, the same as in Neutron.
    pub id: Uuid,
    /// Its name; often empty.
    pub name: String,
}

/// Kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A port.
    Port,
    /// A network.
    Bridge,
    /// A router.
    Router,
}

impl Step {
    pub(crate) fn port(port: &Port, what: impl Into<String>) -> Self {
        Self::of(DeviceKind::Port, port.id.0, &port.name, what.into())
    }

    pub(crate) fn bridge(bridge: &Bridge, what: impl Into<String>) -> Self {
        Self::of(DeviceKind::Bridge, bridge.id.0, &bridge.name, what.into())
    }

    pub(crate) fn router(router: &Router, what: impl Into<String>) -> Self {
        Self::of(DeviceKind::Router, router.id.0, &router.name, what.into())
    }

    fn of(kind: DeviceKind, id: Uuid, name: &str, what: String) -> Self {
        Self {
            device: Device {
                kind,
                id,
                name: name.to_owned(),
            },
            what,
            cause: None,
        }
    }

    pub(crate) fn because_of(self, cause: Uuid) -> Self {
        Self {
            cause: Some(cause),
            ..self
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.device.kind {
            DeviceKind::Port => "port",
            DeviceKind::Bridge => "network",
            DeviceKind::Router => "router",
        };
        write!(f, "{kind} {}", self.device.id)?;
        if !self.device.name.is_empty() {
            write!(f, " ({})", self.device.name)?;
        }
        write!(f, ": {}", self.what)
    }
}
