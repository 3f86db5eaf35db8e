//! The body of every answer that is an error.

use serde::{Deserialize, Serialize};

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One sentence for a person.
    pub message: String,
    /// The HTTP status again.
    pub code: u16,
    /// The fields at fault, if fields are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
}

/// A field at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Path of the field, for instance `fixed_ips[0].ip_address`.
    pub property: String,
    /// What is wrong with it.
    pub message: String,
}
