//! One user and one token, from the configuration.

use super::{Credentials, Denied, time};
use crate::config::StaticConfig;
use api::Token;
use std::time::{Duration, SystemTime};

/// Validity that a login announces. The token itself is valid as long as it is configured.
const VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

/// The configured user.
pub struct Fixed(StaticConfig);

impl Fixed {
    pub fn new(config: StaticConfig) -> Self {
        Self(config)
    }

    pub fn login(&self, credentials: &Credentials) -> Result<Token, Denied> {
        let right = self.0.password.is(&credentials.password);
        if !right || self.0.username != credentials.username {
            return Err(Denied::Credentials);
        }
        let expires = time::format(SystemTime::now() + VALIDITY);
        Ok(Token {
            key: self.0.token.reveal().to_owned(),
            expires,
        })
    }

    pub fn check(&self, token: &str) -> Result<(), Denied> {
        if self.0.token.is(token) {
            Ok(())
        } else {
            Err(Denied::Token)
        }
    }
}
