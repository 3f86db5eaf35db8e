//! What can stop a bench.

use client::ClientError;
use lab::LabError;
use std::{io, process::ExitStatus};

/// Why a bench or one of its measurements failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The lab could not be built.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// An agent refused or could not be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A system call or file operation.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A helper command failed.
    #[error("`{command}` {status}: {said}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// A command took too long and was ended.
    #[error("`{command}` did not end within {seconds} s")]
    Timeout {
        /// The command line.
        command: String,
        /// How long it was given.
        seconds: u64,
    },
    /// A command's output was not understood.
    #[error("`{command}` printed what was not expected: {detail}")]
    Output {
        /// The command line.
        command: String,
        /// What is missing.
        detail: String,
    },
    /// What is promised did not come true.
    #[error("not kept: {what}; by: {broken}")]
    Promise {
        /// The promise.
        what: String,
        /// What broke it.
        broken: String,
    },
    /// The operator ended the bench.
    #[error("interrupted")]
    Interrupted,
}

/// Gives an I/O error the words of what was being done.
pub trait Context<T> {
    /// Wraps the error, if there is one.
    fn context(self, what: impl Into<String>) -> Result<T, BenchError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl Into<String>) -> Result<T, BenchError> {
        self.map_err(|source| BenchError::Io {
            what: what.into(),
            source,
        })
    }
}
