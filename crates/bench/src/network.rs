//! The network bench: ours and the kernel's own path, alternately, in one run.

mod comparison;
mod kernel;
mod measure;
mod report;
mod vm;

use crate::{
    error::{BenchError, Context},
    guard::Workplace,
};
use clap::Args;
use comparison::{Comparison, Site};
use measure::Effort;
use std::{collections::BTreeMap, fs::File, io::Write, path::PathBuf};
use vm::Pair;

/// What the network bench is told.
#[derive(Debug, Args)]
pub struct Options {
    /// Pairs of measurements per figure.
    #[arg(long, default_value_t = 7)]
    repeats: usize,
    /// Length of one measurement.
    #[arg(long, default_value_t = 1)]
    seconds: u64,
    /// Also write the figures to this file, one JSON object a line.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measure the kernel against itself instead: how far ratios stray by chance.
    #[arg(long)]
    calibrate: bool,
    /// Only comparisons of this path (across, local, routed).
    #[arg(long)]
    path: Option<String>,
    /// Directory with midonet-agent and midonet-cluster; default: that of this program.
    #[arg(long)]
    programs: Option<PathBuf>,
}

/// Builds the sites, measures in turn, prints the figures.
pub fn run(options: &Options, place: &Workplace) -> Result<(), BenchError> {
    let plan = comparison::plan(options.calibrate);
    let wanted = |c: &&Comparison| options.path.as_deref().is_none_or(|p| p == c.path);
    let plan: Vec<&Comparison> = plan.iter().filter(wanted).collect();
    let sites = build_all(&plan, place)?;
    let effort = Effort {
        seconds: options.seconds,
    };
    let mut figures = report::Figures::default();
    for repeat in 0..options.repeats {
        eprintln!("pair {} of {}", repeat + 1, options.repeats);
        for comparison in &plan {
            let (ours, theirs) = (&sites[&comparison.ours], &sites[&comparison.against]);
            for &measure in comparison.measures {
                // the order changes so that neither side always comes first
                let (first, second) = if repeat % 2 == 0 {
                    (ours, theirs)
                } else {
                    (theirs, ours)
                };
                let (a, b) = (measure.take(first, effort)?, measure.take(second, effort)?);
                let (ours, theirs) = if repeat % 2 == 0 { (a, b) } else { (b, a) };
                figures.add(comparison, measure, ours, theirs);
            }
        }
    }
    let lines = figures.summarise();
    print!("{}", report::table(&lines));
    options
        .json
        .as_ref()
        .map_or(Ok(()), |path| write_json(path, &lines))
}

fn build_all(plan: &[&Comparison], place: &Workplace) -> Result<BTreeMap<Site, Pair>, BenchError> {
    let mut sites = BTreeMap::new();
    for site in plan.iter().flat_map(|c| [c.ours, c.against]) {
        if !sites.contains_key(&site) {
            eprintln!("building: {}", site.name());
            let pair = site.build(place)?;
            pair.check()?;
            sites.insert(site, pair);
        }
    }
    Ok(sites)
}

fn write_json(path: &PathBuf, lines: &[report::Line]) -> Result<(), BenchError> {
    let what = || format!("write {}", path.display());
    let mut file = File::create(path).context(what())?;
    for line in lines {
        let text = serde_json::to_string(line).expect("numbers and text always serialise");
        writeln!(file, "{text}").context(what())?;
    }
    Ok(())
}
