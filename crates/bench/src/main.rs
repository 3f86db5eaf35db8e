//! `midonet-bench`: how fast the virtual network is, measured against the kernel's own paths.

mod boot;
mod error;
mod guard;
mod network;
mod process;
mod report;
mod stats;
mod traffic;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Benches of MidoNet. Figures are ratios to what the kernel does alone, taken alternately.
#[derive(Debug, Parser)]
#[command(name = "midonet-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Throughput, request rate, packet rate and new connections between VMs.
    Network(network::Options),
    /// Time from a created port to the first ping of its VM, with a real Neutron.
    Boot(boot::Options),
    /// The traffic generator that the other benches use.
    #[command(subcommand)]
    Traffic(traffic::Traffic),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Network(options) => guard::guarded(|| network::run(&options)),
        Command::Boot(options) => guard::guarded(|| boot::run(&options)),
        Command::Traffic(traffic) => traffic::run(traffic).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("midonet-bench: {error}");
        ExitCode::FAILURE
    })
}
