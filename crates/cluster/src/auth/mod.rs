//! Who may use the REST API.

mod fixed;
mod keystone;
mod time;

use crate::config::{AuthConfig, AuthMode};
use api::Token;
use fixed::Fixed;
use keystone::Keystone;
use std::sync::Arc;

/// A user name and password, and the project they are for.
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Project, by id or name.
    pub project: Option<String>,
}

/// A request is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Wrong user, password or project.
    #[error("user name, password or project is wrong")]
    Credentials,
    /// No token, or one that is not valid (any more).
    #[error("the token in X-Auth-Token is missing, unknown or has expired")]
    Token,
    /// The token is valid, but not for this.
    #[error("the token has none of the roles {0}")]
    Role(String),
    /// It cannot be told now.
    #[error("Keystone does not answer as it should: {0}")]
    Unavailable(String),
}

/// The authentication cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("auth: {0}")]
pub struct AuthError(&'static str);

/// The one who decides.
pub enum Auth {
    /// The configuration.
    Fixed(Fixed),
    /// Keystone.
    Keystone(Arc<Keystone>),
}

impl Auth {
    /// As configured.
    pub fn new(config: &AuthConfig) -> Result<Self, AuthError> {
        match (config.mode, &config.keystone, &config.fixed) {
            (AuthMode::Static, _, Some(fixed)) => {
                tracing::warn!("static credentials are in use: for a single machine only");
                Ok(Auth::Fixed(Fixed::new(fixed.clone())))
            }
            (AuthMode::Keystone, Some(keystone), _) => {
                Ok(Auth::Keystone(Arc::new(Keystone::new(keystone.clone()))))
            }
            _ => Err(AuthError("the section of the mode is missing")),
        }
    }

    /// Exchanges credentials for a token.
    pub async fn login(&self, credentials: Credentials) -> Result<Token, Denied> {
        match self {
            Auth::Fixed(fixed) => fixed.login(&credentials),
            Auth::Keystone(keystone) => {
                let keystone = Arc::clone(keystone);
                blocking(move || keystone.login(&credentials)).await
            }
        }
    }

    /// Lets a token in, or not.
    pub async fn check(&self, token: &str) -> Result<(), Denied> {
        match self {
            Auth::Fixed(fixed) => fixed.check(token),
            Auth::Keystone(keystone) => {
                if let Some(known) = keystone.known(token) {
                    return known;
                }
                let (keystone, token) = (Arc::clone(keystone), token.to_owned());
                blocking(move || keystone.check(&token)).await
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Denied> + Send + 'static,
) -> Result<T, Denied> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Denied::Unavailable("the request was given up".to_owned())))
}
