//! A store in memory: for tests, and as the plainest statement of what a store is.

use crate::{
    CommitError, Entry, ReadError, Revision, Store, Transaction, Watch, WatchError, Write, log::Log,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Forgets everything when dropped.
#[derive(Debug, Default)]
pub struct MemStore(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    revision: Revision,
    entries: BTreeMap<String, (Vec<u8>, Revision)>,
    log: Log,
}

impl MemStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemStore {
    fn revision(&self) -> Result<Revision, ReadError> {
        Ok(self.state().revision)
    }

    fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        let state = self.state();
        Ok(state.entries.get(key).map(|held| entry(key, held)))
    }

    fn scan(&self, prefix: &str) -> Result<(Vec<Entry>, Revision), ReadError> {
        let state = self.state();
        let from = state.entries.range(prefix.to_owned()..);
        let under = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok((
            under.map(|(key, held)| entry(key, held)).collect(),
            state.revision,
        ))
    }

    fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        let mut state = self.state();
        for compare in &transaction.compares {
            let found = state
                .entries
                .get(&compare.key)
                .map_or(0, |(_, revision)| *revision);
            if found != compare.revision {
                let (key, expected) = (compare.key.clone(), compare.revision);
                return Err(CommitError::Conflict {
                    key,
                    expected,
                    found,
                });
            }
        }
        state.revision += 1;
        let revision = state.revision;
        for write in &transaction.writes {
            match write {
                Write::Put { key, value } => {
                    state.entries.insert(key.clone(), (value.clone(), revision));
                }
                Write::Delete { key } => {
                    state.entries.remove(key);
                }
            }
        }
        state.log.append(revision, transaction);
        Ok(revision)
    }

    fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, WatchError> {
        self.state().log.watch(prefix, from)
    }
}

fn entry(key: &str, (value, revision): &(Vec<u8>, Revision)) -> Entry {
    Entry {
        key: key.to_owned(),
        value: value.clone(),
        revision: *revision,
    }
}
