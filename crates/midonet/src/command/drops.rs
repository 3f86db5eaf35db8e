//! `midonet drops`: what is dropped on this host, and why?

use super::Output;
use crate::{
    error::CliError,
    table::{Table, or_nothing},
};
use api::agent::Drop;
use client::Agent;

/// Reads and shows the counters, largest first.
pub fn run(agent: &Agent, out: &mut Output<'_>) -> Result<(), CliError> {
    let mut drops: Vec<Drop> = agent.read("/drops")?;
    drops.sort_by(|a, b| (b.packets, &a.reason).cmp(&(a.packets, &b.reason)));
    out.show(drops.as_slice(), render)
}

fn render(drops: &[Drop]) -> String {
    if drops.is_empty() {
        return "nothing has been dropped here\n".to_owned();
    }
    let mut table = Table::new(&["REASON", "PORT OR ROUTER", "PACKETS", "BYTES", "CAUSE"]);
    for drop in drops {
        table.row([
            drop.reason.clone(),
            drop.port
                .or(drop.router)
                .map_or_else(|| "(tunnel)".to_owned(), |p| p.to_string()),
            drop.packets.to_string(),
            drop.bytes.to_string(),
            or_nothing(drop.cause),
        ]);
    }
    table.to_string()
}
