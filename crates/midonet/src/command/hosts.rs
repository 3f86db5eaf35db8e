//! `midonet hosts`: what hosts are there, and at what addresses?

use super::{Output, status::state};
use crate::{error::CliError, table::Table};
use api::{HostStatus, Status};
use client::Cluster;

/// Reads and shows them.
pub fn run(cluster: &Cluster, out: &mut Output<'_>) -> Result<(), CliError> {
    let status: Status = cluster.read("status")?;
    out.show(status.hosts.as_slice(), render)
}

fn render(hosts: &[HostStatus]) -> String {
    let mut table = Table::new(&["HOST", "ID", "STATE", "TUNNEL", "VERSION", "PORTS"]);
    for host in hosts {
        table.row([
            host.name.clone(),
            host.id.to_string(),
            state(host).to_owned(),
            host.tunnel.to_string(),
            host.version.clone(),
            host.ports_total.to_string(),
        ]);
    }
    table.to_string()
}
