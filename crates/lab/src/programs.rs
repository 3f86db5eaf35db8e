//! Where our programs are, and running those of the system.

use crate::{LabError, error::Context};
use std::{env, path::PathBuf, process::Command};

/// Characters of a command's complaint that are kept.
const STDERR_KEPT: usize = 2000;

/// Path of a program of this workspace: beside the running one, or one folder up for a test.
pub fn program(name: &str) -> Result<PathBuf, LabError> {
    let here = env::current_exe().what(|| "finding the running program".to_owned())?;
    let folders = here.ancestors().skip(1).take(2);
    let found = folders.clone().map(|f| f.join(name)).find(|p| p.is_file());
    found.ok_or_else(|| LabError::NotBuilt {
        program: name.to_owned(),
        looked: folders.last().map(PathBuf::from).unwrap_or_default(),
    })
}

/// Runs a command to its end and gives what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String, LabError> {
    let output = command
        .output()
        .what(|| format!("starting {}", line(command)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.is_empty() {
        said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    }
    let skip = said.chars().count().saturating_sub(STDERR_KEPT);
    Err(LabError::Command {
        command: line(command),
        status: output.status,
        stderr: said.chars().skip(skip).collect(),
    })
}

/// Runs `ip` with words split at blanks.
pub(crate) fn ip(words: &str) -> Result<String, LabError> {
    run(Command::new("ip").args(words.split_whitespace()))
}

fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for word in command.get_args() {
        line.push(' ');
        line.push_str(&word.to_string_lossy());
    }
    line
}
