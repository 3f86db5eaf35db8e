//! The embedded store: one file, on disk before it answers.

use crate::{
    CommitError, Entry, Event, Revision, Scan, Store, StoreError, Transaction, Watch, WatchError,
    log::Log,
};
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Key to revision (8 bytes, network order) and value.
const DATA: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("data");
/// The store's own figures.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";
const FORMAT: &str = "format";
/// Version of the layout above.
const FORMAT_VERSION: u64 = 1;
const REVISION_SIZE: usize = size_of::<Revision>();

/// The file could not be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory could not be made.
    #[error("cannot make {}: {reason}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// It is not a store, or another process has it open.
    #[error("cannot open store {}: {reason}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is of a version that this program does not know.
    #[error("store {} has format {found}, this program knows {FORMAT_VERSION}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

/// A store in a file.
pub struct FileStore {
    database: Database,
    /// Held while a transaction is written, so that the log has them in order.
    writing: Mutex<()>,
    log: Arc<Log>,
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").finish_non_exhaustive()
    }
}

impl FileStore {
    /// Opens the file, or makes it with its directory.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(|reason| OpenError::Directory {
                path: directory.to_owned(),
                reason,
            })?;
        }
        let failed = |reason: String| OpenError::Database {
            path: path.to_owned(),
            reason,
        };
        let database = Database::create(path).map_err(|e| failed(e.to_string()))?;
        let (format, revision) = prepare(&database).map_err(|e| failed(e.to_string()))?;
        if format != FORMAT_VERSION {
            return Err(OpenError::Format {
                path: path.to_owned(),
                found: format,
            });
        }
        Ok(Self {
            database,
            writing: Mutex::new(()),
            log: Arc::new(Log::new(revision)),
        })
    }

    fn write(
        &self,
        write: &WriteTransaction,
        transaction: &Transaction,
    ) -> Result<(Revision, Vec<Event>), CommitError> {
        let mut data = write.open_table(DATA).map_err(failed("opening the data"))?;
        let mut meta = write
            .open_table(META)
            .map_err(failed("opening the figures"))?;
        transaction.check(|key| written_by(&data, key))?;
        let current = meta.get(REVISION).map_err(failed("reading the revision"))?;
        let current = current.map_or(0, |guard| guard.value());
        let events = put_all(&mut data, transaction, current + 1)?;
        if events.is_empty() {
            return Ok((current, events));
        }
        meta.insert(REVISION, current + 1)
            .map_err(failed("writing the revision"))?;
        Ok((current + 1, events))
    }
}

impl Store for FileStore {
    fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let read = self.database.begin_read().map_err(failed("reading"))?;
        let data = read.open_table(DATA).map_err(failed("opening the data"))?;
        let held = data.get(key).map_err(failed("reading a key"))?;
        held.map(|held| entry(key, held.value())).transpose()
    }

    fn scan(&self, prefix: &str) -> Result<Scan, StoreError> {
        let read = self.database.begin_read().map_err(failed("reading"))?;
        let data = read.open_table(DATA).map_err(failed("opening the data"))?;
        let meta = read
            .open_table(META)
            .map_err(failed("opening the figures"))?;
        let revision = meta.get(REVISION).map_err(failed("reading the revision"))?;
        let revision = revision.map_or(0, |guard| guard.value());
        let mut entries = Vec::new();
        for held in data.range(prefix..).map_err(failed("reading a range"))? {
            let (key, value) = held.map_err(failed("reading a range"))?;
            if !key.value().starts_with(prefix) {
                break;
            }
            entries.push(entry(key.value(), value.value())?);
        }
        Ok(Scan { revision, entries })
    }

    fn commit(&self, transaction: &Transaction) -> Result<Revision, CommitError> {
        // nothing is guarded by the lock but the order of appends
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let write = self
            .database
            .begin_write()
            .map_err(failed("starting a transaction"))?;
        let (revision, events) = self.write(&write, transaction)?;
        if events.is_empty() {
            write.abort().map_err(failed("ending a transaction"))?;
            return Ok(revision);
        }
        // durable when this returns: the default of redb
        write.commit().map_err(failed("committing"))?;
        self.log.append(revision, events);
        Ok(revision)
    }

    fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, WatchError> {
        Watch::new(Arc::clone(&self.log), prefix, from)
    }
}

/// Makes the tables and says which format and revision the file is of.
fn prepare(database: &Database) -> Result<(u64, Revision), redb::Error> {
    let write = database.begin_write()?;
    let found;
    {
        write.open_table(DATA)?;
        let mut meta = write.open_table(META)?;
        let format = meta.get(FORMAT)?.map(|guard| guard.value());
        let revision = meta.get(REVISION)?.map_or(0, |guard| guard.value());
        if format.is_none() {
            meta.insert(FORMAT, FORMAT_VERSION)?;
        }
        found = (format.unwrap_or(FORMAT_VERSION), revision);
    }
    write.commit()?;
    Ok(found)
}

type Data<'t> = Table<'t, &'static str, &'static [u8]>;

fn written_by(data: &Data<'_>, key: &str) -> Result<Option<Revision>, StoreError> {
    let held = data.get(key).map_err(failed("reading a key"))?;
    held.map(|held| entry(key, held.value()).map(|e| e.revision))
        .transpose()
}

fn put_all(
    data: &mut Data<'_>,
    transaction: &Transaction,
    revision: Revision,
) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::new();
    for (key, value) in &transaction.writes {
        let changed = match value {
            Some(value) => {
                let bytes = [&revision.to_be_bytes(), value.as_slice()].concat();
                data.insert(key.as_str(), bytes.as_slice())
                    .map_err(failed("writing a key"))?;
                true
            }
            None => data
                .remove(key.as_str())
                .map_err(failed("removing a key"))?
                .is_some(),
        };
        if changed {
            events.push(Event {
                revision,
                key: key.clone(),
                value: value.clone(),
            });
        }
    }
    Ok(events)
}

fn entry(key: &str, bytes: &[u8]) -> Result<Entry, StoreError> {
    let Some((revision, value)) = bytes.split_first_chunk::<REVISION_SIZE>() else {
        let reason = format!("the value of {key} is cut short");
        return Err(StoreError {
            doing: "reading a key",
            reason,
        });
    };
    let revision = Revision::from_be_bytes(*revision);
    Ok(Entry {
        key: key.to_owned(),
        value: value.to_vec(),
        revision,
    })
}

fn failed<E: fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> StoreError {
    move |reason| StoreError {
        doing,
        reason: reason.to_string(),
    }
}
