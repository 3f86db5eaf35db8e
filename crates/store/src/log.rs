//! The last events, and those who wait for the next ones.

use crate::{Revision, Transaction, WatchError, Write};
use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

/// Events a store remembers for watches that start late, and that a slow watch may fall behind
/// before it is ended.
pub const EVENTS_MAX: usize = 16_384;

/// One write of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The commit.
    pub revision: Revision,
    /// What it wrote.
    pub write: Write,
}

/// The receiving end of a watch. It ends when the store goes away or the watcher falls more than
/// [`EVENTS_MAX`] events behind; the watcher then scans and watches again.
pub type Watch = Receiver<Event>;

#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Revision before the first remembered event.
    base: Revision,
    events: VecDeque<Event>,
    watchers: Vec<(String, SyncSender<Event>)>,
}

impl Log {
    /// A log of a store that stands at `revision`.
    pub(crate) fn starting_at(revision: Revision) -> Self {
        Self {
            base: revision,
            ..Self::default()
        }
    }

    pub(crate) fn append(&mut self, revision: Revision, transaction: Transaction) {
        for write in transaction.writes {
            let event = Event { revision, write };
            self.watchers
                .retain(|(prefix, out)| !lost(prefix, out, &event));
            self.events.push_back(event);
            if self.events.len() > EVENTS_MAX {
                self.base = self.events.pop_front().map_or(self.base, |e| e.revision);
            }
        }
    }

    pub(crate) fn watch(&mut self, prefix: &str, from: Revision) -> Result<Watch, WatchError> {
        if from < self.base {
            return Err(WatchError::Compacted {
                from,
                oldest: self.base,
            });
        }
        let (out, watch) = sync_channel(EVENTS_MAX);
        for event in self.events.iter().filter(|e| e.revision > from) {
            lost(prefix, &out, event);
        }
        self.watchers.push((prefix.to_owned(), out));
        Ok(watch)
    }
}

/// Hands an event to a watcher; true when the watcher is gone or too far behind.
fn lost(prefix: &str, out: &SyncSender<Event>, event: &Event) -> bool {
    if !event.write.key().starts_with(prefix) {
        return false;
    }
    match out.try_send(event.clone()) {
        Ok(()) => false,
        Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => true,
    }
}
