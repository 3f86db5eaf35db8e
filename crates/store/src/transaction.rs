//! A transaction: what must hold, and what is then written.

use crate::{Revision, StoreError};
use std::collections::BTreeMap;

/// Writes, each key at most once, under conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    pub(crate) expected: BTreeMap<String, Option<Revision>>,
    pub(crate) writes: BTreeMap<String, Option<Vec<u8>>>,
}

impl Transaction {
    /// Only if this revision wrote the key; `None`: only if there is no such key.
    pub fn expect(&mut self, key: impl Into<String>, revision: Option<Revision>) -> &mut Self {
        self.expected.insert(key.into(), revision);
        self
    }

    /// Gives a key a value. The last `put` or `delete` of a key counts.
    pub fn put(&mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.writes.insert(key.into(), Some(value.into()));
        self
    }

    /// Takes a key away; one that is not there is fine.
    pub fn delete(&mut self, key: impl Into<String>) -> &mut Self {
        self.writes.insert(key.into(), None);
        self
    }

    /// Nothing is written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// A transaction was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A key was written by someone else meanwhile.
    #[error("conflict on {key}: expected revision {expected:?}, found {found:?}")]
    Conflict {
        /// The key.
        key: String,
        /// Revision that was expected to have written it.
        expected: Option<Revision>,
        /// Revision that has.
        found: Option<Revision>,
    },
    /// The store failed. Whether the transaction was carried out is not known.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

impl Transaction {
    /// Compares what is expected with what `find` says wrote a key.
    pub(crate) fn check(
        &self,
        mut find: impl FnMut(&str) -> Result<Option<Revision>, StoreError>,
    ) -> Result<(), CommitError> {
        for (key, &expected) in &self.expected {
            let found = find(key)?;
            if found != expected {
                return Err(CommitError::Conflict {
                    key: key.clone(),
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }
}
