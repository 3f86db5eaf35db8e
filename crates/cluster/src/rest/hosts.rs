//! Hosts: who runs an agent.

use super::{
    Shared,
    answer::{Failure, accepted, check_content_type, decoded, id, json, root},
};
use crate::{app::App, state::HostRecord, writer::Work};
use ::topology::{HostId, Link};
use api::{Host, HostPort, media};
use axum::{
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;

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

/// What an operator may say of a host.
#[derive(Debug, Deserialize)]
struct Wanted {
    /// Whether traffic is taken off its uplinks.
    draining: bool,
}

/// Takes traffic off the uplinks of a host, or lets it back.
pub async fn put(
    State(app): Shared,
    Path(host): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Failure> {
    check_content_type(&headers, &[media::HOST])?;
    let id = HostId(id(&host)?);
    let Wanted { draining } = decoded(body)?;
    app.writer.write(Work::Drain { id, draining }).await?;
    tracing::info!(host = %id, draining, "set by an operator");
    Ok(StatusCode::NO_CONTENT)
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
