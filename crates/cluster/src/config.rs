//! The configuration file: read once, checked once, refused with the place of the mistake.

use serde::{Deserialize, Serialize};
use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything an operator can set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The REST API.
    #[serde(default)]
    pub api: ApiConfig,
    /// Connections of agents.
    pub sync: SyncConfig,
    /// Where everything is kept.
    pub store: StoreConfig,
    /// Source NAT.
    #[serde(default)]
    pub snat: SnatConfig,
    /// Who may use the REST API.
    pub auth: AuthConfig,
}

/// `[api]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address and port of the REST API.
    pub listen: SocketAddr,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8181)),
        }
    }
}

/// `[sync]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncConfig {
    /// Address and port that agents connect to.
    #[serde(default = "sync_listen")]
    pub listen: SocketAddr,
    /// What agents have to know.
    pub secret: Secret,
    /// How long an agent may be away before its ports are reported down.
    #[serde(default = "down_after")]
    pub down_after_seconds: u64,
}

fn sync_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 8182))
}

fn down_after() -> u64 {
    3
}

impl SyncConfig {
    /// How long an agent may be away before its ports are reported down.
    pub fn down_after(&self) -> Duration {
        Duration::from_secs(self.down_after_seconds)
    }
}

/// `[snat]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnatConfig {
    /// How long a host may be away before others get its blocks of routers' ports. A host that is
    /// alive but has not heard of the cluster for half of it opens no new translated connections.
    pub reclaim_after_seconds: u64,
}

impl Default for SnatConfig {
    fn default() -> Self {
        Self {
            reclaim_after_seconds: 86_400,
        }
    }
}

impl SnatConfig {
    /// How long a host may be away before others get its blocks.
    pub fn reclaim_after(&self) -> Duration {
        Duration::from_secs(self.reclaim_after_seconds)
    }
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The file of the embedded store.
    pub path: PathBuf,
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// Which of the two below.
    pub mode: AuthMode,
    /// `[auth.keystone]`
    pub keystone: Option<KeystoneConfig>,
    /// `[auth.static]`
    #[serde(rename = "static")]
    pub fixed: Option<StaticConfig>,
}

/// Who decides who may use the REST API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Keystone.
    Keystone,
    /// The configuration itself: one user, one token.
    Static,
}

/// `[auth.keystone]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeystoneConfig {
    /// URL with the version, for instance `http://keystone:5000/v3`.
    pub url: String,
    /// The cluster's own user, which may validate tokens.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// Its project; also that of logins that name none.
    pub project: String,
    /// Domain of users.
    #[serde(default = "default_domain")]
    pub user_domain: String,
    /// Domain of projects.
    #[serde(default = "default_domain")]
    pub project_domain: String,
    /// A token must have one of these roles.
    #[serde(default = "admin_roles")]
    pub admin_roles: Vec<String>,
    /// How long Keystone's word about a token is believed.
    #[serde(default = "cache_seconds")]
    pub cache_seconds: u64,
}

fn default_domain() -> String {
    "Default".to_owned()
}

fn admin_roles() -> Vec<String> {
    vec!["admin".to_owned()]
}

fn cache_seconds() -> u64 {
    60
}

/// `[auth.static]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticConfig {
    /// The one user.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// The one token.
    pub token: Secret,
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not tell where the difference is.
    pub fn is(&self, other: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), other.as_bytes());
        let differ = ours.iter().zip(theirs).fold(0, |sum, (a, b)| sum | (a ^ b));
        ours.len() == theirs.len() && std::hint::black_box(differ) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The file is not what it should be.
    #[error("{}:{line}: {message}", .path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Line of the mistake.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// Settings contradict each other or are empty.
    #[error("{}: {setting}: {message}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        message: &'static str,
    },
}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable {
            path: path.to_owned(),
            reason,
        })?;
        Self::parse(&text, path)
    }

    /// Reads and checks the text of a file; the path is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes()[..start]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            let message = error.message().to_owned();
            ConfigError::Refused {
                path: path.to_owned(),
                line,
                message,
            }
        })?;
        config
            .validate()
            .map_err(|(setting, message)| ConfigError::Invalid {
                path: path.to_owned(),
                setting,
                message,
            })?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        if self.sync.secret.reveal().is_empty() {
            return Err(("sync.secret", "must not be empty"));
        }
        match (self.auth.mode, &self.auth.keystone, &self.auth.fixed) {
            (AuthMode::Keystone, None, _) => {
                Err(("auth.keystone", "is missing, and auth.mode is \"keystone\""))
            }
            (AuthMode::Keystone, _, Some(_)) => {
                Err(("auth.static", "must be asked for by auth.mode = \"static\""))
            }
            (AuthMode::Static, _, None) => {
                Err(("auth.static", "is missing, and auth.mode is \"static\""))
            }
            (AuthMode::Static, _, Some(fixed)) => fixed.validate(),
            (AuthMode::Keystone, Some(keystone), None) => keystone.validate(),
        }
    }
}

impl StaticConfig {
    fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        if self.password.reveal().is_empty() {
            return Err(("auth.static.password", "must not be empty"));
        }
        if self.token.reveal().is_empty() {
            return Err(("auth.static.token", "must not be empty"));
        }
        Ok(())
    }
}

impl KeystoneConfig {
    fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            return Err(("auth.keystone.url", "must start with http:// or https://"));
        }
        if self.admin_roles.is_empty() {
            return Err(("auth.keystone.admin_roles", "must name at least one role"));
        }
        Ok(())
    }
}

/// As a file, without secrets.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests;
