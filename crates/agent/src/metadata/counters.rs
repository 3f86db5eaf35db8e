//! What became of requests, for Prometheus.

use super::failure::Failure;
use crate::metrics::{Prometheus, count};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the classes of latency, milliseconds.
const BOUNDS_MS: [u64; 8] = [5, 10, 50, 100, 500, 1_000, 5_000, 30_000];

/// Counters; each is only ever added to.
#[derive(Debug, Default)]
pub struct Counters {
    answered: AtomicU64,
    failed: [AtomicU64; Failure::KINDS.len()],
    /// Requests by their latency; the last class has no bound.
    latency: [AtomicU64; BOUNDS_MS.len() + 1],
    latency_us: AtomicU64,
}

impl Counters {
    /// A request that Nova answered, or that failed, after so long.
    pub fn asked(&self, failure: Option<&Failure>, took: Duration) {
        count(failure.map_or(&self.answered, |f| &self.failed[f.kind()]));
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        count(&self.latency[BOUNDS_MS.partition_point(|bound| *bound < ms)]);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency_us.fetch_add(us, Relaxed);
    }

    /// A connection that got no further.
    pub fn turned_away(&self, failure: &Failure) {
        count(&self.failed[failure.kind()]);
    }

    /// Writes the counters as Prometheus text.
    pub fn write(&self, text: &mut Prometheus) {
        text.family(
            "midonet_metadata_requests_total",
            "counter",
            "Requests of servers for their metadata.",
        );
        text.sample(&[("result", "answered")], self.answered.load(Relaxed));
        for (kind, failed) in Failure::KINDS.iter().zip(&self.failed) {
            text.sample(&[("result", kind)], failed.load(Relaxed));
        }
        let classes = BOUNDS_MS.map(|ms| ms as f64 / 1e3);
        let counts: Vec<u64> = self.latency.iter().map(|c| c.load(Relaxed)).collect();
        text.histogram(
            "midonet_metadata_seconds",
            "Time until Nova began to answer, or the request failed.",
            &classes,
            &counts,
            self.latency_us.load(Relaxed) as f64 / 1e6,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once_and_in_its_class() {
        let counters = Counters::default();
        counters.asked(None, Duration::from_millis(7));
        counters.asked(Some(&Failure::Refused), Duration::from_secs(60));
        counters.turned_away(&Failure::TooMany(64));
        let mut text = Prometheus::default();
        counters.write(&mut text);
        let text = text.finish();
        for line in [
            "midonet_metadata_requests_total{result=\"answered\"} 1",
            "midonet_metadata_requests_total{result=\"refused\"} 1",
            "midonet_metadata_requests_total{result=\"too_many\"} 1",
            "midonet_metadata_seconds_bucket{le=\"0.005\"} 0",
            "midonet_metadata_seconds_bucket{le=\"0.01\"} 1",
            "midonet_metadata_seconds_bucket{le=\"30\"} 1",
            "midonet_metadata_seconds_bucket{le=\"+Inf\"} 2",
            "midonet_metadata_seconds_count 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }
}
