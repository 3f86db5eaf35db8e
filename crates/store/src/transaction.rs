//! Transactions: what must hold, and what to write then.

use crate::Revision;

/// A key must have been written last by this commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key.
    pub key: String,
    /// The commit; 0 = the key must be absent.
    pub revision: Revision,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Set a key.
    Put {
        /// The key.
        key: String,
        /// Its bytes.
        value: Vec<u8>,
    },
    /// Remove a key; no error if it is absent.
    Delete {
        /// The key.
        key: String,
    },
}

/// All or nothing. Later writes of a key win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold.
    pub compares: Vec<Compare>,
    /// What to write then.
    pub writes: Vec<Write>,
}

impl Transaction {
    /// Demands that `key` was written last by `revision` (0 = absent).
    pub fn expect(mut self, key: impl Into<String>, revision: Revision) -> Self {
        self.compares.push(Compare {
            key: key.into(),
            revision,
        });
        self
    }

    /// Sets a key.
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.writes.push(Write::Put {
            key: key.into(),
            value: value.into(),
        });
        self
    }

    /// Removes a key.
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.writes.push(Write::Delete { key: key.into() });
        self
    }
}

impl Write {
    /// The key that is written.
    pub fn key(&self) -> &str {
        match self {
            Write::Put { key, .. } | Write::Delete { key } => key,
        }
    }
}
