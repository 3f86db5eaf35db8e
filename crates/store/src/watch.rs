//! A watch: events below a prefix in the order of their revisions.

use crate::{Revision, log::Log};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// A key was written or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Revision that did it.
    pub revision: Revision,
    /// The key.
    pub key: String,
    /// The new value; `None` if the key is gone.
    pub value: Option<Vec<u8>>,
}

/// Why a watch cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Events in between are not known any more. Scan, and watch from there.
    #[error("events before revision {oldest} are gone")]
    Compacted {
        /// The oldest revision that can be watched from.
        oldest: Revision,
    },
}

/// A running watch. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    log: Arc<Log>,
    prefix: String,
    from: Revision,
    ready: VecDeque<Event>,
}

impl Watch {
    pub(crate) fn new(log: Arc<Log>, prefix: &str, from: Revision) -> Result<Self, WatchError> {
        let oldest = log.oldest();
        if from < oldest {
            return Err(WatchError::Compacted { oldest });
        }
        Ok(Self {
            log,
            prefix: prefix.to_owned(),
            from,
            ready: VecDeque::new(),
        })
    }

    /// The next event; `None` if there is none within the limit.
    pub fn next(&mut self, limit: Duration) -> Result<Option<Event>, WatchError> {
        if self.ready.is_empty() {
            let read = self.log.read(self.from, limit);
            let (latest, events) = read.map_err(|oldest| WatchError::Compacted { oldest })?;
            self.from = latest + 1;
            let wanted = events
                .into_iter()
                .filter(|e| e.key.starts_with(&self.prefix));
            self.ready.extend(wanted);
        }
        Ok(self.ready.pop_front())
    }
}
