//! Figures for Prometheus.

use crate::app::App;
use api::neutron::Kind;
use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Counters since the cluster started.
#[derive(Debug, Default)]
pub struct Metrics {
    commits: AtomicU64,
    commits_failed: AtomicU64,
    commit_micros: AtomicU64,
    answers: [AtomicU64; 4],
    request_micros: AtomicU64,
    agents_refused: AtomicU64,
    frames_sent: AtomicU64,
}

/// Classes of HTTP statuses, in the order of `Metrics::answers`.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

impl Metrics {
    /// A transaction ended.
    pub fn committed(&self, took: Duration, well: bool) {
        let counter = if well {
            &self.commits
        } else {
            &self.commits_failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.commit_micros
            .fetch_add(micros(took), Ordering::Relaxed);
    }

    /// A request was answered.
    pub fn answered(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100)
            .saturating_sub(2)
            .min(CLASSES.len() - 1);
        self.answers[class].fetch_add(1, Ordering::Relaxed);
        self.request_micros
            .fetch_add(micros(took), Ordering::Relaxed);
    }

    /// An agent was not let in.
    pub fn agent_refused(&self) {
        self.agents_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Frames went to an agent.
    pub fn sent(&self, frames: usize) {
        self.frames_sent.fetch_add(frames as u64, Ordering::Relaxed);
    }

    /// Everything in Prometheus' text format.
    pub fn text(&self, app: &App) -> String {
        let mut out = String::new();
        declare(&mut out, "requests_total", "counter");
        for (class, count) in CLASSES.iter().zip(&self.answers) {
            let _ = writeln!(
                out,
                "midonet_cluster_requests_total{{status=\"{class}\"}} {}",
                count.load(Ordering::Relaxed)
            );
        }
        let counters = [
            ("commits_total", &self.commits),
            ("commits_failed_total", &self.commits_failed),
            ("agents_refused_total", &self.agents_refused),
            ("agent_frames_sent_total", &self.frames_sent),
        ];
        for (name, count) in counters {
            declare(&mut out, name, "counter");
            let _ = writeln!(
                out,
                "midonet_cluster_{name} {}",
                count.load(Ordering::Relaxed)
            );
        }
        let times = [
            ("commit_seconds_total", &self.commit_micros),
            ("request_seconds_total", &self.request_micros),
        ];
        for (name, sum) in times {
            declare(&mut out, name, "counter");
            let seconds = Duration::from_micros(sum.load(Ordering::Relaxed)).as_secs_f64();
            let _ = writeln!(out, "midonet_cluster_{name} {seconds}");
        }
        gauges(&mut out, app);
        out
    }
}

fn declare(out: &mut String, name: &str, kind: &str) {
    // writing to a String cannot fail
    let _ = writeln!(out, "# TYPE midonet_cluster_{name} {kind}");
}

fn gauges(out: &mut String, app: &App) {
    let held = app.held();
    declare(out, "resources", "gauge");
    for kind in Kind::ALL {
        let count = held.state.neutron.count(kind);
        let _ = writeln!(out, "midonet_cluster_resources{{kind=\"{kind}\"}} {count}");
    }
    let gauges = [
        ("revision", held.revision),
        ("hosts", held.hosts.len() as u64),
        ("agents_connected", app.agents.connected() as u64),
        ("ports_up", app.statuses.up() as u64),
    ];
    for (name, value) in gauges {
        declare(out, name, "gauge");
        let _ = writeln!(out, "midonet_cluster_{name} {value}");
    }
}

fn micros(took: Duration) -> u64 {
    took.as_micros().try_into().unwrap_or(u64::MAX)
}
