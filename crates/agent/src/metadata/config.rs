//! `[metadata]` of the configuration file.

use crate::config::Secret;
use hyper::Uri;
use serde::{Deserialize, Serialize};

/// Most connections that can be configured; each takes two descriptors.
const CONNECTIONS_MAX: usize = 10_000;

/// `[metadata]`; without it servers of this host get no metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataConfig {
    /// Nova's metadata API, `http://host:port`.
    pub nova: String,
    /// Nova's `[neutron] metadata_proxy_shared_secret`.
    pub shared_secret: Secret,
    /// Connections of all servers of this host at a time; more wait.
    #[serde(default = "connections")]
    pub connections: usize,
    /// Connections of one port at a time; more are turned away.
    #[serde(default = "connections_per_port")]
    pub connections_per_port: usize,
}

fn connections() -> usize {
    256
}

fn connections_per_port() -> usize {
    64
}

impl MetadataConfig {
    /// `host:port` of Nova.
    pub fn nova(&self) -> Option<String> {
        let uri: Uri = self.nova.parse().ok()?;
        let plain = uri.scheme_str() == Some("http") && uri.query().is_none();
        let host = uri.host().filter(|_| plain && uri.path() == "/")?;
        Some(format!("{host}:{}", uri.port_u16().unwrap_or(80)))
    }

    /// What can be known to be wrong without asking the system.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.nova().is_none() {
            let what = format!("'{}' is not http://host:port", self.nova);
            return Err(("metadata.nova", what));
        }
        if self.shared_secret.reveal().is_empty() {
            return Err(("metadata.shared_secret", "is empty".into()));
        }
        for (key, value) in [
            ("metadata.connections", self.connections),
            ("metadata.connections_per_port", self.connections_per_port),
        ] {
            if !(1..=CONNECTIONS_MAX).contains(&value) {
                return Err((key, format!("must be from 1 to {CONNECTIONS_MAX}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(nova: &str) -> MetadataConfig {
        toml::from_str(&format!("nova = \"{nova}\"\nshared_secret = \"s\"\n")).unwrap()
    }

    #[test]
    fn nova_is_a_host_and_a_port() {
        for (text, wanted) in [
            ("http://10.0.0.1:8775", Some("10.0.0.1:8775")),
            ("http://nova.example/", Some("nova.example:80")),
            ("http://[fd00::1]:8775", Some("[fd00::1]:8775")),
            ("https://nova:8775", None),
            ("http://nova:8775/metadata", None),
            ("nova:8775", None),
            ("", None),
        ] {
            assert_eq!(config(text).nova().as_deref(), wanted, "{text}");
            assert_eq!(config(text).validate().is_ok(), wanted.is_some(), "{text}");
        }
    }
}
