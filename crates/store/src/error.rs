//! What can go wrong, per operation.

use crate::Revision;
use std::path::PathBuf;

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is damaged, locked by another process, or cannot be made.
    #[error("cannot open the store {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        source: redb::Error,
    },
}

/// A read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The engine failed; the disk is the first thing to look at.
    #[error("cannot read from the store: {0}")]
    Engine(#[from] redb::Error),
}

/// A commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else wrote a key since it was looked at. Nothing was written.
    #[error("'{key}' is at revision {found}, not at {expected}")]
    Conflict {
        /// The first key that differs.
        key: String,
        /// What the transaction was planned against; 0 = absent.
        expected: Revision,
        /// What is there; 0 = absent.
        found: Revision,
    },
    /// The engine failed; whether the writes happened is known after reopening.
    #[error("cannot write to the store: {0}")]
    Engine(#[from] redb::Error),
}

/// A watch could not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Events that far back are forgotten.
    #[error("events before revision {oldest} are forgotten, {from} was asked for")]
    Compacted {
        /// What was asked for.
        from: Revision,
        /// The first revision that can be asked for.
        oldest: Revision,
    },
}
