//! The store of the cluster: keys with revisions, transactions, watches.
//!
//! The shape is etcd's. There is one revision for the whole store; each transaction that changes
//! something makes it one larger, and a key remembers the revision that wrote it. [`MemoryStore`]
//! forgets everything when it goes; [`FileStore`] is durable before it answers. Both pass the same
//! tests. All calls block; an async program makes them on a thread of its own.
#![forbid(unsafe_code)]

mod file;
mod log;
mod memory;
mod transaction;
mod watch;

pub use file::{FileStore, OpenError};
pub use log::LOG_EVENTS_MAX;
pub use memory::MemoryStore;
pub use transaction::{CommitError, Transaction};
pub use watch::{Event, Watch, WatchError};

/// Revision of the store. 0 is the empty store.
pub type Revision = u64;

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// Revision that wrote it.
    pub revision: Revision,
}

/// Entries of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Revision of the store at that moment. To see what follows, watch from the next one.
    pub revision: Revision,
    /// The entries by key.
    pub entries: Vec<Entry>,
}

/// The store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("store: {doing}: {reason}")]
pub struct StoreError {
    /// What was being done.
    pub doing: &'static str,
    /// Why it failed, in the words of whoever did it.
    pub reason: String,
}

/// A transactional key-value store with revisions.
pub trait Store: Send + Sync {
    /// One entry.
    fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// All entries whose key starts with a prefix, by key.
    fn scan(&self, prefix: &str) -> Result<Scan, StoreError>;

    /// Carries a transaction out as a whole, or not at all if an expected revision is not found.
    /// What it wrote survives a crash of the machine once this returns, if the store is one that
    /// survives. Returns the revision of the store after it.
    fn commit(&self, transaction: &Transaction) -> Result<Revision, CommitError>;

    /// What is written below a prefix from a revision on, that revision included.
    fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, WatchError>;
}

#[cfg(test)]
mod conformance;
