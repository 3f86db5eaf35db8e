//! Against a socket that answers what it is told to.

use super::*;
use std::{os::unix::net::UnixListener, thread};

/// Answers one request with `answer`; gives back what was asked.
fn with_agent<T>(answer: &'static str, ask: impl FnOnce(&Agent) -> T) -> (T, String) {
    let path = env::temp_dir().join(format!("midonet-client-{}.sock", Uuid::new_v4()));
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 4096];
        let count = stream.read(&mut asked).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&asked[..count]).into_owned()
    });
    let got = ask(&Agent::at(&path));
    let asked = server.join().unwrap();
    std::fs::remove_file(&path).unwrap();
    (got, asked)
}

#[test]
fn reads_json() {
    let (got, asked) = with_agent("HTTP/1.0 200 OK\r\nX: y\r\n\r\n{\"a\":1}", |agent| {
        agent.read::<Value>("/status").unwrap()
    });
    assert_eq!(got, json!({"a": 1}));
    assert!(asked.starts_with("GET /status HTTP/1.0\r\n"), "{asked}");
}

#[test]
fn a_bind_names_the_interface() {
    let port = Uuid::from_u128(7);
    let (got, asked) = with_agent("HTTP/1.1 204 No Content\r\n\r\n", |agent| {
        agent.bind(port, "tap0")
    });
    got.unwrap();
    assert!(
        asked.starts_with(&format!("PUT /binding/{port} ")),
        "{asked}"
    );
    assert!(asked.ends_with(r#"{"interfaceName":"tap0"}"#), "{asked}");
}

#[test]
fn a_refusal_carries_status_and_words() {
    let answer = "HTTP/1.1 404 Not Found\r\n\r\n{\"code\":404,\"message\":\"no such port\"}";
    let (got, _) = with_agent(answer, |agent| agent.unbind(Uuid::nil()));
    let error = got.unwrap_err();
    assert_eq!(error.status(), Some(404));
    assert!(error.to_string().contains("no such port"), "{error}");
}

#[test]
fn an_absent_agent_is_told_apart() {
    let error = Agent::at("/nonexistent/agent.sock")
        .read::<Value>("/status")
        .unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }));
    assert!(
        error.to_string().contains("is midonet-agent running"),
        "{error}"
    );
}

#[test]
fn garbage_is_not_an_answer() {
    let (got, _) = with_agent("hello\r\n\r\n", |agent| agent.read::<Value>("/status"));
    assert!(matches!(got.unwrap_err(), ClientError::Unexpected { .. }));
}
