//! What every store must do. Run on each implementation.

use crate::{
    CommitError, EVENTS_MAX, Event, FileStore, MemStore, Store, Transaction, WatchError, Write,
};

fn put(key: &str, value: &str) -> Transaction {
    Transaction::default().put(key, value)
}

fn commits_count_up_and_reads_see_them(store: &dyn Store) {
    assert_eq!(store.revision().unwrap(), 0);
    assert_eq!(store.commit(put("a/1", "x")).unwrap(), 1);
    assert_eq!(
        store
            .commit(put("a/2", "y").delete("a/1").put("b", "z"))
            .unwrap(),
        2
    );
    assert!(store.get("a/1").unwrap().is_none());
    let entry = store.get("a/2").unwrap().unwrap();
    assert_eq!(
        (entry.value.as_slice(), entry.revision),
        (b"y".as_slice(), 2)
    );
    let (entries, revision) = store.scan("a/").unwrap();
    assert_eq!(
        entries.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(),
        ["a/2"]
    );
    assert_eq!(revision, 2);
}

fn a_conflict_changes_nothing(store: &dyn Store) {
    store.commit(put("k", "1")).unwrap();
    let stale = Transaction::default()
        .expect("k", 0)
        .put("k", "2")
        .put("other", "2");
    match store.commit(stale) {
        Err(CommitError::Conflict {
            key,
            expected: 0,
            found: 1,
        }) => assert_eq!(key, "k"),
        other => panic!("{other:?}"),
    }
    assert!(store.get("other").unwrap().is_none());
    assert_eq!(store.revision().unwrap(), 1);
    assert_eq!(
        store
            .commit(Transaction::default().expect("k", 1).delete("k"))
            .unwrap(),
        2
    );
    assert_eq!(
        store
            .commit(Transaction::default().expect("k", 0).put("k", "3"))
            .unwrap(),
        3
    );
}

fn a_watch_tells_the_past_and_the_future(store: &dyn Store) {
    store.commit(put("a/1", "x")).unwrap();
    store.commit(put("a/2", "y").put("b", "z")).unwrap();
    let watch = store.watch("a/", 1).unwrap();
    store.commit(Transaction::default().delete("a/1")).unwrap();
    let value = b"y".to_vec();
    let expected = [
        Event {
            revision: 2,
            write: Write::Put {
                key: "a/2".into(),
                value,
            },
        },
        Event {
            revision: 3,
            write: Write::Delete { key: "a/1".into() },
        },
    ];
    assert_eq!(watch.try_iter().collect::<Vec<_>>(), expected);
}

fn a_watch_from_too_far_back_is_told_so(store: &dyn Store) {
    let many = (0..=EVENTS_MAX).fold(Transaction::default(), |t, i| t.put(format!("k/{i}"), "v"));
    store.commit(many).unwrap();
    match store.watch("k/", 0) {
        Err(WatchError::Compacted { from: 0, oldest: 1 }) => {}
        other => panic!("{other:?}"),
    }
    assert!(store.watch("k/", 1).is_ok());
}

macro_rules! suite {
    ($($name:ident),*) => {
        mod mem { $(#[test] fn $name() { super::$name(&super::MemStore::default()); })* }
        mod file { $(#[test] fn $name() {
            let dir = tempfile::tempdir().unwrap();
            super::$name(&super::FileStore::open(&dir.path().join("store")).unwrap());
        })* }
    };
}

suite!(
    commits_count_up_and_reads_see_them,
    a_conflict_changes_nothing,
    a_watch_tells_the_past_and_the_future,
    a_watch_from_too_far_back_is_told_so
);

#[test]
fn a_reopened_file_has_everything_that_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = FileStore::open(&path).unwrap();
    store.commit(put("k", "1")).unwrap();
    drop(store);
    let store = FileStore::open(&path).unwrap();
    assert_eq!(store.revision().unwrap(), 1);
    assert_eq!(store.get("k").unwrap().unwrap().value, b"1");
    assert!(matches!(
        store.watch("", 0),
        Err(WatchError::Compacted { from: 0, oldest: 1 })
    ));
    assert!(store.watch("", 1).is_ok());
}
