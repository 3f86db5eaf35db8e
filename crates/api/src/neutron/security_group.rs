//! Security group.

use super::SecurityGroupRule;
use crate::decode::{null_as_default, null_as_true, yes};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A Neutron security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// Identity.
    pub id: Uuid,
    /// For people only.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// For people only.
    #[serde(default, deserialize_with = "null_as_default")]
    pub description: String,
    /// Project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The same by its newer name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Replies to what a rule allows are allowed.
    #[serde(default = "yes", deserialize_with = "null_as_true")]
    pub stateful: bool,
    /// Rules. They count when the group is created; afterwards each rule is a resource of its own.
    #[serde(default, deserialize_with = "null_as_default")]
    pub security_group_rules: Vec<SecurityGroupRule>,
    /// Neutron's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_number: Option<u64>,
}
