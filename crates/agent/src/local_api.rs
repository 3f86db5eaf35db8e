//! The local socket: `mm-ctl` binds ports here, `midonet` and Prometheus look.

mod rows;
mod text;

use crate::{metrics::Prometheus, shared::Shared};
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use datapath::{Maps, MapsError};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::Path as FilePath,
    sync::{Arc, Mutex},
};
use tokio::net::UnixListener;
use topology::{HostId, PortId};
use uuid::Uuid;

pub use rows::drop_count;

/// Connections listed unless the caller asks for more, and at most.
const CONNECTIONS: usize = 1_000;
const CONNECTIONS_MAX: usize = 100_000;

/// Longest interface name that Linux takes, without the end mark.
const INTERFACE_MAX: usize = 15;

/// What the handlers answer from. The handle on the maps is their own: a long list must not hold up
/// packets.
pub struct Api<M> {
    shared: Arc<Shared<M>>,
    maps: Mutex<M>,
    host: HostId,
}

/// The socket cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("local socket {path}: {error}")]
pub struct SocketError {
    path: String,
    #[source]
    error: io::Error,
}

/// Opens the socket, for root alone. A socket that an agent which died left behind is replaced.
pub fn listen(path: &FilePath) -> Result<UnixListener, SocketError> {
    let open = || {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    open().map_err(|error| SocketError {
        path: path.display().to_string(),
        error,
    })
}

/// Serves the socket for ever.
pub async fn serve<M: Maps + Send + 'static>(
    listener: UnixListener,
    shared: Arc<Shared<M>>,
    maps: M,
    host: HostId,
) -> io::Result<()> {
    let api = Arc::new(Api {
        shared,
        maps: Mutex::new(maps),
        host,
    });
    axum::serve(listener, router(api)).await
}

fn router<M: Maps + Send + 'static>(api: Arc<Api<M>>) -> Router {
    Router::new()
        .route("/binding/{port}", put(bind::<M>).delete(unbind::<M>))
        .route("/status", get(status::<M>))
        .route("/ports", get(ports::<M>))
        .route("/flows", get(flows::<M>))
        .route("/connections", get(connections::<M>))
        .route("/drops", get(drops::<M>))
        .route("/stations", get(stations::<M>))
        .route("/metrics", get(metrics::<M>))
        .with_state(api)
}

/// Why a request failed.
enum Failure {
    Refused(String),
    Broken(String),
}

impl From<MapsError> for Failure {
    fn from(error: MapsError) -> Self {
        Failure::Broken(error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (code, message) = match self {
            Failure::Refused(message) => (StatusCode::BAD_REQUEST, message),
            Failure::Broken(message) => (StatusCode::INTERNAL_SERVER_ERROR, message),
        };
        (
            code,
            Json(serde_json::json!({"code": code.as_u16(), "message": message})),
        )
            .into_response()
    }
}

type Answer<T> = Result<Json<T>, Failure>;

/// Body of `PUT /binding/{port}`, as `mm-ctl` has always sent it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    interface_name: String,
}

async fn bind<M: Maps>(
    State(api): State<Arc<Api<M>>>,
    Path(port): Path<Uuid>,
    Json(binding): Json<Binding>,
) -> Answer<Binding> {
    let name = &binding.interface_name;
    if name.is_empty() || name.len() > INTERFACE_MAX || name.contains(['/', ' ']) {
        return Err(Failure::Refused(format!(
            "'{name}' is not the name of an interface"
        )));
    }
    change(&api, port, Some(name.clone()))?;
    Ok(Json(binding))
}

async fn unbind<M: Maps>(
    State(api): State<Arc<Api<M>>>,
    Path(port): Path<Uuid>,
) -> Answer<serde_json::Value> {
    change(&api, port, None)?;
    Ok(Json(serde_json::json!({})))
}

fn change<M: Maps>(api: &Api<M>, port: Uuid, interface: Option<String>) -> Result<(), Failure> {
    tracing::info!(%port, ?interface, "binding asked for");
    api.shared
        .bind(PortId(port), interface)
        .map_err(|error| Failure::Broken(error.to_string()))
}

async fn status<M: Maps>(State(api): State<Arc<Api<M>>>) -> Answer<api::agent::Status> {
    Ok(Json(rows::status(&api.shared, api.host)?))
}

async fn ports<M: Maps>(State(api): State<Arc<Api<M>>>) -> Answer<Vec<api::agent::Port>> {
    Ok(Json(rows::ports(&api.shared)?))
}

async fn flows<M: Maps>(State(api): State<Arc<Api<M>>>) -> Answer<Vec<api::agent::Flow>> {
    Ok(Json(rows::flows(&api.shared.world())?))
}

/// `?limit=`
#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

async fn connections<M: Maps>(
    State(api): State<Arc<Api<M>>>,
    Query(limit): Query<Limit>,
) -> Answer<Vec<api::agent::Connection>> {
    let limit = limit.limit.unwrap_or(CONNECTIONS).min(CONNECTIONS_MAX);
    let list = api
        .maps
        .lock()
        .map_err(|e| Failure::Broken(e.to_string()))?
        .connections(limit)?;
    let world = api.shared.world();
    Ok(Json(
        list.iter()
            .map(|(key, conn)| rows::connection(&world, key, conn))
            .collect(),
    ))
}

async fn drops<M: Maps>(State(api): State<Arc<Api<M>>>) -> Answer<Vec<api::agent::Drop>> {
    Ok(Json(rows::drops(&api.shared.world())?))
}

async fn stations<M: Maps>(State(api): State<Arc<Api<M>>>) -> Answer<Vec<api::agent::Station>> {
    Ok(Json(rows::stations(&api.shared.world())))
}

async fn metrics<M: Maps>(State(api): State<Arc<Api<M>>>) -> Result<Response, Failure> {
    let mut text = Prometheus::default();
    api.shared.metrics.write(&mut text);
    rows::write_metrics(&api.shared, &mut text)?;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((kind, text.finish()).into_response())
}

#[cfg(test)]
mod tests;
