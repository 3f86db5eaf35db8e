//! `midonet-bench`: how fast the virtual network is, measured against the kernel's own paths.

mod boot;
mod error;
mod gateways;
mod guard;
mod hostile;
mod members;
mod network;
mod outside;
mod pinger;
mod process;
mod qos;
mod report;
mod stats;
mod topology;
mod traffic;

use clap::{Parser, Subcommand};
use error::BenchError;
use report::Line;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

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
    Network {
        #[command(flatten)]
        options: network::Options,
        /// Also write the figures to this file, one JSON object a line
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Time from a created port to the first ping of its VM, with a real Neutron.
    Boot {
        #[command(flatten)]
        options: boot::Options,
        /// Also write the figures to this file, one JSON object a line
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Time and processor time that one more member of a large security group takes.
    Members {
        #[command(flatten)]
        options: members::Options,
        /// Also write the figures to this file, one JSON object a line
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// How exactly bandwidth limits are kept.
    Qos {
        #[command(flatten)]
        options: qos::Options,
        /// Also write the figures to this file, one JSON object a line
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// What floods of one VM cost a neighbour: a scan of a million flows, and other floods.
    Hostile {
        #[command(flatten)]
        options: hostile::Options,
        /// Also write the figures to this file, one JSON object a line
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Many connections through two gateways, of which one dies: no measurement, but a test.
    Gateways(gateways::Options),
    /// The network and the boot bench.
    All {
        /// Where the figures go, one JSON object a line
        file: PathBuf,
        #[command(flatten)]
        network: network::Options,
        #[command(flatten)]
        boot: boot::Options,
    },
    /// The traffic generator that the other benches use.
    #[command(subcommand)]
    Traffic(traffic::Traffic),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Network { options, json } => {
            guard::guarded(|| show(&network::run(&options)?, json.as_deref()))
        }
        Command::Boot { options, json } => {
            guard::guarded(|| show(&boot::run(&options)?, json.as_deref()))
        }
        Command::Members { options, json } => {
            guard::guarded(|| show(&members::run(&options)?, json.as_deref()))
        }
        Command::Qos { options, json } => guard::guarded(|| {
            let rows = qos::run(&options)?;
            print!("{}", qos::table(&rows));
            json.map_or(Ok(()), |path| report::write_json(&path, &rows))
        }),
        Command::Hostile { options, json } => {
            guard::guarded(|| show(&hostile::run(&options)?, json.as_deref()))
        }
        Command::Gateways(options) => guard::guarded(|| gateways::run(&options)),
        Command::All {
            file,
            network,
            boot,
        } => guard::guarded(|| all(&file, &network, &boot)),
        Command::Traffic(traffic) => traffic::run(traffic).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("midonet-bench: {error}");
        ExitCode::FAILURE
    })
}

/// What the first bench found is kept if the second one fails.
fn all(file: &Path, network: &network::Options, boot: &boot::Options) -> Result<(), BenchError> {
    let mut lines = network::run(network)?;
    show(&lines, Some(file))?;
    let more = boot::run(boot)?;
    show(&more, None)?;
    lines.extend(more);
    report::write_json(file, &lines)
}

fn show(lines: &[Line], json: Option<&Path>) -> Result<(), BenchError> {
    print!("{}", report::table(lines));
    json.map_or(Ok(()), |path| report::write_json(path, lines))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
