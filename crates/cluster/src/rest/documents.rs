//! The documents that tell a client where everything is, and the system's state.

use super::answer::{Failure, accepted, json, root};
use api::{Application, NeutronIndex, SystemState, media};
use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};

/// Version that the cluster says it has.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub async fn application(headers: HeaderMap) -> Result<Response, Failure> {
    let media = accepted(&headers, media::APPLICATION)?;
    Ok(json(
        StatusCode::OK,
        media,
        &Application::at(&root(&headers), VERSION),
    ))
}

pub async fn neutron(headers: HeaderMap) -> Result<Response, Failure> {
    let media = accepted(&headers, media::NEUTRON)?;
    Ok(json(
        StatusCode::OK,
        media,
        &NeutronIndex::at(&root(&headers)),
    ))
}

pub async fn system_state(headers: HeaderMap) -> Result<Response, Failure> {
    let media = accepted(&headers, media::SYSTEM_STATE)?;
    let state = SystemState {
        state: "ACTIVE".to_owned(),
        availability: "READWRITE".to_owned(),
        version: VERSION.to_owned(),
    };
    Ok(json(StatusCode::OK, media, &state))
}
