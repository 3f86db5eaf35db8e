//! `midonet flows`: what does the agent on this host decide?

use super::Output;
use crate::{
    error::CliError,
    options::AgentOptions,
    table::{Table, or_nothing},
};
use api::agent::{Connection, Ends, Flow};
use clap::Args;
use client::Agent;
use std::net::{IpAddr, SocketAddr};
use uuid::Uuid;

/// What to show.
#[derive(Debug, Args)]
pub struct Options {
    /// Connections in place of decisions
    #[arg(long)]
    connections: bool,
    /// Only what comes from this port
    #[arg(long)]
    port: Option<Uuid>,
    #[command(flatten)]
    agent: AgentOptions,
}

/// Reads and shows them, busiest first.
pub fn run(options: &Options, out: &mut Output<'_>) -> Result<(), CliError> {
    let agent = options.agent.connect();
    if options.connections {
        connections(&agent, options.port, out)
    } else {
        flows(&agent, options.port, out)
    }
}

fn flows(agent: &Agent, port: Option<Uuid>, out: &mut Output<'_>) -> Result<(), CliError> {
    let mut flows: Vec<Flow> = agent.read("/flows")?;
    flows.retain(|f| port.is_none() || f.port == port);
    flows.sort_by_key(|f| std::cmp::Reverse(f.packets));
    out.show(flows.as_slice(), render_flows)
}

fn render_flows(flows: &[Flow]) -> String {
    let mut table = Table::new(&[
        "FLOW", "PORT", "PACKETS", "BYTES", "ACTION", "CAUSE", "MATCH",
    ]);
    for flow in flows {
        table.row([
            flow.id.to_string(),
            flow.port
                .map_or_else(|| "(any)".to_owned(), |p| p.to_string()),
            flow.packets.to_string(),
            flow.bytes.to_string(),
            flow.action.clone(),
            or_nothing(flow.cause),
            flow.matching.join(" "),
        ]);
    }
    table.to_string()
}

fn connections(agent: &Agent, port: Option<Uuid>, out: &mut Output<'_>) -> Result<(), CliError> {
    let mut connections: Vec<Connection> = agent.read("/connections")?;
    connections.retain(|c| port.is_none() || c.port == port);
    connections.sort_by_key(|c| std::cmp::Reverse(c.packets));
    out.show(connections.as_slice(), render_connections)
}

fn render_connections(connections: &[Connection]) -> String {
    let mut table = Table::new(&[
        "PORT OR ROUTER",
        "PROTOCOL",
        "SOURCE",
        "DESTINATION",
        "BECOMES",
        "STATE",
        "FLOW",
        "PACKETS",
        "BYTES",
    ]);
    for connection in connections {
        let c = connection;
        let closing = if c.closing { ", closing" } else { "" };
        table.row([
            or_nothing(c.port.or(c.router)),
            protocol_name(c.protocol),
            end(c.protocol, c.source, c.source_port),
            end(c.protocol, c.destination, c.destination_port),
            c.translated
                .as_ref()
                .map(|t| becomes(c, t))
                .unwrap_or_default(),
            format!("{}{closing}", c.state),
            if c.flow == 0 {
                String::new()
            } else {
                c.flow.to_string()
            },
            c.packets.to_string(),
            c.bytes.to_string(),
        ]);
    }
    table.to_string()
}

/// What is translated of a connection.
fn becomes(c: &Connection, to: &Ends) -> String {
    let source = (to.source, to.source_port) != (c.source, c.source_port);
    let destination = (to.destination, to.destination_port) != (c.destination, c.destination_port);
    let mut parts = Vec::new();
    if source {
        parts.push(format!(
            "from {}",
            end(c.protocol, to.source, to.source_port)
        ));
    }
    if destination {
        let to = end(c.protocol, to.destination, to.destination_port);
        parts.push(format!("to {to}"));
    }
    parts.join(" ")
}

/// The name of a protocol, where it has a common one.
fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    }
}

/// An address with its port, if the protocol has ports.
fn end(protocol: u8, address: IpAddr, port: u16) -> String {
    match protocol {
        6 | 17 | 132 => SocketAddr::new(address, port).to_string(),
        _ => address.to_string(),
    }
}
