//! The network bench: ours and the kernel's own path, alternately, in one run.

mod comparison;
mod figures;
mod kernel;
mod measure;
mod ours;
pub mod pair;
mod translating;

pub use ours::Ours;
pub use pair::{CLIENT_CPU, MTU, SERVER, SERVER_CPU, this_program};

use crate::{error::BenchError, report::Line};
use clap::Args;
use comparison::{BEFORE, Builder, CALIBRATION, Comparison, PLAN, Site};
use figures::Figures;
use measure::{Effort, Measure};
use pair::Pair;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// What the network bench is told.
#[derive(Debug, Args)]
#[group(id = "network options")]
pub struct Options {
    /// Pairs of measurements per figure.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Length of one measurement.
    #[arg(long, default_value_t = 1)]
    seconds: u64,
    /// Measure the kernel against itself instead: how far ratios stray by chance.
    #[arg(long)]
    calibrate: bool,
    /// Compare with the agents and the cluster of another build instead, which are in this folder
    #[arg(long, conflicts_with = "calibrate")]
    before: Option<PathBuf>,
    /// Only comparisons of this path (across, local, routed, floating_ip, snat).
    #[arg(long)]
    path: Option<String>,
}

/// Builds the sites, measures in turn, prints the figures.
pub fn run(options: &Options) -> Result<Vec<Line>, BenchError> {
    let plan = match (&options.before, options.calibrate) {
        (Some(_), _) => BEFORE,
        (None, true) => CALIBRATION,
        (None, false) => PLAN,
    };
    let wanted = |c: &&Comparison| options.path.as_deref().is_none_or(|p| p == c.path);
    let plan: Vec<&Comparison> = plan.iter().filter(wanted).collect();
    let mut builder = Builder::new(options.before.as_deref())?;
    let sites = build_all(&mut builder, &plan)?;
    let effort = Effort {
        seconds: options.seconds,
    };
    let mut figures = Figures::default();
    for repeat in 0..options.repeats {
        eprintln!("pair {} of {}", repeat + 1, options.repeats);
        for comparison in &plan {
            let (ours, theirs) = (&sites[&comparison.ours], &sites[&comparison.against]);
            for &measure in comparison.measures {
                let (ours, theirs) = in_turn(measure, ours, theirs, effort, repeat)?;
                figures.add(comparison, measure, ours, theirs);
            }
        }
    }
    Ok(figures.summarise())
}

fn build_all(
    builder: &mut Builder,
    plan: &[&Comparison],
) -> Result<BTreeMap<Site, Pair>, BenchError> {
    let wanted: BTreeSet<Site> = plan.iter().flat_map(|c| [c.ours, c.against]).collect();
    let mut sites = BTreeMap::new();
    for site in wanted {
        eprintln!("building {site:?}: {}", site.name());
        sites.insert(site, builder.build(site)?);
    }
    Ok(sites)
}

/// One figure of each; the order changes so that neither always comes first.
fn in_turn(
    measure: Measure,
    ours: &Pair,
    theirs: &Pair,
    effort: Effort,
    repeat: usize,
) -> Result<(f64, f64), BenchError> {
    if repeat.is_multiple_of(2) {
        let first = measure.take(ours, effort)?;
        Ok((first, measure.take(theirs, effort)?))
    } else {
        let first = measure.take(theirs, effort)?;
        Ok((measure.take(ours, effort)?, first))
    }
}
