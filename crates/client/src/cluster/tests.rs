//! Against a server on loopback that answers from a script.

use super::*;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
};

/// One request as the server saw it.
struct Seen {
    line: String,
    headers: String,
    body: String,
}

/// Answers each request by `answer`; ends with the test process.
fn serve(answer: impl Fn(&Seen, &str) -> (u16, String, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let root = format!("http://{}/midonet-api", listener.local_addr().unwrap());
    let base = root.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let Some(seen) = read_request(&mut reader) else {
                continue;
            };
            let (status, headers, body) = answer(&seen, &base);
            let length = body.len();
            write!(
                reader.get_mut(),
                "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\
                 {headers}\r\n{body}"
            )
            .unwrap();
        }
    });
    root
}

fn read_request(reader: &mut impl BufRead) -> Option<Seen> {
    let (mut line, mut headers) = (String::new(), String::new());
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    while !headers.ends_with("\r\n\r\n") && headers != "\r\n" {
        reader.read_line(&mut headers).ok()?;
    }
    let headers = headers.to_lowercase();
    let length = headers
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |l| l.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).unwrap();
    Some(Seen {
        line: line.trim().to_owned(),
        headers,
        body,
    })
}

fn login() -> Credentials {
    Credentials::Login {
        username: "u".to_owned(),
        password: "p".to_owned(),
        project: Some("service".to_owned()),
    }
}

/// Login, both index documents, and whatever `rest` says.
fn cluster(rest: fn(&Seen) -> (u16, String)) -> Cluster {
    let root = serve(move |seen, base| {
        let path = seen
            .line
            .split(' ')
            .nth(1)
            .unwrap()
            .strip_prefix("/midonet-api")
            .unwrap();
        let (status, headers, body) = match path {
            "/login" if seen.headers.contains("authorization: basic dtpw\r\n") => (
                200,
                "Set-Cookie: sessionId=T1; Expires=never\r\n",
                "{}".to_owned(),
            ),
            "/login" => (401, "", "{}".to_owned()),
            "" => (
                200,
                "",
                json!({"neutron": format!("{base}/neutron")}).to_string(),
            ),
            "/neutron" => (200, "", index(base)),
            _ => {
                let (status, body) = rest(seen);
                (status, "", body)
            }
        };
        (status, headers.to_owned(), body)
    });
    Cluster::new(&root, login())
}

fn index(base: &str) -> String {
    json!({
        "networks": format!("{base}/neutron/networks"),
        "network_template": format!("{base}/neutron/networks/{{id}}"),
    })
    .to_string()
}

#[test]
fn logs_in_finds_its_way_and_creates() {
    let cluster = cluster(|seen| {
        assert!(
            seen.line.starts_with("POST /midonet-api/neutron/networks "),
            "{}",
            seen.line
        );
        assert!(
            seen.headers.contains("x-auth-token: t1\r\n"),
            "{}",
            seen.headers
        );
        assert!(
            seen.headers
                .contains("content-type: application/vnd.org.midonet.neutron.network-v1+json")
        );
        (201, seen.body.clone())
    });
    let made = cluster
        .create(Kind::Network, &json!({"name": "blue"}))
        .unwrap();
    assert_eq!(made, json!({"name": "blue"}));
}

#[test]
fn a_refusal_names_the_fields() {
    let cluster = cluster(|_| {
        let violations = json!([{"property": "mtu", "message": "too small"}]);
        (
            400,
            json!({"code": 400, "message": "bad", "violations": violations}).to_string(),
        )
    });
    let error = cluster
        .update(Kind::Network, Uuid::nil(), &json!({}))
        .unwrap_err();
    assert_eq!(error.status(), Some(400));
    assert!(
        error.to_string().ends_with("400 bad (mtu: too small)"),
        "{error}"
    );
}

#[test]
fn what_the_index_does_not_name_is_not_offered() {
    let cluster = cluster(|_| (200, "[]".to_owned()));
    let error = cluster.list::<Value>(Kind::Router).unwrap_err();
    assert!(matches!(error, ClientError::NotOffered { .. }), "{error}");
}

#[test]
fn a_token_that_ran_out_is_replaced_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let cluster = cluster(|_| match ASKED.fetch_add(1, Ordering::Relaxed) {
        1 => (401, "{}".to_owned()),
        _ => (200, "[1]".to_owned()),
    });
    assert_eq!(cluster.read::<Vec<u8>>("hosts").unwrap(), [1]);
    assert_eq!(cluster.read::<Vec<u8>>("hosts").unwrap(), [1]);
    assert_eq!(ASKED.load(Ordering::Relaxed), 3);
}

#[test]
fn deleting_needs_no_answer() {
    let cluster = cluster(|_| (204, String::new()));
    cluster.delete(Kind::Network, Uuid::nil()).unwrap();
}
