//! Port forwarding of a floating IP.

use super::Protocol;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};
use uuid::Uuid;

/// A port forwarding of Neutron's `port_forwarding` plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortForwarding {
    /// Identity.
    pub id: Uuid,
    /// Project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The same by its newer name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The floating IP.
    pub floatingip_id: Uuid,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The one port of the floating IP; absent if there is a range.
    #[serde(default)]
    pub external_port: Option<u16>,
    /// The ports of the floating IP.
    #[serde(default)]
    pub external_port_range: Option<PortRange>,
    /// The port it leads to.
    pub internal_port_id: Uuid,
    /// The address of that port.
    pub internal_ip_address: IpAddr,
    /// The one transport port there; absent if there is a range.
    #[serde(default)]
    pub internal_port: Option<u16>,
    /// The transport ports there: as many as external ones, or one for all of them.
    #[serde(default)]
    pub internal_port_range: Option<PortRange>,
    /// Neutron's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_number: Option<u64>,
}

impl PortForwarding {
    /// The ports of the floating IP, however they are said.
    pub fn external(&self) -> Option<PortRange> {
        self.external_port_range
            .or(self.external_port.map(PortRange::one))
    }

    /// The transport ports of the fixed address, however they are said.
    pub fn internal(&self) -> Option<PortRange> {
        self.internal_port_range
            .or(self.internal_port.map(PortRange::one))
    }
}

/// Transport ports, both ends included. Written `first:last`, or as one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    /// Lowest.
    pub first: u16,
    /// Highest.
    pub last: u16,
}

/// Not a range of transport ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a range of ports: two numbers from 1 to 65535 with ':' between are wanted")]
pub struct BadPortRange(pub String);

impl PortRange {
    /// One port alone.
    pub fn one(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }
}

impl FromStr for PortRange {
    type Err = BadPortRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        let port = |text: &str| text.parse().ok().filter(|port: &u16| *port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(BadPortRange(text.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.first, self.last)
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        range.to_string()
    }
}

impl TryFrom<String> for PortRange {
    type Error = BadPortRange;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_neutron_writes_it() {
        let range = |first, last| Ok(PortRange { first, last });
        for (text, wanted) in [
            ("80:80", range(80, 80)),
            ("80", range(80, 80)),
            ("1:65535", range(1, 65535)),
        ] {
            assert_eq!(text.parse(), wanted, "{text}");
        }
        for text in ["", ":", "0:5", "9:8", "1:65536", "1:2:3", "a:b", "-1:5"] {
            assert_eq!(
                text.parse::<PortRange>(),
                Err(BadPortRange(text.to_owned())),
                "{text}"
            );
        }
    }
}
