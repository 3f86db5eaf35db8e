//! Security groups: rules that allow; what no rule allows is dropped.

use crate::{AddressGroupId, GroupId, RuleId};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A Neutron security group. Its members are the ports that name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Same as the Neutron group's.
    pub id: GroupId,
    /// For people only.
    pub name: String,
    /// False: replies need rules of their own.
    pub stateful: bool,
    /// In no particular order: rules only allow.
    pub rules: Vec<Rule>,
}

/// A Neutron security group rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Same as the Neutron rule's.
    pub id: RuleId,
    /// Seen from the VM.
    pub direction: Direction,
    /// Packets of this family only.
    pub family: Family,
    /// IP protocol number; `None` allows every one.
    pub protocol: Option<u8>,
    /// Ports or ICMP type and code.
    pub layer4: Layer4,
    /// The other end.
    pub remote: Remote,
}

/// Direction of a rule as Neutron means it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards the VM.
    Ingress,
    /// From the VM.
    Egress,
}

/// IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

/// What a rule asks of the transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer4 {
    /// Nothing.
    Any,
    /// Destination port within these bounds, both included.
    Ports {
        /// Lowest.
        min: u16,
        /// Highest.
        max: u16,
    },
    /// ICMP or ICMPv6 type, and code if given.
    Icmp {
        /// Type.
        kind: u8,
        /// Code; any if absent.
        code: Option<u8>,
    },
}

/// What a rule asks of the address at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remote {
    /// Nothing.
    Any,
    /// Inside a prefix.
    Prefix(IpNet),
    /// An address of a port that is a member of this group.
    Group(GroupId),
    /// An address of this address group.
    Addresses(AddressGroupId),
}
