//! What can stop a lab.

use std::{io, path::PathBuf, process::ExitStatus};

/// Why a lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A system call or file operation.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A command ended badly.
    #[error("`{command}` {status}: {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
    /// Something that should become true did not.
    #[error("{what} did not come about within {seconds} s{detail}")]
    NotReached {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// The last thing seen, with a separator in front; may be empty.
        detail: String,
    },
    /// A program of ours has not been built.
    #[error("{program} is not in {}; build it with `cargo build --release`", looked.display())]
    NotBuilt {
        /// Its name.
        program: String,
        /// Where it was looked for.
        looked: PathBuf,
    },
    /// All slots are taken by labs that run.
    #[error("all {slots} lab slots are in use")]
    NoSlot {
        /// How many there are.
        slots: u8,
    },
    /// Another checkout's demo is there.
    #[error(
        "a demo with its files in {} is on this machine; \
         end it with `midonet-lab demo stop --dir {}`", dir.display(), dir.display()
    )]
    OtherDemo {
        /// Its folder.
        dir: PathBuf,
    },
    /// An HTTP service refused or could not be reached.
    #[error("{method} {url}: {detail}")]
    Http {
        /// Verb.
        method: &'static str,
        /// Where.
        url: String,
        /// Status and body, or why there was no answer.
        detail: String,
    },
    /// An answer lacks what it should have.
    #[error("{what} is not as expected: {detail}")]
    Unexpected {
        /// What was looked at.
        what: String,
        /// What was found.
        detail: String,
    },
}

/// Gives an I/O error its context.
pub(crate) trait Context<T> {
    /// Says what was being done.
    fn what(self, what: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T> Context<T> for io::Result<T> {
    fn what(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|source| LabError::Io {
            what: what(),
            source,
        })
    }
}
