//! `midonet-agent`: command line, log, runtime.

use agent::{config::Config, run};
use clap::Parser;
use std::{io::IsTerminal, path::PathBuf, process::ExitCode};
use tracing_subscriber::EnvFilter;

/// MidoNet's agent: makes this host's VM ports part of their virtual networks.
#[derive(Parser)]
#[command(name = "midonet-agent", version)]
struct Arguments {
    /// Configuration file.
    #[arg(long, default_value = "/etc/midonet/agent.toml")]
    config: PathBuf,
    /// Print the configuration in effect, without the secret, and exit.
    #[arg(long)]
    print_config: bool,
    /// Remove what the agent made in the kernel and exit; traffic of this host's ports stops.
    #[arg(long)]
    teardown: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    if arguments.print_config {
        print!("{}", config.shown());
        return ExitCode::SUCCESS;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result = runtime.block_on(async {
        if arguments.teardown {
            run::teardown(&config).await
        } else {
            run::run(config).await
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("midonet-agent: {error}");
    ExitCode::FAILURE
}
