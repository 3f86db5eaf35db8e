//! What can go wrong between asking and being answered.

use api::Violation;

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

fn listed(violations: &[Violation]) -> String {
    if violations.is_empty() {
        return String::new();
    }
    let all: Vec<String> = violations
        .iter()
        .map(|v| format!("{}: {}", v.property, v.message))
        .collect();
    format!(" ({})", all.join("; "))
}
