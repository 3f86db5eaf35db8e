//! What the demo checks, and its table.

use super::{Guest, Shore, tenant::SERVICE_PORT};
use crate::{Agent, Cluster, LabError, Netns, OUTSIDE, OpenStack, Probe};
use std::{
    net::{IpAddr, SocketAddr},
    thread,
    time::Duration,
};

/// How long a ping or connection that must pass may take.
const PASS_LIMIT: Duration = Duration::from_secs(5);
/// How long nothing must come back from what is forbidden.
const SILENCE: Duration = Duration::from_secs(1);
/// A TCP port that no group opens; something listens there all the same.
const FORBIDDEN_PORT: u16 = 9090;

/// Connections that live through the death of a gateway: both ways, both families.
const CONNECTIONS: usize = 40;
/// How long they go on before they are looked at.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// What was checked, and how it ended.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    /// What more there is to say.
    notes: Vec<String>,
    /// Connections that did not survive a gateway.
    lost: usize,
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
            && self.lost == 0
    }

    pub(super) fn print(&self) {
        println!(
            "\n  {:36} {:15} ping v4  tcp v4   ping v6  tcp v6",
            "path", ""
        );
        for row in &self.rows {
            let cells = row.cells.map(|cell| match cell {
                Some(true) => row.good,
                Some(false) => "FAILED",
                None => "-",
            });
            let [a, b, c, d] = cells;
            println!("  {:36} {:15} {a:8} {b:8} {c:8} {d}", row.path, row.ends);
        }
        self.notes.iter().for_each(|note| println!("  {note}"));
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
        let ends = ends(from.vm.name(), to.vm.name());
        table
            .rows
            .push(passes(path, ends, from.vm.netns(), to.addresses())?);
    }
    let stopped = "by the security group, port 9090";
    table
        .rows
        .push(refused(stopped, web1, db1, FORBIDDEN_PORT)?);
    let stopped = "by the default group, port 8080";
    table.rows.push(refused(stopped, db1, web2, SERVICE_PORT)?);
    Ok(())
}

/// Tries the way in by a floating IP and the way out without one, and takes a gateway away while
/// connections use both; `agent` is that gateway's.
pub(super) fn outside(
    table: &mut Table,
    shore: &Shore,
    guests: &[Guest],
    agent: &mut Agent,
) -> Result<(), LabError> {
    let (Some(web1), Some(db1)) = (guests.first(), guests.last()) else {
        return Ok(());
    };
    let outside = shore.upstream.outside();
    let _servers = [
        outside.echo_tcp(SERVICE_PORT)?,
        db1.vm.echo_tcp(SERVICE_PORT)?,
    ];
    shore.upstream.wait_next_hops(shore.uplinks.len())?;
    let inwards = [shore.floating_ip.into(), db1.v6.into()];
    let path = "in by a floating IP; IPv6 is routed";
    table
        .rows
        .push(passes(path, ends("outside", "db1"), outside, inwards)?);
    let path = "out by source NAT; IPv6 is routed";
    let web1 = web1.vm.netns();
    table
        .rows
        .push(passes(path, ends("web1", "outside"), web1, OUTSIDE)?);

    let service = |ip| SocketAddr::new(ip, SERVICE_PORT);
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS / 4 {
        for family in [0, 1] {
            streams.push(outside.stream(service(inwards[family]))?);
            streams.push(web1.stream(service(OUTSIDE[family]))?);
        }
    }
    streams.iter().try_for_each(|s| s.goes_on(1, PASS_LIMIT))?;
    for stream in &streams {
        stream.take_longest_gap();
    }
    let (gateway, uplink) = (&shore.gateways[0], &shore.uplinks[0]);
    gateway.power_off(&[uplink])?;
    thread::sleep(AFTER_KILL);
    let went_on = streams
        .iter()
        .filter(|s| s.goes_on(1, PASS_LIMIT).is_ok())
        .count();
    let waits = streams.iter().map(|s| s.longest_gap());
    let longest = waits.max().unwrap_or_default().as_millis();
    table.notes.push(format!(
        "gateway {} killed: {went_on} of {} connections through both gateways went on, the \
         longest waited {longest} ms",
        gateway.name(),
        streams.len()
    ));
    table.lost = streams.len() - went_on;
    gateway.power_on(&[uplink])?;
    agent.kill()?;
    agent.restart()
}

fn ends(from: &str, to: &str) -> String {
    format!("{from} → {to}")
}

fn passes(
    path: &'static str,
    ends: String,
    from: &Netns,
    to: [IpAddr; 2],
) -> Result<Row, LabError> {
    let mut cells = Vec::new();
    for ip in to {
        // the first packets of a path may be lost while next hops are asked for
        cells.push(Some(from.ping_until(ip, PASS_LIMIT).is_ok()));
        let service = SocketAddr::new(ip, SERVICE_PORT);
        cells.push(Some(from.tcp(service, PASS_LIMIT)?.answered()));
    }
    Ok(Row {
        path,
        ends,
        cells: [cells[0], cells[1], cells[2], cells[3]],
        good: "ok",
    })
}

fn refused(path: &'static str, from: &Guest, to: &Guest, port: u16) -> Result<Row, LabError> {
    let blocked = |ip: IpAddr| from.vm.tcp(SocketAddr::new(ip, port), SILENCE);
    let [v4, v6] = [blocked(to.v4.into())?, blocked(to.v6.into())?];
    Ok(Row {
        path,
        ends: ends(from.vm.name(), to.vm.name()),
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
