//! What every store must do, run on each of them.

use crate::{
    CommitError, Event, FileStore, LOG_EVENTS_MAX, MemoryStore, OpenError, Store, Transaction,
    WatchError,
};
use std::{sync::Arc, thread, time::Duration};

const SOON: Duration = Duration::from_millis(10);
const LATER: Duration = Duration::from_secs(10);

fn put(key: &str, value: &str) -> Transaction {
    let mut transaction = Transaction::default();
    transaction.put(key, value);
    transaction
}

fn delete(key: &str) -> Transaction {
    let mut transaction = Transaction::default();
    transaction.delete(key);
    transaction
}

fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    store
        .scan(prefix)
        .unwrap()
        .entries
        .into_iter()
        .map(|e| e.key)
        .collect()
}

fn revisions_count_changes(store: &dyn Store) {
    assert_eq!(store.scan("").unwrap().revision, 0);
    assert_eq!(store.commit(&put("a", "1")).unwrap(), 1);
    assert_eq!(store.commit(&put("b", "2")).unwrap(), 2);
    assert_eq!(store.commit(&delete("none")).unwrap(), 2);
    assert_eq!(store.commit(&Transaction::default()).unwrap(), 2);
    assert_eq!(store.commit(&put("a", "3")).unwrap(), 3);
    let a = store.get("a").unwrap().unwrap();
    assert_eq!((a.value.as_slice(), a.revision), (&b"3"[..], 3));
    assert_eq!(store.get("b").unwrap().unwrap().revision, 2);
    assert_eq!(store.commit(&delete("a")).unwrap(), 4);
    assert_eq!(store.get("a").unwrap(), None);
}

fn a_scan_is_by_prefix_and_in_order(store: &dyn Store) {
    for key in ["/b/2", "/b/1", "/a", "/b", "/c", "/bb"] {
        store.commit(&put(key, key)).unwrap();
    }
    assert_eq!(keys(store, "/b/"), ["/b/1", "/b/2"]);
    assert_eq!(keys(store, "/b"), ["/b", "/b/1", "/b/2", "/bb"]);
    assert_eq!(keys(store, "").len(), 6);
    assert!(keys(store, "/d").is_empty());
}

fn a_transaction_is_all_or_nothing(store: &dyn Store) {
    store.commit(&put("a", "1")).unwrap();
    let mut transaction = put("b", "1");
    transaction.delete("a").expect("a", Some(7));
    match store.commit(&transaction) {
        Err(CommitError::Conflict {
            key,
            expected,
            found,
        }) => {
            assert_eq!((key.as_str(), expected, found), ("a", Some(7), Some(1)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.scan("").unwrap().revision, 1);
    assert_eq!(keys(store, ""), ["a"]);
    transaction.expect("a", Some(1)).expect("b", None);
    assert_eq!(store.commit(&transaction).unwrap(), 2);
    assert_eq!(keys(store, ""), ["b"]);
    assert!(matches!(
        store.commit(&transaction),
        Err(CommitError::Conflict { .. })
    ));
}

fn a_watch_sees_what_follows_under_its_prefix(store: &dyn Store) {
    store.commit(&put("/a/1", "1")).unwrap();
    let from = store.scan("/a").unwrap().revision + 1;
    let mut watch = store.watch("/a", from).unwrap();
    assert_eq!(watch.next(SOON).unwrap(), None);
    store.commit(&put("/b", "x")).unwrap();
    let mut both = put("/a/2", "2");
    both.delete("/a/1");
    store.commit(&both).unwrap();
    let gone = Event {
        revision: 3,
        key: "/a/1".to_owned(),
        value: None,
    };
    let new = Event {
        revision: 3,
        key: "/a/2".to_owned(),
        value: Some(b"2".to_vec()),
    };
    assert_eq!(watch.next(SOON).unwrap(), Some(gone.clone()));
    assert_eq!(watch.next(SOON).unwrap(), Some(new));
    assert_eq!(watch.next(SOON).unwrap(), None);
    // an earlier start sees the same again
    let mut again = store.watch("/a", 2).unwrap();
    assert_eq!(again.next(SOON).unwrap(), Some(gone));
}

fn a_watch_too_far_behind_is_told(store: &dyn Store) {
    let mut watch = store.watch("", 1).unwrap();
    let mut many = Transaction::default();
    for i in 0..=LOG_EVENTS_MAX {
        many.put(format!("{i:06}"), "");
    }
    store.commit(&many).unwrap();
    store.commit(&put("last", "")).unwrap();
    assert_eq!(watch.next(SOON), Err(WatchError::Compacted { oldest: 2 }));
    assert_eq!(
        store.watch("", 1).err(),
        Some(WatchError::Compacted { oldest: 2 })
    );
    let event = store.watch("", 2).unwrap().next(SOON).unwrap();
    assert_eq!(event.unwrap().key, "last");
}

fn concurrent_writers_lose_nothing(store: &Arc<dyn Store>) {
    const WRITERS: usize = 4;
    const EACH: usize = 25;
    let mut watch = store.watch("n", 1).unwrap();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| (0..EACH).for_each(|_| increment(store.as_ref())));
        }
    });
    let n = store.get("n").unwrap().unwrap();
    assert_eq!(n.value, (WRITERS * EACH).to_string().as_bytes());
    for expected in 1..=(WRITERS * EACH) as u64 {
        assert_eq!(watch.next(LATER).unwrap().unwrap().revision, expected);
    }
}

fn increment(store: &dyn Store) {
    loop {
        let held = store.get("n").unwrap();
        let count: usize = held
            .as_ref()
            .map_or(0, |e| String::from_utf8_lossy(&e.value).parse().unwrap());
        let mut transaction = put("n", &(count + 1).to_string());
        transaction.expect("n", held.map(|e| e.revision));
        match store.commit(&transaction) {
            Ok(_) => return,
            Err(CommitError::Conflict { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

fn a_waiting_watch_wakes(store: &Arc<dyn Store>) {
    let mut watch = store.watch("", 1).unwrap();
    let writer = Arc::clone(store);
    let waiting = thread::spawn(move || watch.next(LATER));
    writer.commit(&put("a", "1")).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap().unwrap().key, "a");
}

macro_rules! conformance {
    ($($test:ident)*) => {
        mod memory {
            use super::*;
            $(#[test]
            fn $test() {
                let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
                super::$test((&store).into_test());
            })*
        }
        mod file {
            use super::*;
            $(#[test]
            fn $test() {
                let dir = tempfile::tempdir().unwrap();
                let store: Arc<dyn Store> =
                    Arc::new(FileStore::open(&dir.path().join("new/store")).unwrap());
                super::$test((&store).into_test());
            })*
        }
    };
}

/// Lets one list hold tests of a store and tests of a shared store.
trait IntoTest<'a, T> {
    fn into_test(self) -> T;
}
impl<'a> IntoTest<'a, &'a dyn Store> for &'a Arc<dyn Store> {
    fn into_test(self) -> &'a dyn Store {
        self.as_ref()
    }
}
impl<'a> IntoTest<'a, &'a Arc<dyn Store>> for &'a Arc<dyn Store> {
    fn into_test(self) -> &'a Arc<dyn Store> {
        self
    }
}

conformance! {
    revisions_count_changes
    a_scan_is_by_prefix_and_in_order
    a_transaction_is_all_or_nothing
    a_watch_sees_what_follows_under_its_prefix
    a_watch_too_far_behind_is_told
    concurrent_writers_lose_nothing
    a_waiting_watch_wakes
}

#[test]
fn a_file_remembers_data_and_revisions_but_not_events() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = FileStore::open(&path).unwrap();
    store.commit(&put("a", "1")).unwrap();
    store.commit(&put("b", "2")).unwrap();
    assert!(matches!(
        FileStore::open(&path),
        Err(OpenError::Database { .. })
    ));
    drop(store);
    let store = FileStore::open(&path).unwrap();
    assert_eq!(store.get("a").unwrap().unwrap().revision, 1);
    assert_eq!(
        store.watch("", 2).err(),
        Some(WatchError::Compacted { oldest: 3 })
    );
    assert_eq!(store.commit(&delete("a")).unwrap(), 3);
}

#[test]
fn what_is_not_a_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    std::fs::write(
        &path,
        b"something else, and long enough to be looked at".repeat(200),
    )
    .unwrap();
    assert!(matches!(
        FileStore::open(&path),
        Err(OpenError::Database { .. })
    ));
}
