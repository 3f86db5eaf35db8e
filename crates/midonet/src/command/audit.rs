//! `midonet neutron audit`: does the cluster know what Neutron knows?

mod compare;

use super::Output;
use crate::error::CliError;
use api::neutron::Kind;
use clap::Args;
use client::{Cluster, Keystone, OpenStack};
use compare::Difference;
use serde::Serialize;
use serde_json::Value;
use std::{
    fmt::Write,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// Pause between two comparisons while waiting for them to agree.
const PAUSE: Duration = Duration::from_secs(1);

/// How to compare.
#[derive(Debug, Args)]
pub struct Options {
    /// Compare again for so many seconds until there is no difference: changes may be on their way
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

/// What was compared and what differed.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Report {
    compared: Vec<Compared>,
    differences: Vec<Difference>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Compared {
    kind: Kind,
    neutron: usize,
    cluster: usize,
}

/// Compares; status 1 if there is a difference. Neutron is reached as the `OS_*` variables say.
pub fn run(
    options: &Options,
    cluster: &Cluster,
    out: &mut Output<'_>,
) -> Result<ExitCode, CliError> {
    let neutron = OpenStack::login(&Keystone::from_environment()?)?;
    let deadline = Instant::now() + Duration::from_secs(options.wait);
    let mut report = audit(&neutron, cluster)?;
    while !report.differences.is_empty() && Instant::now() < deadline {
        thread::sleep(PAUSE);
        report = audit(&neutron, cluster)?;
    }
    out.show(&report, render)?;
    Ok(if report.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(super) fn audit(neutron: &OpenStack, cluster: &Cluster) -> Result<Report, CliError> {
    let mut report = Report::default();
    for kind in Kind::ALL {
        // the cluster first: what is created meanwhile is then missing there, never in Neutron
        let theirs: Vec<Value> = cluster.list(kind)?;
        let ours = neutron.list(kind)?;
        report.compared.push(Compared {
            kind,
            neutron: ours.len(),
            cluster: theirs.len(),
        });
        report
            .differences
            .extend(compare::compare(kind, &ours, &theirs));
    }
    Ok(report)
}

pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    for difference in &report.differences {
        writeln!(text, "{difference}").expect("writing to a string succeeds");
    }
    let counts: Vec<String> = report
        .compared
        .iter()
        .map(|c| match (c.neutron, c.cluster) {
            (n, m) if n == m => format!("{n} {}", plural(c.kind)),
            (n, m) => format!("{n} {} (cluster {m})", plural(c.kind)),
        })
        .collect();
    let count = match report.differences.len() {
        0 => "no difference".to_owned(),
        1 => "1 difference".to_owned(),
        n => format!("{n} differences"),
    };
    writeln!(text, "{count} in {}", counts.join(", ")).expect("writing to a string succeeds");
    text
}

fn plural(kind: Kind) -> String {
    kind.collection().replace('_', " ")
}

#[cfg(test)]
mod tests;
