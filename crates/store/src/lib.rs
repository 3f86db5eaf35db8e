//! A small durable key-value store with etcd's shape: one global revision, transactions that name
//! the revisions they were planned against, and watches from a revision.
//!
//! Calls block. Whoever lives in an async world calls them from a blocking thread.
#![forbid(unsafe_code)]

mod error;
mod file;
mod log;
mod mem;
#[cfg(test)]
mod suite;
mod transaction;

pub use error::{CommitError, OpenError, ReadError, WatchError};
pub use file::FileStore;
pub use log::{EVENTS_MAX, Event, Watch};
pub use mem::MemStore;
pub use transaction::{Compare, Transaction, Write};

/// Number of a commit: the first is 1, each one is one more.
pub type Revision = u64;

/// A stored value and the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub value: Vec<u8>,
    /// The commit that wrote it.
    pub revision: Revision,
}

/// Where the cluster keeps what must survive.
pub trait Store: Send + Sync {
    /// The last commit; 0 before the first.
    fn revision(&self) -> Result<Revision, ReadError>;

    /// One entry.
    fn get(&self, key: &str) -> Result<Option<Entry>, ReadError>;

    /// All entries whose key starts with `prefix`, by key, and the revision they were read at.
    fn scan(&self, prefix: &str) -> Result<(Vec<Entry>, Revision), ReadError>;

    /// Carries out all writes or none. Durable when it returns.
    fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError>;

    /// Everything written under `prefix` after `from`, as it happens. The last [`EVENTS_MAX`] events
    /// are remembered; further back is [`WatchError::Compacted`], and the caller scans again.
    fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, WatchError>;
}
