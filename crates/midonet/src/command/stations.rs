//! `midonet stations`: who is behind ports of which Neutron does not know?

use super::Output;
use crate::{
    error::CliError,
    table::{Table, or_nothing},
};
use api::agent::Station;
use client::Agent;

/// Reads and shows what the agent of this host knows.
pub fn run(agent: &Agent, out: &mut Output<'_>) -> Result<(), CliError> {
    let stations: Vec<Station> = agent.read("/stations")?;
    out.show(stations.as_slice(), render)
}

fn render(stations: &[Station]) -> String {
    if stations.is_empty() {
        return "nobody has been heard\n".to_owned();
    }
    let mut table = Table::new(&["NETWORK", "MAC", "ADDRESS", "PORT", "HOST", "HEARD"]);
    for station in stations {
        table.row([
            station.network.to_string(),
            station.mac.clone(),
            or_nothing(station.address),
            station.port.to_string(),
            station.host.clone(),
            format!("{} s ago", station.seconds),
        ]);
    }
    table.to_string()
}
