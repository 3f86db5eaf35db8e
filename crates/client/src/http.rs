//! One HTTP exchange with JSON in both directions.

use crate::ClientError;
use api::Violation;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::time::Duration;
use ureq::http::{Request, Response, request::Builder};

/// Longest wait for the whole of an answer, unless the caller says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer read, bytes.
pub(crate) const ANSWER_MAX: u64 = 256 << 20;

/// Headers of a request: name and value.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

/// An answer of any status.
pub(crate) struct Answer {
    pub(crate) method: &'static str,
    pub(crate) address: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A pool of connections that answers every status alike.
pub(crate) fn pool() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(TIMEOUT))
        .build()
        .new_agent()
}

/// Sends a request; an answer of any status is a success here.
pub(crate) fn exchange(
    pool: &ureq::Agent,
    method: &'static str,
    address: &str,
    headers: Headers<'_>,
    body: Option<&Value>,
) -> Result<Answer, ClientError> {
    let unreachable = |reason: String| ClientError::Unreachable {
        method,
        address: address.to_owned(),
        reason,
    };
    let start = Request::builder().method(method).uri(address);
    let request = headers
        .iter()
        .fold(start, |r, (name, value)| r.header(*name, *value));
    let response = match body {
        Some(body) => run(pool, request, body.to_string().into_bytes()),
        None => run(pool, request, ()),
    };
    let mut response = response.map_err(&unreachable)?;
    let read = response
        .body_mut()
        .with_config()
        .limit(ANSWER_MAX)
        .read_to_vec();
    let body = read.map_err(|e| unreachable(e.to_string()))?;
    let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
    Ok(Answer {
        method,
        address: address.to_owned(),
        status: response.status().as_u16(),
        headers: response
            .headers()
            .iter()
            .map(|(n, v)| (n.to_string(), text(v)))
            .collect(),
        body,
    })
}

fn run(
    pool: &ureq::Agent,
    request: Builder,
    body: impl ureq::AsSendBody,
) -> Result<Response<ureq::Body>, String> {
    let request = request.body(body).map_err(|e| e.to_string())?;
    pool.run(request).map_err(|e| e.to_string())
}

/// The body of a refusal: MidoNet's, or an OpenStack service's.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    message: String,
    violations: Vec<Violation>,
}

impl Answer {
    /// First value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// The answer if its status says success.
    pub(crate) fn success(self) -> Result<Answer, ClientError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let refusal = self.refusal();
        Err(ClientError::Refused {
            method: self.method,
            address: self.address,
            status: self.status,
            message: refusal.message,
            violations: refusal.violations,
        })
    }

    fn refusal(&self) -> Refusal {
        let text = || String::from_utf8_lossy(&self.body).trim().to_owned();
        let plain = || Refusal {
            message: text(),
            violations: Vec::new(),
        };
        serde_json::from_slice::<Value>(&self.body)
            .ok()
            .map(|value| match value {
                // an OpenStack service wraps the error in an object of one entry
                Value::Object(outer) if outer.len() == 1 => outer
                    .into_iter()
                    .next()
                    .map(|(_, inner)| inner)
                    .unwrap_or_default(),
                other => other,
            })
            .and_then(|value| serde_json::from_value(value).ok())
            .filter(|refusal: &Refusal| !refusal.message.is_empty())
            .unwrap_or_else(plain)
    }

    /// The body as `T`; an empty body is JSON null.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        let body: &[u8] = if self.body.is_empty() {
            b"null"
        } else {
            &self.body
        };
        serde_json::from_slice(body).map_err(|error| ClientError::Unexpected {
            address: self.address.clone(),
            detail: error.to_string(),
        })
    }
}
