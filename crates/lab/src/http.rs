//! A small JSON client for the services of a lab.

use crate::LabError;
use serde_json::Value;
use std::time::Duration;

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A service below one URL, with a token if it asks for one.
#[derive(Clone, Debug)]
pub struct Http {
    root: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `X-Subject-Token`, which is where Keystone puts a new token.
    pub token: Option<String>,
    /// The body; null if it is empty or not JSON.
    pub body: Value,
}

impl Http {
    /// A service without credentials.
    pub fn new(root: impl Into<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .build();
        Self {
            root: root.into(),
            token: None,
            agent: config.into(),
        }
    }

    /// The same with an `X-Auth-Token`.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Its root.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// GET; a status other than 2xx is an error.
    pub fn get(&self, path: &str) -> Result<Value, LabError> {
        self.checked("GET", path, None)
    }

    /// POST; a status other than 2xx is an error.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, LabError> {
        self.checked("POST", path, Some(body))
    }

    /// PUT; a status other than 2xx is an error.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value, LabError> {
        self.checked("PUT", path, Some(body))
    }

    /// DELETE; a status other than 2xx is an error.
    pub fn delete(&self, path: &str) -> Result<Value, LabError> {
        self.checked("DELETE", path, None)
    }

    /// Any request, any status; an error is a request without an answer.
    pub fn send(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, LabError> {
        let url = format!("{}{path}", self.root);
        let failed = |detail: String| LabError::Http {
            method,
            url: url.clone(),
            detail,
        };
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        if let Some(token) = &self.token {
            request = request.header("X-Auth-Token", token);
        }
        let text = body.map(Value::to_string).unwrap_or_default();
        let request = request
            .header("Content-Type", "application/json")
            .header("Accept", "application/json")
            .body(text)
            .map_err(|e| failed(e.to_string()))?;
        let mut answer = self.agent.run(request).map_err(|e| failed(e.to_string()))?;
        let token = answer
            .headers()
            .get("X-Subject-Token")
            .and_then(|v| v.to_str().ok());
        let token = token.map(str::to_owned);
        let status = answer.status().as_u16();
        let text = answer
            .body_mut()
            .read_to_string()
            .map_err(|e| failed(e.to_string()))?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply {
            status,
            token,
            body,
        })
    }

    fn checked(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, LabError> {
        let reply = self.send(method, path, body)?;
        if (200..300).contains(&reply.status) {
            return Ok(reply.body);
        }
        Err(LabError::Http {
            method,
            url: format!("{}{path}", self.root),
            detail: format!("{} {}", reply.status, reply.body),
        })
    }
}
