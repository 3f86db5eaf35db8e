//! A session token.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a login gives.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The token, to be sent as `X-Auth-Token`.
    pub key: String,
    /// When it ends.
    pub expires: String,
}

/// The token stays out of logs.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
