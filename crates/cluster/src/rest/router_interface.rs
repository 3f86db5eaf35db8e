//! Router interfaces: a port is added to a router, or removed from it.

use super::{
    Shared,
    answer::{Failure, check_content_type, decoded, id},
    neutron::write,
};
use crate::app::App;
use api::{media, neutron::RouterInterface};
use axum::{
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
};
use neutron_model::Request;
use uuid::Uuid;

type Body = Result<Bytes, BytesRejection>;

pub async fn add(
    State(app): Shared,
    Path(router): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Failure> {
    carry_out(&app, &router, &headers, body, |router, port| {
        Request::AddInterface { router, port }
    })
    .await
}

pub async fn remove(
    State(app): Shared,
    Path(router): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Failure> {
    let request = |router, port| Request::RemoveInterface { router, port };
    carry_out(&app, &router, &headers, body, request).await
}

async fn carry_out(
    app: &App,
    router: &str,
    headers: &HeaderMap,
    body: Body,
    request: fn(Uuid, Uuid) -> Request,
) -> Result<StatusCode, Failure> {
    check_content_type(headers, &[media::ROUTER_INTERFACE])?;
    let router = id(router)?;
    let interface: RouterInterface = decoded(body)?;
    if interface.id.is_some_and(|id| id != router) {
        return Err(Failure::bad("id", "differs from the id in the address"));
    }
    write(app, vec![request(router, interface.port_id)]).await?;
    Ok(StatusCode::NO_CONTENT)
}
