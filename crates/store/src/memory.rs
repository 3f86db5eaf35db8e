//! A store that forgets everything when it goes: for tests, and to compare the other one with.

use crate::{
    CommitError, Entry, Event, Revision, Scan, Store, StoreError, Transaction, Watch, WatchError,
    log::Log,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    data: Mutex<Data>,
    log: Arc<Log>,
}

#[derive(Debug, Default)]
struct Data {
    revision: Revision,
    entries: BTreeMap<String, (Revision, Vec<u8>)>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            data: Mutex::default(),
            log: Arc::new(Log::new(0)),
        }
    }
}

impl MemoryStore {
    /// A panic while holding the lock leaves the data whole: nothing in here panics halfway.
    fn lock(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let data = self.lock();
        Ok(data.entries.get(key).map(|held| entry(key, held)))
    }

    fn scan(&self, prefix: &str) -> Result<Scan, StoreError> {
        let data = self.lock();
        let entries = data
            .entries
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, held)| entry(key, held))
            .collect();
        Ok(Scan {
            revision: data.revision,
            entries,
        })
    }

    fn commit(&self, transaction: &Transaction) -> Result<Revision, CommitError> {
        let mut data = self.lock();
        transaction.check(|key| Ok(data.entries.get(key).map(|(revision, _)| *revision)))?;
        let revision = data.revision + 1;
        let mut events = Vec::new();
        for (key, value) in &transaction.writes {
            let changed = match value {
                Some(value) => {
                    data.entries.insert(key.clone(), (revision, value.clone()));
                    true
                }
                None => data.entries.remove(key).is_some(),
            };
            if changed {
                events.push(Event {
                    revision,
                    key: key.clone(),
                    value: value.clone(),
                });
            }
        }
        if !events.is_empty() {
            data.revision = revision;
            self.log.append(revision, events);
        }
        Ok(data.revision)
    }

    fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, WatchError> {
        Watch::new(Arc::clone(&self.log), prefix, from)
    }
}

fn entry(key: &str, (revision, value): &(Revision, Vec<u8>)) -> Entry {
    Entry {
        key: key.to_owned(),
        value: value.clone(),
        revision: *revision,
    }
}
