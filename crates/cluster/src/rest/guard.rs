//! What every request passes: time limit, token check, count, log.

use super::{ROOT, answer::Failure, port_statuses::WAIT_MAX};
use crate::app::App;
use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{sync::Arc, time::Duration, time::Instant};

/// Time for a request, apart from waiting that it asks for.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
const TOKEN: &str = "x-auth-token";

pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let limit = REQUEST_LIMIT
        + if path.ends_with("/port_statuses") {
            WAIT_MAX
        } else {
            Duration::ZERO
        };
    let answered = tokio::time::timeout(limit, checked(&app, request, next)).await;
    let response = answered.unwrap_or_else(|_| {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the request took too long").into_response()
    });
    let (status, took) = (response.status().as_u16(), started.elapsed());
    app.metrics.answered(status, took);
    tracing::debug!(%method, path, status, ?took, "request");
    response
}

async fn checked(app: &App, request: Request, next: Next) -> Response {
    if !is_open(request.uri().path()) {
        let token = request
            .headers()
            .get(TOKEN)
            .and_then(|token| token.to_str().ok());
        if let Err(denied) = app.auth.check(token.unwrap_or_default()).await {
            return Failure::from(denied).into_response();
        }
    }
    next.run(request).await
}

/// Where no token is needed: one is got there, or nothing is told.
fn is_open(path: &str) -> bool {
    path == "/metrics" || path.strip_prefix(ROOT) == Some("/login")
}
