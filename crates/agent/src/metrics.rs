//! Counters of the upcall thread and the Prometheus text.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Reasons for which the kernel program sends frames up, by their number.
pub const UPCALL_REASONS: [&str; 5] = ["miss", "control", "ttl", "mtu", "flood"];

/// Counters; each is only ever added to.
#[derive(Debug, Default)]
pub struct Metrics {
    upcalls: [AtomicU64; UPCALL_REASONS.len()],
    /// Frames given back to the kernel program after a decision was installed.
    pub again: AtomicU64,
    /// Frames split for a smaller MTU and given back in parts.
    pub split: AtomicU64,
    /// Frames the agent answered.
    pub answered: AtomicU64,
    /// Frames the agent delivered itself, each copy counted once.
    pub copies: AtomicU64,
    /// Frames that came up cut and so could not be given back.
    pub cut: AtomicU64,
    /// Frames that waited too long to be of use.
    pub late: AtomicU64,
    /// Frames the kernel would not take back.
    pub refused: AtomicU64,
    /// Router advertisements sent unasked.
    pub advertisements: AtomicU64,
    /// Of the metadata service.
    pub metadata: crate::metadata::counters::Counters,
    busy_ns: AtomicU64,
}

/// One more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    /// A frame came up for this reason and took this long.
    pub fn upcall(&self, why: u8, took: Duration) {
        if let Some(counter) = self.upcalls.get(usize::from(why)) {
            count(counter);
        }
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.busy_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Frames that came up since the agent started.
    pub fn upcalls(&self) -> u64 {
        self.upcalls.iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }

    /// Writes the counters as Prometheus text.
    pub fn write(&self, text: &mut Prometheus) {
        text.family(
            "midonet_upcalls_total",
            "counter",
            "Frames the kernel sent to the agent.",
        );
        for (why, counter) in UPCALL_REASONS.iter().zip(&self.upcalls) {
            text.sample(&[("why", why)], counter.load(Ordering::Relaxed));
        }
        let seconds = self.busy_ns.load(Ordering::Relaxed) as f64 / 1e9;
        text.family(
            "midonet_upcall_seconds_total",
            "counter",
            "Time spent on those frames.",
        );
        text.sample(&[], seconds);
        text.family(
            "midonet_upcall_results_total",
            "counter",
            "What became of those frames.",
        );
        for (result, counter) in [
            ("again", &self.again),
            ("split", &self.split),
            ("answered", &self.answered),
            ("copies", &self.copies),
            ("cut", &self.cut),
            ("late", &self.late),
            ("refused", &self.refused),
        ] {
            text.sample(&[("result", result)], counter.load(Ordering::Relaxed));
        }
        let sent = self.advertisements.load(Ordering::Relaxed);
        text.single(
            "midonet_advertisements_total",
            "counter",
            "Unasked router advertisements.",
            sent,
        );
        self.metadata.write(text);
    }
}

/// Writer of the Prometheus text format.
#[derive(Debug, Default)]
pub struct Prometheus {
    text: String,
    family: &'static str,
}

impl Prometheus {
    /// Starts a metric.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One value of the metric that was started last.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.text.push_str(self.family);
        for (index, (label, text)) in labels.iter().enumerate() {
            let separator = if index == 0 { '{' } else { ',' };
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.text, "{separator}{label}=\"{text}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    /// A metric with one value and no labels.
    pub fn single(
        &mut self,
        name: &'static str,
        kind: &str,
        help: &str,
        value: impl std::fmt::Display,
    ) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    /// A metric of values in classes; `counts` has one class more than `bounds`, for what is beyond.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) {
        self.family(name, "histogram", help);
        let mut total = 0;
        let bounds = bounds.iter().map(f64::to_string);
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counts) {
            total += count;
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{bound}\"}} {total}");
        }
        let _ = write!(self.text, "{name}_sum {sum}\n{name}_count {total}\n");
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut text = Prometheus::default();
        text.single("a_total", "counter", "All.", 3);
        text.family("b", "gauge", "Some.");
        text.sample(&[("x", "1"), ("y", "say \"hi\"")], 0.5);
        let wanted = "# HELP a_total All.\n# TYPE a_total counter\na_total 3\n\
            # HELP b Some.\n# TYPE b gauge\nb{x=\"1\",y=\"say \\\"hi\\\"\"} 0.5\n";
        assert_eq!(text.finish(), wanted);
    }
}
