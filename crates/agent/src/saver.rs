//! Keeps the saved topology at most a little behind, at the cost of what changed: steps are appended,
//! and only after many of them is the whole written anew.

use crate::{
    shared::Shared,
    state::{StateError, Step},
};
use datapath::Maps;
use std::{sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::sleep};
use topology::Change;
use uuid::Uuid;

/// Time between two writes.
const PAUSE: Duration = Duration::from_secs(2);

/// Changes that are appended before the whole is written anew.
const APPENDED_MAX: usize = 4096;

/// What is not saved yet.
#[derive(Debug, Default)]
pub struct Unsaved {
    /// The store that the saved whole comes from; `None` if there is no whole that steps could be
    /// appended to.
    whole: Option<Uuid>,
    steps: Vec<Step>,
    /// Changes since the whole was written, those of `steps` too.
    changes: usize,
}

/// What is to be written.
#[derive(Debug, PartialEq)]
pub enum Work {
    /// Everything is saved.
    Nothing,
    /// These steps.
    Append(Vec<Step>),
    /// All of it.
    Whole,
}

impl Unsaved {
    /// The topology of this store has been read back, or is about to be written as a whole.
    pub fn whole(&mut self, instance: Option<Uuid>) {
        *self = Self {
            whole: instance,
            ..Self::default()
        };
    }

    /// A step was applied.
    pub fn step(&mut self, instance: Uuid, revision: u64, changes: &[Change]) {
        self.changes += changes.len();
        if self.whole != Some(instance) || self.changes > APPENDED_MAX {
            return self.whole(None);
        }
        let changes = changes.to_vec();
        self.steps.push(Step {
            instance,
            revision,
            changes,
        });
    }

    /// What is to be written; from here on it counts as saved.
    pub fn take(&mut self, instance: Option<Uuid>) -> Work {
        if self.whole.is_none() || self.whole != instance {
            self.whole(instance);
            return Work::Whole;
        }
        match std::mem::take(&mut self.steps) {
            steps if steps.is_empty() => Work::Nothing,
            steps => Work::Append(steps),
        }
    }
}

/// Goes on as long as the topology changes.
pub async fn run<M: Maps + Send + 'static>(shared: Arc<Shared<M>>) {
    let mut changed = shared.changed.subscribe();
    while changed.changed().await.is_ok() {
        if let Err(error) = save(&shared).await {
            tracing::error!(%error, "topology not saved; a restart would need the cluster");
        }
        sleep(PAUSE).await;
    }
}

/// Writes what is not saved yet.
pub async fn save<M: Maps + Send + 'static>(shared: &Arc<Shared<M>>) -> Result<(), StateError> {
    let (work, instance, revision, snapshot) = {
        let mut world = shared.world();
        if !world.is_ready() {
            return Ok(());
        }
        let work = world.take_unsaved();
        let snapshot = (work == Work::Whole).then(|| Arc::clone(world.snapshot()));
        (work, world.instance(), world.revision(), snapshot)
    };
    let state = shared.state().clone();
    let written = spawn_blocking(move || match (work, snapshot) {
        (Work::Append(steps), _) => state.append_topology(&steps),
        (_, Some(whole)) => state.save_topology(instance, revision, &whole),
        (_, None) => Ok(()),
    });
    let written = written.await;
    let written = written.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    if written.is_err() {
        shared.world().nothing_saved();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology::{BridgeId, ObjectId};

    const STORE: Uuid = Uuid::from_u128(1);

    fn changes(count: usize) -> Vec<Change> {
        let gone = ObjectId::Bridge(BridgeId(Uuid::nil()));
        vec![Change::Delete(gone); count]
    }

    #[test]
    fn the_first_write_is_whole_and_later_ones_are_steps() {
        let mut unsaved = Unsaved::default();
        unsaved.step(STORE, 1, &changes(3));
        assert_eq!(unsaved.take(Some(STORE)), Work::Whole);
        assert_eq!(unsaved.take(Some(STORE)), Work::Nothing);
        unsaved.step(STORE, 2, &changes(1));
        unsaved.step(STORE, 3, &changes(2));
        let Work::Append(steps) = unsaved.take(Some(STORE)) else {
            panic!("steps")
        };
        let revisions: Vec<u64> = steps.iter().map(|s| s.revision).collect();
        assert_eq!(revisions, [2, 3]);
        assert_eq!(unsaved.take(Some(STORE)), Work::Nothing);
    }

    #[test]
    fn after_many_changes_the_whole_is_written_again() {
        let mut unsaved = Unsaved::default();
        unsaved.whole(Some(STORE));
        unsaved.step(STORE, 1, &changes(APPENDED_MAX));
        assert!(matches!(unsaved.take(Some(STORE)), Work::Append(_)));
        unsaved.step(STORE, 2, &changes(1));
        unsaved.step(STORE, 3, &changes(1));
        assert_eq!(unsaved.take(Some(STORE)), Work::Whole);
        unsaved.step(STORE, 4, &changes(1));
        assert!(matches!(unsaved.take(Some(STORE)), Work::Append(_)));
    }

    #[test]
    fn steps_of_another_store_are_not_appended() {
        let mut unsaved = Unsaved::default();
        unsaved.whole(Some(STORE));
        let other = Uuid::from_u128(2);
        unsaved.step(other, 1, &changes(1));
        assert_eq!(unsaved.take(Some(other)), Work::Whole);
    }
}
