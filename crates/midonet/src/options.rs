//! Options that several commands share, with the environment variables behind them.

use clap::Args;
use client::{Agent, Cluster, Credentials};
use std::{env, path::PathBuf};

/// The cluster when neither option nor environment names one.
const DEFAULT_URI: &str = "http://127.0.0.1:8181/midonet-api";

/// Where the cluster is and who asks.
#[derive(Debug, Default, Args)]
pub struct ClusterOptions {
    /// Root of the cluster's API [env: MIDONET_URI]
    #[arg(long, value_name = "URI", global = true)]
    pub cluster: Option<String>,
    /// User name [env: MIDONET_USERNAME, else OS_USERNAME]
    #[arg(long, global = true)]
    pub username: Option<String>,
    /// Password; better given by the environment [env: MIDONET_PASSWORD, else OS_PASSWORD]
    #[arg(long, global = true)]
    pub password: Option<String>,
    /// Project, by name [env: MIDONET_PROJECT, else OS_PROJECT_NAME]
    #[arg(long, global = true)]
    pub project: Option<String>,
    /// A token in place of user name and password [env: MIDONET_TOKEN]
    #[arg(long, global = true)]
    pub token: Option<String>,
}

impl ClusterOptions {
    /// A client of that cluster.
    pub fn connect(&self) -> Cluster {
        self.resolve(|name| env::var(name).ok())
    }

    fn resolve(&self, get: impl Fn(&str) -> Option<String>) -> Cluster {
        let first = |given: &Option<String>, names: &[&str]| {
            given.clone().or_else(|| names.iter().find_map(|n| get(n)))
        };
        let root = first(&self.cluster, &["MIDONET_URI"]);
        let credentials = match first(&self.token, &["MIDONET_TOKEN"]) {
            Some(token) => Credentials::Token(token),
            None => Credentials::Login {
                username: first(&self.username, &["MIDONET_USERNAME", "OS_USERNAME"])
                    .unwrap_or_default(),
                password: first(&self.password, &["MIDONET_PASSWORD", "OS_PASSWORD"])
                    .unwrap_or_default(),
                project: first(&self.project, &["MIDONET_PROJECT", "OS_PROJECT_NAME"]),
            },
        };
        Cluster::new(root.as_deref().unwrap_or(DEFAULT_URI), credentials)
    }
}

/// Which agent is meant.
#[derive(Debug, Default, Args)]
pub struct AgentOptions {
    /// Socket of this host's agent [env: MIDONET_AGENT_SOCKET, else /run/midonet/agent.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

impl AgentOptions {
    /// A client of that agent.
    pub fn connect(&self) -> Agent {
        self.socket
            .as_ref()
            .map_or_else(Agent::of_environment, Agent::at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_before_the_environment_and_that_before_defaults() {
        let none = ClusterOptions::default();
        assert_eq!(none.resolve(|_| None).root(), DEFAULT_URI);
        let environment = |name: &str| Some(format!("http://{name}/"));
        assert_eq!(none.resolve(environment).root(), "http://MIDONET_URI");
        let given = ClusterOptions {
            cluster: Some("http://given".to_owned()),
            ..none
        };
        assert_eq!(given.resolve(environment).root(), "http://given");
    }
}
