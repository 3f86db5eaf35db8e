//! Since when the cluster is out of touch.

use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When the cluster was last heard, by the monotonic clock, and how long it waits for a host before
/// others get its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// Nanoseconds; less than 0 is before the host started.
    heard: Option<(i64, Duration)>,
}

/// The same, for a process that starts later.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Noted {
    /// Seconds of the day's clock since 1970.
    at: u64,
    reclaim_after: u64,
}

impl Contact {
    /// The cluster has been heard.
    pub fn heard(now: u64, reclaim_after: Duration) -> Self {
        Self {
            heard: Some((now as i64, reclaim_after)),
        }
    }

    /// Whether leases still hold for sure: half of the time has not passed.
    pub fn is_fresh(&self, now: u64) -> bool {
        self.heard
            .is_some_and(|(heard, after)| since(heard, now) < after / 2)
    }

    /// To be kept over a restart.
    pub fn note(&self, now: u64) -> Option<Noted> {
        let (heard, after) = self.heard?;
        Some(Noted {
            at: day().saturating_sub(since(heard, now).as_secs()),
            reclaim_after: after.as_secs(),
        })
    }

    /// From what was kept. A time that is yet to come says nothing.
    pub fn noted(noted: Noted, now: u64) -> Self {
        let since = day().checked_sub(noted.at);
        let since = since.and_then(|s| i64::try_from(s).ok()?.checked_mul(SECOND));
        let after = Duration::from_secs(noted.reclaim_after);
        Self {
            heard: since.map(|since| (now as i64 - since, after)),
        }
    }
}

const SECOND: i64 = 1_000_000_000;

fn since(heard: i64, now: u64) -> Duration {
    let since = (now as i64).saturating_sub(heard);
    Duration::from_nanos(since.try_into().unwrap_or_default())
}

fn day() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map(|d| d.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(minutes: u64) -> u64 {
        minutes * 60 * SECOND as u64
    }

    #[test]
    fn leases_hold_for_half_the_time_that_the_cluster_waits() {
        let contact = Contact::heard(at(5), HOUR);
        assert!(contact.is_fresh(at(5)) && contact.is_fresh(at(34)));
        assert!(!contact.is_fresh(at(35)));
        assert!(!Contact::default().is_fresh(0), "never heard");
    }

    #[test]
    fn a_restart_of_agent_or_host_does_not_make_it_longer() {
        let noted = Contact::heard(at(5), HOUR).note(at(30)).unwrap();
        // the host has started a minute ago
        let contact = Contact::noted(noted, at(1));
        assert!(contact.is_fresh(at(5)) && !contact.is_fresh(at(7)));
        // the day's clock was wrong
        let future = Noted {
            at: day() + 3600,
            ..noted
        };
        assert!(!Contact::noted(future, at(1)).is_fresh(at(1)));
    }
}
