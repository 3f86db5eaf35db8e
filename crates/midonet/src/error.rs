//! What can go wrong in a command.

use client::ClientError;
use std::io;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A service refused or could not be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The output could not be written.
    #[error("write the output: {0}")]
    Output(#[from] io::Error),
}
