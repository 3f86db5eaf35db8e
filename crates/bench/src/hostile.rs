//! The hostile bench: what a flood of one VM costs its neighbour.
//!
//! A VM of another tenant on the same host asks a server on the other host, on one connection and
//! on ever new ones, in turns undisturbed and while the flood lasts.

use crate::{
    error::BenchError,
    report::{self, Line},
    stats::Summary,
};
use clap::Args;
use e2e::{Notice, Siege};
use lab::Flood;
use std::time::Duration;

/// How long the neighbour is watched undisturbed.
const CALM: Duration = Duration::from_secs(3);
/// What it may lose, per cent.
const LOST: f64 = 5.0;

/// What the hostile bench is told.
#[derive(Debug, Args)]
#[group(id = "hostile options")]
pub struct Options {
    /// Flows of the scan
    #[arg(long, default_value_t = 1_000_000)]
    flows: u32,
    /// Frames of every other flood
    #[arg(long, default_value_t = 200_000)]
    frames: u32,
    /// Frames a second
    #[arg(long, default_value_t = 50_000)]
    rate: u32,
    /// How often each flood is sent
    #[arg(long, default_value_t = 3)]
    repeats: u32,
}

/// Starts everything, sends the floods, watches the neighbour.
pub fn run(options: &Options) -> Result<Vec<Line>, BenchError> {
    let mut siege = Siege::new();
    siege.calm(CALM);
    let mut lines = Vec::new();
    for flood in Flood::ALL {
        let count = match flood {
            Flood::Scan => options.flows,
            _ => options.frames,
        };
        let pairs: Vec<[Notice; 2]> = (0..options.repeats)
            .map(|_| [siege.under(flood, count, options.rate), siege.calm(CALM)])
            .collect();
        let worst = &pairs[pairs.len() - 1][0];
        let [connections, decisions, stations] = worst.tables;
        eprintln!(
            "{}: {count} frames in {:.1} s; {connections} connections, {decisions} decisions, \
             {stations} stations; dropped {:?}",
            flood.name(),
            worst.time.as_secs_f64(),
            worst.drops
        );
        lines.extend(report_of(flood, &pairs));
    }
    if !siege.stands() {
        eprintln!("a program has not survived");
    }
    Ok(lines)
}

fn report_of(flood: Flood, pairs: &[[Notice; 2]]) -> [Line; 3] {
    let losses = |of: fn(&Notice) -> f64| -> Vec<f64> {
        pairs.iter().map(|[under, _]| of(under) * 100.0).collect()
    };
    let ratios: Vec<f64> = pairs
        .iter()
        .map(|[under, calm]| under.speed() / calm.speed())
        .collect();
    let speed = |of: usize| {
        let all: Vec<f64> = pairs.iter().map(|pair| pair[of].speed()).collect();
        Summary::of(&all).median
    };
    [
        lost(flood, "lost_steady", &losses(|n| n.steady.loss())),
        lost(flood, "lost_openings", &losses(|n| n.openings.loss())),
        line(
            flood,
            "openings",
            "undisturbed",
            &ratios,
            [speed(0), speed(1)],
            "/s",
        ),
    ]
}

/// Per cent that were lost, against what may be.
fn lost(flood: Flood, measure: &'static str, taken: &[f64]) -> Line {
    let ratios: Vec<f64> = taken.iter().map(|lost| lost / LOST).collect();
    let median = Summary::of(taken).median;
    line(flood, measure, "5 %", &ratios, [median, LOST], "%")
}

fn line(
    flood: Flood,
    measure: &'static str,
    against: &'static str,
    ratios: &[f64],
    [ours, theirs]: [f64; 2],
    unit: &'static str,
) -> Line {
    let all = Summary::of(ratios);
    Line {
        path: flood.name(),
        measure,
        against,
        ratio: report::rounded(all.median, 1e3),
        spread: report::rounded(all.upper - all.lower, 1e3),
        quartiles: [all.lower, all.upper].map(|ratio| report::rounded(ratio, 1e3)),
        ours: report::rounded(ours, 100.0),
        theirs: report::rounded(theirs, 100.0),
        unit,
        pairs: ratios.len(),
    }
}
