//! Address groups: sets of prefixes that security group rules name.

use crate::AddressGroupId;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A Neutron address group. Rules that name it follow its changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressGroup {
    /// Same as the Neutron address group's.
    pub id: AddressGroupId,
    /// For people only.
    pub name: String,
    /// Prefixes of either family, in order and without host bits.
    pub nets: Vec<IpNet>,
}
