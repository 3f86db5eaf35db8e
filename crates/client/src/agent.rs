//! Client of an agent's local API: HTTP over a Unix socket.
//!
//! Requests say HTTP/1.0: the agent answers in one piece and closes, which is all there is to read.

use crate::{
    ClientError,
    http::{ANSWER_MAX, Answer},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    env,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};
use uuid::Uuid;

/// Where an agent listens unless told otherwise.
pub const SOCKET: &str = "/run/midonet/agent.sock";
/// Environment variable that names another socket.
pub const SOCKET_VARIABLE: &str = "MIDONET_AGENT_SOCKET";
/// Longest silence of the agent.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The agent behind a socket.
pub struct Agent {
    socket: PathBuf,
}

impl Agent {
    /// The agent that listens at `socket`.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// The agent of this host, or the one that the environment names.
    pub fn of_environment() -> Self {
        Self::at(env::var_os(SOCKET_VARIABLE).unwrap_or_else(|| SOCKET.into()))
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Reads a path, for instance `/status`.
    pub fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call("GET", path, None)?.json()
    }

    /// Plugs an interface into a port.
    pub fn bind(&self, port: Uuid, interface: &str) -> Result<(), ClientError> {
        let body = json!({"interfaceName": interface});
        self.call("PUT", &format!("/binding/{port}"), Some(&body))
            .map(drop)
    }

    /// Unplugs a port.
    pub fn unbind(&self, port: Uuid) -> Result<(), ClientError> {
        self.call("DELETE", &format!("/binding/{port}"), None)
            .map(drop)
    }

    fn call(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ClientError> {
        let address = format!("{}:{path}", self.socket.display());
        let raw = self
            .exchange(method, path, body)
            .map_err(|e| ClientError::Unreachable {
                method,
                address: address.clone(),
                reason: format!("{e}; is midonet-agent running here?"),
            })?;
        match parse(&raw) {
            Some((status, body)) => Answer {
                method,
                address,
                status,
                headers: Vec::new(),
                body,
            }
            .success(),
            None => {
                let detail = "not an HTTP answer".to_owned();
                Err(ClientError::Unexpected { address, detail })
            }
        }
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: agent\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// Status and body of an HTTP answer that was read to its end.
fn parse(raw: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = raw.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&raw[..end]).ok()?;
    let status = head
        .strip_prefix("HTTP/1.")?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()?;
    Some((status, raw[end + 4..].to_vec()))
}

#[cfg(test)]
mod tests;
