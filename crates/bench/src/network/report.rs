//! Figures as a table and as JSON lines.

use super::{comparison::Comparison, measure::Measure};
use crate::stats::Summary;
use serde::Serialize;
use std::fmt::Write;

/// All pairs of figures taken so far, in order of first appearance.
#[derive(Debug, Default)]
pub struct Figures {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    path: &'static str,
    against: &'static str,
    measure: Measure,
    pairs: Vec<(f64, f64)>,
}

/// What is known about one measure on one path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What kind of path.
    pub path: &'static str,
    /// What was measured.
    pub measure: &'static str,
    /// What it was compared with.
    pub against: &'static str,
    /// Median of the pairs' ratios, ours to theirs.
    pub ratio: f64,
    /// Distance between the quartiles of the ratios.
    pub spread: f64,
    /// The quartiles.
    pub quartiles: [f64; 2],
    /// Median of our figures.
    pub ours: f64,
    /// Median of theirs.
    pub theirs: f64,
    /// What one unit of both is.
    pub unit: &'static str,
    /// How many pairs.
    pub pairs: usize,
}

impl Figures {
    /// Adds a pair.
    pub fn add(&mut self, comparison: &Comparison, measure: Measure, ours: f64, theirs: f64) {
        let (path, against) = (comparison.path, comparison.against.name());
        let same = |r: &&mut Row| (r.path, r.against, r.measure) == (path, against, measure);
        match self.rows.iter_mut().find(same) {
            Some(row) => row.pairs.push((ours, theirs)),
            None => self.rows.push(Row {
                path,
                against,
                measure,
                pairs: vec![(ours, theirs)],
            }),
        }
    }

    /// Medians and quartiles.
    pub fn summarise(&self) -> Vec<Line> {
        self.rows.iter().map(Row::summarise).collect()
    }
}

impl Row {
    fn summarise(&self) -> Line {
        let ratios: Vec<f64> = self
            .pairs
            .iter()
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        let side = |pick: fn(&(f64, f64)) -> f64| -> f64 {
            Summary::of(&self.pairs.iter().map(pick).collect::<Vec<_>>()).median
        };
        let ratio = Summary::of(&ratios);
        Line {
            path: self.path,
            measure: self.measure.name(),
            against: self.against,
            ratio: rounded(ratio.median, 1e3),
            spread: rounded(ratio.upper - ratio.lower, 1e3),
            quartiles: [rounded(ratio.lower, 1e3), rounded(ratio.upper, 1e3)],
            ours: rounded(side(|p| p.0), 1.0),
            theirs: rounded(side(|p| p.1), 1.0),
            unit: self.measure.unit(),
            pairs: self.pairs.len(),
        }
    }
}

fn rounded(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

/// The lines for people.
pub fn table(lines: &[Line]) -> String {
    let mut out = format!(
        "{:<8} {:<20} {:<23} {:>6} {:>15} {:>10} {:>10}\n",
        "path", "measure", "against", "ratio", "quartiles", "ours", "theirs"
    );
    for line in lines {
        let [lower, upper] = line.quartiles;
        writeln!(
            out,
            "{:<8} {:<20} {:<23} {:>6.2} {:>15} {:>10.0} {:>10.0} {}",
            line.path,
            line.measure,
            line.against,
            line.ratio,
            format!("({lower:.2}-{upper:.2})"),
            line.ours,
            line.theirs,
            line.unit
        )
        .expect("writing to a string succeeds");
    }
    out
}
