//! The configuration file: read once, checked once, refused with the place of the mistake.

use crate::metadata::config::MetadataConfig;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};
use topology::NAT64_POOL;

/// Everything an operator can set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This host.
    #[serde(default)]
    pub host: HostConfig,
    /// Where the topology comes from.
    pub cluster: ClusterConfig,
    /// The kernel's part.
    #[serde(default)]
    pub datapath: DatapathConfig,
    /// The socket for `mm-ctl` and `midonet`.
    #[serde(default)]
    pub api: ApiConfig,
    /// IPv6 floating IPs of servers that speak IPv4.
    #[serde(default)]
    pub nat64: Nat64Config,
    /// The metadata service; off if absent.
    #[serde(default)]
    pub metadata: Option<MetadataConfig>,
}

/// `[host]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// What Nova and Neutron call this host; the system's host name if absent.
    pub name: Option<String>,
    /// Where the host's identity, the last topology and explicit bindings are kept.
    pub state_dir: PathBuf,
    /// Underlay address that other hosts send to; if absent, the address this host reaches the
    /// cluster from.
    pub tunnel_ip: Option<IpAddr>,
    /// Availability zone, as Neutron shows it of the host's agent.
    pub availability_zone: Option<String>,
    /// UDP port by which agents tell each other where stations are; the same on all hosts.
    pub peer_port: u16,
}

/// `[cluster]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// `host:port` of each cluster node's sync port, tried in turn.
    pub address: Vec<String>,
    /// The secret that the cluster asks of agents.
    pub secret: Secret,
}

/// `[datapath]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatapathConfig {
    /// Connections the host can hold, both directions counted; about 170 bytes each.
    pub connections: u32,
    /// Directory on a bpffs where maps and programs stay while the agent is not running.
    pub pin_dir: PathBuf,
    /// UDP port of VXLAN.
    pub vxlan_port: u16,
    /// Frames a second that one tap may send up to the agent.
    pub upcall_rate: u32,
}

/// `[nat64]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nat64Config {
    /// Addresses by which servers that speak IPv4 know who speaks to them by IPv6: nobody else's in
    /// any network that has such servers.
    pub pool: Ipv4Net,
}

impl Default for Nat64Config {
    fn default() -> Self {
        Self { pool: NAT64_POOL }
    }
}

/// `[api]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Path of the unix socket.
    pub socket: PathBuf,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            name: None,
            state_dir: "/var/lib/midonet".into(),
            tunnel_ip: None,
            availability_zone: None,
            peer_port: 8183,
        }
    }
}

impl Default for DatapathConfig {
    fn default() -> Self {
        Self {
            connections: 262_144,
            pin_dir: "/sys/fs/bpf/midonet".into(),
            vxlan_port: 4789,
            upcall_rate: 1_000,
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            socket: "/run/midonet/agent.sock".into(),
        }
    }
}

/// A string that is shown to nobody.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The string itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("{path}:{line}: {what}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line of the mistake, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A value that cannot work.
    #[error("{path}: {key}: {what}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with its section.
        key: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|error| ConfigError::Read {
            path: path.to_owned(),
            error,
        })?;
        Self::parse(path, &text)
    }

    /// Reads and checks text; `path` is only named in errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text[..start].matches('\n').count() + 1;
            ConfigError::Parse {
                path: path.to_owned(),
                line,
                what: error.message().to_owned(),
            }
        })?;
        match config.validate() {
            Ok(()) => Ok(config),
            Err((key, what)) => Err(ConfigError::Value {
                path: path.to_owned(),
                key,
                what,
            }),
        }
    }

    /// What can be known to be wrong without asking the system.
    fn validate(&self) -> Result<(), (&'static str, String)> {
        if self
            .host
            .name
            .as_ref()
            .is_some_and(|name| name.trim().is_empty())
        {
            return Err(("host.name", "is empty".into()));
        }
        if self
            .host
            .tunnel_ip
            .is_some_and(|ip| ip.is_unspecified() || ip.is_multicast())
        {
            return Err(("host.tunnel_ip", "is not an address of a host".into()));
        }
        if self.cluster.address.is_empty() {
            return Err(("cluster.address", "names no cluster node".into()));
        }
        for address in &self.cluster.address {
            let port = address
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none() {
                return Err(("cluster.address", format!("'{address}' is not host:port")));
            }
        }
        if self.cluster.secret.reveal().is_empty() {
            return Err(("cluster.secret", "is empty".into()));
        }
        if !(1_024..=16_777_216).contains(&self.datapath.connections) {
            return Err((
                "datapath.connections",
                "must be from 1024 to 16777216".into(),
            ));
        }
        if self.host.peer_port == 0 {
            return Err(("host.peer_port", "must not be 0".into()));
        }
        if self.datapath.vxlan_port == 0 {
            return Err(("datapath.vxlan_port", "must not be 0".into()));
        }
        if self.datapath.upcall_rate == 0 {
            return Err((
                "datapath.upcall_rate",
                "must not be 0: no VM would get an address".into(),
            ));
        }
        let pool = self.nat64.pool;
        if pool.trunc() != pool || !(8..=24).contains(&pool.prefix_len()) {
            return Err((
                "nat64.pool",
                format!("{pool} is not a network of 2^8 to 2^24 addresses"),
            ));
        }
        self.metadata
            .as_ref()
            .map_or(Ok(()), MetadataConfig::validate)
    }

    /// The configuration in effect as TOML, without the secret.
    pub fn shown(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("agent.toml"), text).map_err(|e| e.to_string())
    }

    const SMALLEST: &str = "[cluster]\naddress = [\"c1:8182\"]\nsecret = \"s3\"\n";

    #[test]
    fn the_smallest_file_gets_the_documented_defaults() {
        let config = parse(SMALLEST).unwrap();
        assert_eq!(config.datapath.vxlan_port, 4789);
        assert_eq!(config.nat64.pool.to_string(), "100.64.0.0/10");
        assert_eq!(config.api.socket, Path::new("/run/midonet/agent.sock"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_file_and_line() {
        let error = parse(&format!("{SMALLEST}[host]\nnome = \"x\"\n")).unwrap_err();
        assert!(
            error.starts_with("agent.toml:5: unknown field `nome`"),
            "{error}"
        );
    }

    #[test]
    fn values_that_cannot_work_are_named() {
        for (text, key) in [
            (
                "[cluster]\naddress = []\nsecret = \"s\"\n",
                "cluster.address",
            ),
            (
                "[cluster]\naddress = [\"c1\"]\nsecret = \"s\"\n",
                "cluster.address",
            ),
            (
                "[cluster]\naddress = [\"c1:1\"]\nsecret = \"\"\n",
                "cluster.secret",
            ),
            (
                &format!("{SMALLEST}[datapath]\nconnections = 3\n"),
                "datapath.connections",
            ),
            (
                &format!("{SMALLEST}[metadata]\nnova = \"nova\"\nshared_secret = \"s\"\n"),
                "metadata.nova",
            ),
            (
                &format!("{SMALLEST}[nat64]\npool = \"100.64.0.1/10\"\n"),
                "nat64.pool",
            ),
            (
                &format!("{SMALLEST}[host]\ntunnel_ip = \"0.0.0.0\"\n"),
                "host.tunnel_ip",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn the_secret_is_never_shown() {
        let metadata = "[metadata]\nnova = \"http://n:1\"\nshared_secret = \"s3\"\n";
        let config = parse(&format!("{SMALLEST}{metadata}")).unwrap();
        assert!(!config.shown().contains("s3") && !format!("{config:?}").contains("s3"));
    }
}
