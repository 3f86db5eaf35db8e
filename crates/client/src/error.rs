//! What can go wrong between asking and being answered.

use serde::Deserialize;
use std::fmt;

/// A request did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered.
    #[error("{method} {address}: {reason}")]
    Unreachable {
        /// The method.
        method: &'static str,
        /// URI or socket.
        address: String,
        /// Why, in the words of the system.
        reason: String,
    },
    /// The service refused.
    #[error("{method} {address}: {status} {message}{}", listed(.violations))]
    Refused {
        /// The method.
        method: &'static str,
        /// URI or path.
        address: String,
        /// HTTP status.
        status: u16,
        /// What the service said.
        message: String,
        /// The fields it complained of.
        violations: Vec<Violation>,
    },
    /// The answer is not what was expected.
    #[error("{address}: unexpected answer: {detail}")]
    Unexpected {
        /// URI or path.
        address: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The service's index does not know this.
    #[error("{address} offers no {name:?}: is this a MidoNet cluster of this version?")]
    NotOffered {
        /// The index document.
        address: String,
        /// The entry that is missing.
        name: String,
    },
    /// A setting that is needed is not there.
    #[error("{0} is not set")]
    NotSet(&'static str),
}

impl ClientError {
    /// HTTP status, if the service answered with one.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A field that a service did not accept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Violation {
    /// Name of the field.
    pub property: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.message)
    }
}

fn listed(violations: &[Violation]) -> String {
    if violations.is_empty() {
        return String::new();
    }
    let all: Vec<String> = violations.iter().map(Violation::to_string).collect();
    format!(" ({})", all.join("; "))
}
