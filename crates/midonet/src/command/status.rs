//! `midonet status`: is everything alive, and does every host have the latest?

use super::Output;
use crate::{
    error::CliError,
    table::{Table, duration},
};
use api::{HostStatus, Status};
use client::Cluster;

/// Reads and shows it.
pub fn run(cluster: &Cluster, out: &mut Output<'_>) -> Result<(), CliError> {
    let status: Status = cluster.read("status")?;
    out.show(&status, |s| render(s, cluster.root()))
}

fn render(status: &Status, root: &str) -> String {
    let (cluster, counts) = (&status.cluster, &status.cluster.counts);
    let alive = status.hosts.iter().filter(|h| h.alive).count();
    let mut text = format!(
        "cluster   {root}, version {}\n\
         store     {}, revision {}\n\
         neutron   {} networks, {} subnets, {} ports, {} routers, {} floating IPs, \
         {} security groups with {} rules\n\
         hosts     {} known, {alive} alive\n",
        cluster.version,
        cluster.instance,
        cluster.revision,
        counts.networks,
        counts.subnets,
        counts.ports,
        counts.routers,
        counts.floating_ips,
        counts.security_groups,
        counts.security_group_rules,
        status.hosts.len(),
    );
    if !status.hosts.is_empty() {
        text += &format!("\n{}", table(&status.hosts));
    }
    if status.hosts.iter().any(|host| !host.uplinks.is_empty()) {
        text += &format!("\n{}", uplinks(&status.hosts));
    }
    if status.hosts.iter().any(|host| !host.down.is_empty()) {
        text += &format!("\n{}", down(&status.hosts));
    }
    text
}

fn table(hosts: &[HostStatus]) -> Table {
    let mut table = Table::new(&[
        "HOST",
        "STATE",
        "SINCE",
        "VERSION",
        "LAG",
        "PORTS",
        "UP",
        "DECISIONS",
        "UPCALLS",
        "DROPS",
    ]);
    for host in hosts {
        table.row([
            host.name.clone(),
            state(host).to_owned(),
            host.since_seconds.map(duration).unwrap_or_default(),
            host.version.clone(),
            host.lag.to_string(),
            host.ports_total.to_string(),
            host.ports_up.to_string(),
            host.counters.decisions.to_string(),
            host.counters.upcalls.to_string(),
            host.counters.drops.to_string(),
        ]);
    }
    table
}

fn uplinks(hosts: &[HostStatus]) -> Table {
    let mut table = Table::new(&["UPLINK", "HOST", "INTERFACE", "VLAN", "STATE", "WHY"]);
    for host in hosts {
        for uplink in &host.uplinks {
            table.row([
                uplink.port.to_string(),
                host.name.clone(),
                uplink.interface.clone(),
                uplink.vlan.map(|vlan| vlan.to_string()).unwrap_or_default(),
                if uplink.up { "up" } else { "down" }.to_owned(),
                uplink.why.clone().unwrap_or_default(),
            ]);
        }
    }
    table
}

fn down(hosts: &[HostStatus]) -> Table {
    let mut table = Table::new(&["PORT DOWN", "HOST", "WHY"]);
    for host in hosts {
        for down in &host.down {
            table.row([down.port.to_string(), host.name.clone(), down.why.clone()]);
        }
    }
    table
}

/// In one word.
pub fn state(host: &HostStatus) -> &'static str {
    if host.alive { "alive" } else { "dead" }
}
