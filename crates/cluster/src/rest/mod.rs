//! The REST API: one file per resource.

mod answer;
mod documents;
mod guard;
mod hosts;
mod login;
mod neutron;
mod port_statuses;
mod router_interface;
mod status;
mod topology;
mod trace;
mod tunnel_zones;

use crate::app::App;
use answer::Failure;
use api::neutron::Kind;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{StatusCode, header},
    middleware,
    response::IntoResponse,
    routing::{any, get, post, put},
    serve::ListenerExt,
};
use std::sync::Arc;
use tokio::net::TcpListener;

/// Where the API is.
pub const ROOT: &str = "/midonet-api";
/// Largest body of a request, bytes: a thousand ports in one bulk request fit.
const BODY_MAX: usize = 4 << 20;

/// What handlers share.
type Shared = axum::extract::State<Arc<App>>;

/// Serves the API until the cluster stops.
pub async fn serve(listener: TcpListener, app: Arc<App>) {
    let stopping = Arc::clone(&app);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    let served = axum::serve(listener, routes(app))
        .with_graceful_shutdown(async move { stopping.stopped().await })
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the REST API has ended");
    }
}

fn routes(app: Arc<App>) -> Router {
    let mut routes = Router::new()
        .route("/", get(documents::application))
        .route("/login", any(login::login))
        .route("/system_state", get(documents::system_state))
        .route("/neutron", get(documents::neutron))
        .route("/neutron/port_statuses", get(port_statuses::get))
        .route(
            "/neutron/routers/{id}/add_router_interface",
            put(router_interface::add),
        )
        .route(
            "/neutron/routers/{id}/remove_router_interface",
            put(router_interface::remove),
        )
        .route("/hosts", get(hosts::list))
        .route(
            "/hosts/{id}",
            get(hosts::get).put(hosts::put).delete(hosts::delete),
        )
        .route("/hosts/{id}/ports", get(hosts::ports))
        .route("/tunnel_zones", get(tunnel_zones::list))
        .route("/tunnel_zones/{zone}", get(tunnel_zones::get))
        .route(
            "/tunnel_zones/{zone}/hosts",
            get(tunnel_zones::hosts).post(tunnel_zones::post_host),
        )
        .route(
            "/tunnel_zones/{zone}/hosts/{host}",
            get(tunnel_zones::host)
                .put(tunnel_zones::put_host)
                .delete(tunnel_zones::delete_host),
        )
        .route("/status", get(status::get))
        .route("/topology", get(topology::get))
        .route("/traces/run", post(trace::run));
    for kind in Kind::ALL {
        routes = routes.merge(neutron::routes(kind));
    }
    Router::new()
        .nest(ROOT, routes)
        .route(&format!("{ROOT}/"), get(documents::application))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            guard::guard,
        ))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(app)
}

async fn metrics(axum::extract::State(app): Shared) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        app.metrics.text(&app),
    )
}

async fn not_found() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "there is nothing at this address")
}

async fn method_not_allowed() -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this address does not take this method",
    )
}
