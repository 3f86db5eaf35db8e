//! Pairs of figures and what they say.

use super::{comparison::Comparison, measure::Measure};
use crate::{
    report::{Line, rounded},
    stats::Summary,
};

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
