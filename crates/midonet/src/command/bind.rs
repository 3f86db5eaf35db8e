//! `midonet bind` and `unbind`: plug an interface of this host into a port, and unplug it.

use super::Output;
use crate::error::CliError;
use client::Agent;
use serde_json::json;
use uuid::Uuid;

/// Plugs.
pub fn bind(
    agent: &Agent,
    port: Uuid,
    interface: &str,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    agent.bind(port, interface)?;
    let done = json!({"port": port, "interface": interface});
    out.show(&done, |_| {
        format!("{interface} is plugged into port {port}\n")
    })
}

/// Unplugs.
pub fn unbind(agent: &Agent, port: Uuid, out: &mut Output<'_>) -> Result<(), CliError> {
    agent.unbind(port)?;
    out.show(&json!({"port": port}), |_| {
        format!("port {port} is unplugged\n")
    })
}
