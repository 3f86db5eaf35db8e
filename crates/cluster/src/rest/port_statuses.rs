//! The feed of port states: a request waits until there is something to say.

use super::{
    Shared,
    answer::{Failure, accepted, json},
};
use crate::app::App;
use api::{PortStatuses, media};
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait; who asks for more is answered earlier.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// What may be asked.
#[derive(Debug, Deserialize)]
pub struct Asked {
    /// Cursor of the last answer; 0 for everything.
    #[serde(default)]
    since: u64,
    /// Seconds to wait for news.
    #[serde(default)]
    wait: u64,
}

pub async fn get(
    State(app): Shared,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let media = accepted(&headers, media::JSON)?;
    let Query(asked) = asked.map_err(|rejection| Failure::bad("query", rejection.body_text()))?;
    let limit = Duration::from_secs(asked.wait).min(WAIT_MAX);
    let _place = app.polls.try_acquire().map_err(|_| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests are waiting",
        )
    })?;
    let news = news(&app, asked.since);
    let told = tokio::select! {
        told = timeout(limit, news) => told.ok(),
        () = app.stopped() => None,
    };
    let told = told
        .or_else(|| app.statuses.since(asked.since))
        .ok_or_else(|| {
            let message = "agents are still coming back after the start of the cluster";
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, message)
        })?;
    Ok(json(StatusCode::OK, media, &told))
}

async fn news(app: &App, since: u64) -> PortStatuses {
    let mut cursor = app.statuses.subscribe();
    loop {
        cursor.mark_unchanged();
        if let Some(told) = app.statuses.since(since)
            && !told.ports.is_empty()
        {
            return told;
        }
        if cursor.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
