//! `/status`: what `midonet status` shows.

use super::{
    Shared,
    answer::{Failure, accepted, json},
    documents::VERSION,
};
use crate::{
    app::App,
    state::{Held, HostRecord},
};
use ::topology::{Link, Port, PortId};
use api::{
    ClusterStatus, Counts, HostCounters, HostStatus, PortDown, Status, UplinkStatus, media,
    neutron::Kind,
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Why ports are not up.
type Reasons = BTreeMap<PortId, String>;

/// Ports bound to a host: all, and those that are up.
type Ports<'a> = HashMap<&'a str, (usize, usize)>;

pub async fn get(State(app): Shared, headers: HeaderMap) -> Result<Response, Failure> {
    let media = accepted(&headers, media::JSON)?;
    let held = app.held();
    let ports = ports(&app, &held);
    let mut hosts: Vec<HostStatus> = held
        .hosts
        .values()
        .map(|record| host(record, &app, &held, &ports))
        .collect();
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    let cluster = ClusterStatus {
        instance: app.instance,
        version: VERSION.to_owned(),
        revision: held.revision,
        counts: counts(&held),
    };
    Ok(json(StatusCode::OK, media, &Status { cluster, hosts }))
}

fn ports<'a>(app: &App, held: &'a Held) -> Ports<'a> {
    let mut ports = Ports::new();
    for port in held.state.topology.ports() {
        let Some(host) = port.host() else { continue };
        let (total, up) = ports.entry(host).or_default();
        *total += 1;
        *up += usize::from(app.statuses.is_up(port.neutron_id()));
    }
    ports
}

fn host(record: &HostRecord, app: &App, held: &Held, ports: &Ports<'_>) -> HostStatus {
    let agent = app.agents.get(record.id);
    let (ports_total, ports_up) = ports.get(record.name.as_str()).copied().unwrap_or_default();
    let counters = agent.as_ref().map(|a| a.counters).unwrap_or_default();
    let reasons = agent
        .as_ref()
        .map(|a| Arc::clone(&a.down))
        .unwrap_or_default();
    HostStatus {
        id: record.id.0,
        name: record.name.clone(),
        alive: agent.as_ref().is_some_and(|a| a.connected),
        since_seconds: agent.as_ref().map(|a| a.since.elapsed().as_secs()),
        tunnel: record.tunnel(),
        zone: record.zone.clone(),
        draining: record.draining,
        revision: agent.as_ref().map_or(0, |a| a.applied),
        lag: agent.as_ref().map_or(0, |a| a.lag()),
        ports_up,
        ports_total,
        uplinks: uplinks(record, app, held, &reasons),
        down: down(held, &reasons),
        version: agent.map(|a| a.version).unwrap_or_default(),
        counters: HostCounters {
            decisions: counters.decisions,
            upcalls: counters.upcalls,
            drops: counters.drops,
        },
    }
}

fn uplinks(record: &HostRecord, app: &App, held: &Held, reasons: &Reasons) -> Vec<UplinkStatus> {
    let plugs = held.state.topology.ports().filter(|port| port.is_plug());
    let here = plugs.filter(|port| port.host() == Some(&record.name));
    let status = |plug: &Arc<Port>| {
        let up = app.statuses.is_up(plug.neutron_id());
        let interface = match &plug.link {
            Link::Host { interface, .. } => interface.clone(),
            Link::None | Link::Router(_) => None,
        };
        UplinkStatus {
            port: plug.neutron_id().0,
            interface: interface.unwrap_or_default(),
            vlan: plug.vlan(),
            up,
            why: reasons.get(&plug.id).filter(|_| !up).cloned(),
        }
    };
    here.map(status).collect()
}

fn down(held: &Held, reasons: &Reasons) -> Vec<PortDown> {
    let plug = |id| {
        held.state
            .topology
            .port(id)
            .is_some_and(|port| port.is_plug())
    };
    let others = reasons.iter().filter(|(id, _)| !plug(**id));
    let down = others.map(|(id, why)| PortDown {
        port: id.0,
        why: why.clone(),
    });
    down.collect()
}

fn counts(held: &Held) -> Counts {
    let count = |kind| held.state.neutron.count(kind);
    Counts {
        networks: count(Kind::Network),
        subnets: count(Kind::Subnet),
        ports: count(Kind::Port),
        routers: count(Kind::Router),
        floating_ips: count(Kind::FloatingIp),
        security_groups: count(Kind::SecurityGroup),
        security_group_rules: count(Kind::SecurityGroupRule),
    }
}
