//! The latest events, in memory, for watches.

use crate::{Event, Revision};
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Events that a log keeps. A watch that falls further behind is told so and must scan again.
pub const LOG_EVENTS_MAX: usize = 65_536;

/// Events by revision, oldest first.
#[derive(Debug)]
pub(crate) struct Log {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug)]
struct State {
    events: VecDeque<Event>,
    /// Every event from this revision on is here.
    oldest: Revision,
    /// Revision of the store.
    latest: Revision,
}

impl Log {
    /// The log of a store at a revision; what was before is not known.
    pub fn new(latest: Revision) -> Self {
        let state = State {
            events: VecDeque::new(),
            oldest: latest + 1,
            latest,
        };
        Self {
            state: Mutex::new(state),
            grown: Condvar::new(),
        }
    }

    pub fn oldest(&self) -> Revision {
        self.lock().oldest
    }

    /// Adds the events of one revision.
    pub fn append(&self, revision: Revision, events: Vec<Event>) {
        let mut state = self.lock();
        state.latest = revision;
        state.events.extend(events);
        while state.events.len() > LOG_EVENTS_MAX {
            // a revision goes as a whole: half of one would look like all of it
            let Some(first) = state.events.front().map(|e| e.revision) else {
                break;
            };
            while state.events.front().is_some_and(|e| e.revision == first) {
                state.events.pop_front();
            }
            state.oldest = first + 1;
        }
        drop(state);
        self.grown.notify_all();
    }

    /// The events from a revision on and the revision they lead to; waits for the first one.
    /// `Err` is the oldest revision that is known, if `from` is older.
    pub fn read(
        &self,
        from: Revision,
        limit: Duration,
    ) -> Result<(Revision, Vec<Event>), Revision> {
        let waiting = |state: &mut State| state.latest < from;
        let guard = self.lock();
        let (state, _) = self
            .grown
            .wait_timeout_while(guard, limit, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        if from < state.oldest {
            return Err(state.oldest);
        }
        let start = state.events.partition_point(|e| e.revision < from);
        let events = state.events.range(start..).cloned().collect();
        Ok((state.latest.max(from - 1), events))
    }

    /// A panic while holding the lock leaves the state whole: nothing in here panics halfway.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
