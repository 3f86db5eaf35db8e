//! Hosts: who runs an agent.

use super::{
    Shared,
    answer::{Failure, accepted, id, json, root},
};
use crate::{app::App, state::HostRecord, writer::Work};
use ::topology::{HostId, Link};
use api::{Host, HostPort, media};
use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};

pub async fn list(State(app): Shared, headers: HeaderMap) -> Result<Response, Failure> {
    let media = accepted(&headers, media::HOSTS)?;
    let root = root(&headers);
    let hosts: Vec<Host> = app
        .held()
        .hosts
        .values()
        .map(|h| shown(h, &app, &root))
        .collect();
    Ok(json(StatusCode::OK, media, &hosts))
}

pub async fn get(
    State(app): Shared,
    Path(host): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let media = accepted(&headers, media::HOST)?;
    let record = record(&app, &host)?;
    Ok(json(
        StatusCode::OK,
        media,
        &shown(&record, &app, &root(&headers)),
    ))
}

/// A host that is gone for good can be dropped: its agent must be away and no port bound to it.
pub async fn delete(State(app): Shared, Path(host): Path<String>) -> Result<StatusCode, Failure> {
    let host = HostId(id(&host)?);
    app.writer.write(Work::DeleteHost(host)).await?;
    tracing::info!(%host, "host deleted");
    Ok(StatusCode::NO_CONTENT)
}

pub async fn ports(
    State(app): Shared,
    Path(host): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let media = accepted(&headers, media::HOST_PORTS)?;
    let record = record(&app, &host)?;
    let held = app.held();
    let bound = held
        .state
        .topology
        .ports()
        .filter(|port| port.host() == Some(&record.name));
    let ports: Vec<HostPort> = bound
        .map(|port| HostPort {
            host_id: record.id.0,
            port_id: port.id.0,
            interface_name: match &port.link {
                Link::Host {
                    interface: Some(name),
                    ..
                } => name.clone(),
                Link::Host {
                    trunk: Some(trunk), ..
                } => format!("{}.{}", trunk.parent.tap_name(), trunk.vlan),
                _ => port.tap_name(),
            },
        })
        .collect();
    Ok(json(StatusCode::OK, media, &ports))
}

/// The record of the host with the id in the path.
pub fn record(app: &App, host: &str) -> Result<HostRecord, Failure> {
    let id = HostId(id(host)?);
    let record = app.held().hosts.get(&id).cloned();
    record.ok_or_else(|| Failure::not_found(&format!("host {id}")))
}

fn shown(record: &HostRecord, app: &App, root: &str) -> Host {
    let uri = format!("{root}/hosts/{}", record.id);
    Host {
        id: record.id.0,
        name: record.name.clone(),
        addresses: vec![record.tunnel()],
        alive: app.agents.is_connected(record.id),
        ports: format!("{uri}/ports"),
        uri,
    }
}
