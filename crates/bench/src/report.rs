//! Figures as a table and as JSON lines.

use crate::error::{BenchError, Context};
use serde::Serialize;
use std::{fmt::Write as _, fs::File, io::Write as _, path::Path};

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

/// A figure without digits that mean nothing: `scale` 100 keeps two after the point.
pub fn rounded(value: f64, scale: f64) -> f64 {
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

/// The lines for programs.
pub fn write_json(path: &Path, lines: &[impl Serialize]) -> Result<(), BenchError> {
    let what = || format!("write {}", path.display());
    let mut file = File::create(path).context(what())?;
    for line in lines {
        let text = serde_json::to_string(line).expect("numbers and text always serialise");
        writeln!(file, "{text}").context(what())?;
    }
    Ok(())
}
