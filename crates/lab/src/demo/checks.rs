//! What the demo checks, and its table.

use super::{Guest, tenant::SERVICE_PORT};
use crate::{Cluster, LabError, OpenStack, Probe};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// How long a ping or connection that must pass may take.
const PASS_LIMIT: Duration = Duration::from_secs(5);
/// How long nothing must come back from what is forbidden.
const SILENCE: Duration = Duration::from_secs(1);
/// A TCP port that no group opens; something listens there all the same.
const FORBIDDEN_PORT: u16 = 9090;

/// What was checked, and how it ended.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

struct Row {
    path: &'static str,
    ends: String,
    /// IPv4 ping, IPv4 TCP, IPv6 ping, IPv6 TCP; `None` is not asked.
    cells: [Option<bool>; 4],
    /// What a good cell says.
    good: &'static str,
}

impl Table {
    /// Whether every cell is as it should be.
    pub(super) fn passed(&self) -> bool {
        self.rows
            .iter()
            .flat_map(|r| r.cells)
            .flatten()
            .all(|ok| ok)
    }

    pub(super) fn print(&self) {
        println!(
            "\n  {:34} {:14} ping v4  tcp v4   ping v6  tcp v6",
            "path", ""
        );
        for row in &self.rows {
            let cells = row.cells.map(|cell| match cell {
                Some(true) => row.good,
                Some(false) => "FAILED",
                None => "-",
            });
            let [a, b, c, d] = cells;
            println!("  {:34} {:14} {a:8} {b:8} {c:8} {d}", row.path, row.ends);
        }
    }
}

/// Tries all paths.
pub(super) fn run(table: &mut Table, guests: &[Guest]) -> Result<(), LabError> {
    let [web1, web2, web3, db1] = guests else {
        return Err(LabError::Unexpected {
            what: "number of VMs".to_owned(),
            detail: guests.len().to_string(),
        });
    };
    let mut servers = Vec::new();
    for guest in guests {
        servers.push(guest.vm.echo_tcp(SERVICE_PORT)?);
        servers.push(guest.vm.echo_tcp(FORBIDDEN_PORT)?);
    }
    let paths = [
        ("same network, same host", web1, web2),
        ("same network, across hosts", web1, web3),
        ("through the router, same host", web3, db1),
        ("through the router, across hosts", web1, db1),
    ];
    for (path, from, to) in paths {
        table.rows.push(passes(path, from, to)?);
    }
    let stopped = "by the security group, port 9090";
    table
        .rows
        .push(refused(stopped, web1, db1, FORBIDDEN_PORT)?);
    let stopped = "by the default group, port 8080";
    table.rows.push(refused(stopped, db1, web2, SERVICE_PORT)?);
    Ok(())
}

fn ends(from: &Guest, to: &Guest) -> String {
    format!("{} → {}", from.vm.name(), to.vm.name())
}

fn passes(path: &'static str, from: &Guest, to: &Guest) -> Result<Row, LabError> {
    let mut cells = Vec::new();
    for ip in to.addresses() {
        cells.push(Some(from.vm.ping(ip, PASS_LIMIT).is_ok()));
        let service = SocketAddr::new(ip, SERVICE_PORT);
        cells.push(Some(from.vm.tcp(service, PASS_LIMIT)?.answered()));
    }
    Ok(Row {
        path,
        ends: ends(from, to),
        cells: [cells[0], cells[1], cells[2], cells[3]],
        good: "ok",
    })
}

fn refused(path: &'static str, from: &Guest, to: &Guest, port: u16) -> Result<Row, LabError> {
    let blocked = |ip: IpAddr| from.vm.tcp(SocketAddr::new(ip, port), SILENCE);
    let [v4, v6] = [blocked(to.v4.into())?, blocked(to.v6.into())?];
    Ok(Row {
        path,
        ends: ends(from, to),
        cells: [
            None,
            Some(v4 == Probe::Silent),
            None,
            Some(v6 == Probe::Silent),
        ],
        good: "blocked",
    })
}

/// Asks the operator's tool why the forbidden connection is, and shows its answer; gives whether
/// that names a security group as the reason.
pub(super) fn trace(
    cluster: &Cluster,
    openstack: &OpenStack,
    guests: &[Guest],
) -> Result<bool, LabError> {
    let (Some(from), Some(to)) = (guests.first(), guests.last()) else {
        return Ok(false);
    };
    let line = format!(
        "trace --port {} --dst {} --proto tcp --dport {FORBIDDEN_PORT}",
        from.vm.port(),
        to.v4
    );
    let said = openstack.midonet(cluster, &line)?;
    println!("\n  midonet {line}");
    said.lines().for_each(|line| println!("    {line}"));
    Ok(said.contains("because of security group") && said.contains("(service)"))
}
