//! A store in one file, durable when a commit returns.

use crate::{
    CommitError, Entry, OpenError, ReadError, Revision, Store, Transaction, Watch, WatchError,
    Write, log::Log,
};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Key to revision (8 bytes, big endian) and value.
const ENTRIES: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");
/// One row: the last commit.
const REVISION: TableDefinition<(), Revision> = TableDefinition::new("revision");
const REVISION_BYTES: usize = size_of::<Revision>();

/// Opens in a moment whatever its size; one process at a time.
#[derive(Debug)]
pub struct FileStore {
    database: Database,
    /// Also orders commits, so that the log has them as the file has.
    log: Mutex<Log>,
}

impl FileStore {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::File {
            path: path.to_owned(),
            source,
        };
        let database = Database::create(path).map_err(|e| failed(e.into()))?;
        let revision = prepare(&database).map_err(failed)?;
        Ok(Self {
            database,
            log: Mutex::new(Log::starting_at(revision)),
        })
    }
}

/// Makes the tables if need be and reads the last commit.
fn prepare(database: &Database) -> Result<Revision, redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    let revision = transaction
        .open_table(REVISION)?
        .get(())?
        .map_or(0, |r| r.value());
    transaction.commit()?;
    Ok(revision)
}

impl Store for FileStore {
    fn revision(&self) -> Result<Revision, ReadError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(REVISION)?;
            Ok(table.get(())?.map_or(0, |r| r.value()))
        };
        Ok(read()?)
    }

    fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(ENTRIES)?;
            Ok(table.get(key)?.map(|bytes| entry(key, bytes.value())))
        };
        Ok(read()?)
    }

    fn scan(&self, prefix: &str) -> Result<(Vec<Entry>, Revision), ReadError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = transaction.open_table(ENTRIES)?;
            let mut entries = Vec::new();
            for row in table.range(prefix..)? {
                let (key, bytes) = row?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                entries.push(entry(key.value(), bytes.value()));
            }
            let revision = transaction
                .open_table(REVISION)?
                .get(())?
                .map_or(0, |r| r.value());
            Ok((entries, revision))
        };
        Ok(read()?)
    }

    fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = write(&self.database, &transaction)?;
        log.append(revision, transaction);
        Ok(revision)
    }

    fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, WatchError> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .watch(prefix, from)
    }
}

fn write(database: &Database, transaction: &Transaction) -> Result<Revision, CommitError> {
    let mut writing = database.begin_write().map_err(redb::Error::from)?;
    writing
        .set_durability(Durability::Immediate)
        .map_err(redb::Error::from)?;
    let revision = {
        let mut entries = writing.open_table(ENTRIES).map_err(redb::Error::from)?;
        check(&entries, transaction)?;
        let mut last = writing.open_table(REVISION).map_err(redb::Error::from)?;
        apply(&mut entries, &mut last, transaction)?
    };
    writing.commit().map_err(redb::Error::from)?;
    Ok(revision)
}

fn check(entries: &Table<&str, &[u8]>, transaction: &Transaction) -> Result<(), CommitError> {
    for compare in &transaction.compares {
        let held = entries
            .get(compare.key.as_str())
            .map_err(redb::Error::from)?;
        let found = held.map_or(0, |bytes| split(bytes.value()).0);
        if found != compare.revision {
            let (key, expected) = (compare.key.clone(), compare.revision);
            return Err(CommitError::Conflict {
                key,
                expected,
                found,
            });
        }
    }
    Ok(())
}

fn apply(
    entries: &mut Table<&str, &[u8]>,
    last: &mut Table<(), Revision>,
    transaction: &Transaction,
) -> Result<Revision, redb::Error> {
    let revision = last.get(())?.map_or(0, |r| r.value()) + 1;
    for write in &transaction.writes {
        match write {
            Write::Put { key, value } => {
                let bytes = [&revision.to_be_bytes(), value.as_slice()].concat();
                entries.insert(key.as_str(), bytes.as_slice())?;
            }
            Write::Delete { key } => {
                entries.remove(key.as_str())?;
            }
        }
    }
    last.insert((), revision)?;
    Ok(revision)
}

fn entry(key: &str, bytes: &[u8]) -> Entry {
    let (revision, value) = split(bytes);
    Entry {
        key: key.to_owned(),
        value: value.to_vec(),
        revision,
    }
}

/// Revision and value of a stored row. A row too short to be ours reads as an empty value of
/// revision 0, which no compare expects.
fn split(bytes: &[u8]) -> (Revision, &[u8]) {
    match bytes.split_first_chunk::<REVISION_BYTES>() {
        Some((revision, value)) => (Revision::from_be_bytes(*revision), value),
        None => (0, &[]),
    }
}
