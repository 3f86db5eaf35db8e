//! `midonet-cluster`: REST API, translation, store, push to agents.

use clap::Parser;
use cluster::{Cluster, Config};
use std::{io::IsTerminal, path::PathBuf, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// MidoNet cluster: takes Neutron's resources, keeps the virtual topology, tells the agents.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Configuration file
    #[arg(long, default_value = "/etc/midonet/cluster.toml")]
    config: PathBuf,
    /// Print the configuration in effect, without secrets, and exit
    #[arg(long)]
    print_config: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let config = match Config::read(&args.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("midonet-cluster: {error}");
            return ExitCode::FAILURE;
        }
    };
    if args.print_config {
        print!("{config}");
        return ExitCode::SUCCESS;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cluster = Cluster::start(config).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    cluster.stop().await;
    Ok(())
}
