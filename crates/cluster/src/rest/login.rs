//! `/login`: Basic credentials for a token.

use super::{
    Shared,
    answer::{Failure, accepted, json},
};
use crate::auth::{Credentials, Denied};
use api::media;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};

const PROJECT: &str = "x-auth-project";

pub async fn login(State(app): Shared, headers: HeaderMap) -> Result<Response, Failure> {
    let media = accepted(&headers, media::TOKEN)?;
    let credentials = credentials(&headers).ok_or(Denied::Credentials)?;
    let username = credentials.username.clone();
    let token = app.auth.login(credentials).await.inspect_err(|denied| {
        tracing::warn!(username, %denied, "login failed");
    })?;
    let cookie = format!("sessionId={}; Expires={}", token.key, token.expires);
    let cookie = HeaderValue::from_str(&cookie).map_err(|_| {
        Failure::new(
            StatusCode::BAD_GATEWAY,
            "the token has no place in a header",
        )
    })?;
    let mut response = json(StatusCode::OK, media, &token);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// Only the first colon divides: a password may have some.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let (scheme, encoded) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .trim()
        .split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    let project = headers
        .get(PROJECT)
        .and_then(|p| p.to_str().ok())
        .filter(|p| !p.is_empty());
    Some(Credentials {
        username: username.to_owned(),
        password: password.to_owned(),
        project: project.map(str::to_owned),
    })
}
