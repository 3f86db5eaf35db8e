//! The tunnel zone: every host joins it by itself; an operator may set another address.

use super::{
    Shared,
    answer::{Failure, accepted, check_content_type, decoded, id, json, root},
    hosts::record,
};
use crate::{app::App, state::HostRecord, writer::Work};
use ::topology::HostId;
use api::{DEFAULT_TUNNEL_ZONE, TunnelZone, TunnelZoneHost, media};
use axum::{
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use std::net::IpAddr;

type Body = Result<Bytes, BytesRejection>;

pub async fn list(headers: HeaderMap) -> Result<Response, Failure> {
    let media = accepted(&headers, media::TUNNEL_ZONES)?;
    Ok(json(StatusCode::OK, media, &[zone(&root(&headers))]))
}

pub async fn get(Path(zone_id): Path<String>, headers: HeaderMap) -> Result<Response, Failure> {
    let media = accepted(&headers, media::TUNNEL_ZONE)?;
    check_zone(&zone_id)?;
    Ok(json(StatusCode::OK, media, &zone(&root(&headers))))
}

pub async fn hosts(
    State(app): Shared,
    Path(zone): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let media = accepted(&headers, media::TUNNEL_ZONE_HOSTS)?;
    check_zone(&zone)?;
    let root = root(&headers);
    let hosts: Vec<TunnelZoneHost> = app
        .held()
        .hosts
        .values()
        .map(|record| shown(record, &root))
        .collect();
    Ok(json(StatusCode::OK, media, &hosts))
}

pub async fn host(
    State(app): Shared,
    Path((zone, host)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let media = accepted(&headers, media::TUNNEL_ZONE_HOST)?;
    check_zone(&zone)?;
    Ok(json(
        StatusCode::OK,
        media,
        &shown(&record(&app, &host)?, &root(&headers)),
    ))
}

pub async fn post_host(
    State(app): Shared,
    Path(zone): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let media = accepted(&headers, media::TUNNEL_ZONE_HOST)?;
    let given = given(&zone, &headers, body)?;
    let host = given
        .host_id
        .ok_or_else(|| Failure::bad("hostId", "is missing"))?;
    set(&app, HostId(host), Some(given.ip_address)).await?;
    let record = record(&app, &host.to_string())?;
    Ok(json(
        StatusCode::CREATED,
        media,
        &shown(&record, &root(&headers)),
    ))
}

pub async fn put_host(
    State(app): Shared,
    Path((zone, host)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let given = given(&zone, &headers, body)?;
    let host = id(&host)?;
    if given.host_id.is_some_and(|id| id != host) {
        return Err(Failure::bad("hostId", "differs from the id in the address"));
    }
    set(&app, HostId(host), Some(given.ip_address)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The host stays in the zone, at the address that its agent gives.
pub async fn delete_host(
    State(app): Shared,
    Path((zone, host)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    check_zone(&zone)?;
    set(&app, HostId(id(&host)?), None).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn given(zone: &str, headers: &HeaderMap, body: Body) -> Result<TunnelZoneHost, Failure> {
    check_content_type(headers, &[media::TUNNEL_ZONE_HOST])?;
    check_zone(zone)?;
    let given: TunnelZoneHost = decoded(body)?;
    if given.ip_address.is_unspecified() || given.ip_address.is_multicast() {
        return Err(Failure::bad("ipAddress", "is not the address of one host"));
    }
    Ok(given)
}

async fn set(app: &App, host: HostId, tunnel: Option<IpAddr>) -> Result<(), Failure> {
    app.writer
        .write(Work::Override { id: host, tunnel })
        .await?;
    tracing::info!(%host, ?tunnel, "underlay address set by an operator");
    Ok(())
}

fn check_zone(zone: &str) -> Result<(), Failure> {
    if id(zone)? == DEFAULT_TUNNEL_ZONE {
        return Ok(());
    }
    Err(Failure::not_found(&format!("tunnel zone {zone}")))
}

fn zone(root: &str) -> TunnelZone {
    let uri = format!("{root}/tunnel_zones/{DEFAULT_TUNNEL_ZONE}");
    TunnelZone {
        id: DEFAULT_TUNNEL_ZONE,
        name: "default".to_owned(),
        kind: "vxlan".to_owned(),
        hosts: format!("{uri}/hosts"),
        uri,
    }
}

fn shown(record: &HostRecord, root: &str) -> TunnelZoneHost {
    TunnelZoneHost {
        tunnel_zone_id: Some(DEFAULT_TUNNEL_ZONE),
        host_id: Some(record.id.0),
        ip_address: record.tunnel(),
        overridden: record.overridden.is_some(),
        uri: format!(
            "{root}/tunnel_zones/{DEFAULT_TUNNEL_ZONE}/hosts/{}",
            record.id
        ),
    }
}
