//! The commands of `midonet`, one module each.

mod audit;
mod bind;
mod drops;
mod flows;
mod hosts;
mod stations;
mod status;
mod topology;
mod trace;

use crate::{
    error::CliError,
    options::{AgentOptions, ClusterOptions},
};
use clap::{Parser, Subcommand};
use serde::Serialize;
use std::{
    io::{self, Write},
    process::ExitCode,
};
use uuid::Uuid;

/// Looks into a MidoNet network: what it is, what it does, and why.
#[derive(Debug, Parser)]
#[command(
    name = "midonet",
    version,
    after_help = "`midonet mm-ctl --help` shows the tool that Nova calls."
)]
pub struct Midonet {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Print JSON in place of tables
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Is everything alive, and does every host have the latest?
    Status,
    /// What hosts are there, and at what addresses?
    Hosts,
    /// The virtual topology as the cluster has it.
    #[command(subcommand)]
    Topology(Topology),
    /// What does the agent on this host decide?
    Flows(flows::Options),
    /// What is dropped on this host, and why?
    Drops(AgentOptions),
    /// Who is behind ports of which Neutron does not know, as this host has it?
    Stations(AgentOptions),
    /// Where would a packet go, and what decides it?
    Trace(trace::Options),
    /// Plug an interface of this host into a port.
    Bind {
        /// The port.
        port: Uuid,
        /// The interface.
        interface: String,
        #[command(flatten)]
        agent: AgentOptions,
    },
    /// Unplug a port of this host.
    Unbind {
        /// The port.
        port: Uuid,
        #[command(flatten)]
        agent: AgentOptions,
    },
    /// The Neutron beside this cluster.
    #[command(subcommand)]
    Neutron(Neutron),
}

#[derive(Debug, Subcommand)]
enum Topology {
    /// Show its objects.
    Show(topology::Options),
}

#[derive(Debug, Subcommand)]
enum Neutron {
    /// Does the cluster know what Neutron knows? Status 1 if not.
    Audit(audit::Options),
}

/// Where a command writes, and in which form.
struct Output<'a> {
    json: bool,
    to: &'a mut dyn Write,
}

impl Output<'_> {
    /// Writes `value` as JSON, or as `text` puts it for people.
    fn show<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        let shown = if self.json {
            serde_json::to_string_pretty(value).map_err(io::Error::from)? + "\n"
        } else {
            text(value)
        };
        match self
            .to
            .write_all(shown.as_bytes())
            .and_then(|()| self.to.flush())
        {
            // the reader has seen enough
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}

/// Carries out a command.
pub fn run(called: Midonet, to: &mut dyn Write) -> Result<ExitCode, CliError> {
    let cluster = called.cluster.connect();
    let mut out = Output {
        json: called.json,
        to,
    };
    let done = match called.command {
        Command::Status => status::run(&cluster, &mut out),
        Command::Hosts => hosts::run(&cluster, &mut out),
        Command::Topology(Topology::Show(options)) => topology::run(&options, &cluster, &mut out),
        Command::Flows(options) => flows::run(&options, &mut out),
        Command::Drops(agent) => drops::run(&agent.connect(), &mut out),
        Command::Stations(agent) => stations::run(&agent.connect(), &mut out),
        Command::Trace(options) => trace::run(&options, &cluster, &mut out),
        Command::Bind {
            port,
            interface,
            agent,
        } => bind::bind(&agent.connect(), port, &interface, &mut out),
        Command::Unbind { port, agent } => bind::unbind(&agent.connect(), port, &mut out),
        Command::Neutron(Neutron::Audit(options)) => {
            return audit::run(&options, &cluster, &mut out);
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
