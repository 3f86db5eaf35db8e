//! `midonet-lab`: starts and stops the demo.

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// The lab's programs.
#[derive(Debug, Parser)]
#[command(name = "midonet-lab", version)]
enum Command {
    /// The main job end to end: Neutron, cluster, two hosts, four VMs.
    #[command(subcommand)]
    Demo(Demo),
}

#[derive(Debug, Subcommand)]
enum Demo {
    /// Start it, check that packets flow, leave it running.
    Up {
        /// Where its files go.
        #[arg(long, default_value = ".run/demo")]
        dir: PathBuf,
    },
    /// Stop it and remove everything it made.
    Stop {
        /// Where its files are.
        #[arg(long, default_value = ".run/demo")]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let Command::Demo(demo) = Command::parse();
    let result = match demo {
        Demo::Up { dir } => up(dir),
        Demo::Stop { dir } => absolute(dir)
            .and_then(|dir| lab::demo::stop(&dir))
            .map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("midonet-lab: {e}");
            ExitCode::FAILURE
        }
    }
}

/// What runs when a step fails is left for a look, with its logs.
fn up(dir: PathBuf) -> Result<bool, lab::LabError> {
    let dir = absolute(dir)?;
    lab::demo::up(&dir).inspect_err(|_| {
        if dir.exists() {
            let logs = dir.display();
            eprintln!("Logs are in {logs}; `./run demo stop` removes what was started.");
        }
    })
}

/// Programs run in other folders than ours.
fn absolute(dir: PathBuf) -> Result<PathBuf, lab::LabError> {
    std::path::absolute(&dir).map_err(|source| lab::LabError::Io {
        what: format!("finding {}", dir.display()),
        source,
    })
}
