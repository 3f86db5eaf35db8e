//! Services that answer from a table: a cluster and a Neutron on loopback, an agent on a socket.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    path::PathBuf,
    thread,
};
use uuid::Uuid;

/// Method and path, and the answer.
pub type Answers = Vec<(&'static str, Value)>;

/// A cluster; the root of its API.
pub fn cluster_at(answers: Answers) -> String {
    let (listener, base) = listen();
    let root = format!("{base}/midonet-api");
    let index = root.clone();
    serve(listener, move |request| {
        let (method, path) = request.split_once(' ').unwrap();
        match path.strip_prefix("/midonet-api").unwrap() {
            "" => json!({"neutron": format!("{index}/neutron")}),
            "/neutron" => json!(api::NeutronIndex::at(&index)),
            path => look_up(&answers, &format!("{method} {path}")),
        }
    });
    root
}

/// The lists of a cluster that has only these networks.
pub fn neutron_lists(networks: Value) -> Answers {
    vec![
        ("GET /neutron/qos_policies", json!([])),
        ("GET /neutron/networks", networks),
        ("GET /neutron/subnets", json!([])),
        ("GET /neutron/address_groups", json!([])),
        ("GET /neutron/security_groups", json!([])),
        ("GET /neutron/security_group_rules", json!([])),
        ("GET /neutron/routers", json!([])),
        ("GET /neutron/ports", json!([])),
        ("GET /neutron/floating_ips", json!([])),
        ("GET /neutron/port_forwardings", json!([])),
    ]
}

/// A Keystone and a Neutron with only these networks; the address of both.
pub fn openstack_at(networks: Value) -> String {
    let (listener, base) = listen();
    let neutron = base.clone();
    serve(listener, move |request| {
        let path = request.split(' ').nth(1).unwrap();
        if path == "/v3/auth/tokens" {
            let endpoint = json!({"interface": "public", "url": neutron});
            return json!({"token": {"catalog": [{"type": "network", "endpoints": [endpoint]}]}});
        }
        let collection = path.trim_start_matches("/v2.0/").split('?').next().unwrap();
        let found = if collection == "networks" {
            networks.clone()
        } else {
            json!([])
        };
        json!({ collection.replace('-', "_"): found })
    });
    base
}

/// An agent; its socket.
pub fn agent_at(answers: Answers) -> PathBuf {
    let path = std::env::temp_dir().join(format!("midonet-cli-{}.sock", Uuid::new_v4()));
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, |request| look_up(&answers, request));
        }
    });
    path
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

fn serve(listener: TcpListener, look: impl Fn(&str) -> Value + Send + 'static) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &look);
        }
    });
}

fn look_up(answers: &Answers, request: &str) -> Value {
    let found = answers.iter().find(|(known, _)| *known == request);
    found
        .unwrap_or_else(|| panic!("asked for {request}"))
        .1
        .clone()
}

/// Reads one request and answers with what `look` gives for its method and path.
fn answer(stream: impl Read + Write, look: impl Fn(&str) -> Value) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap() == 0 {
            return;
        }
    }
    let lower = head.to_lowercase();
    let length = lower
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |l| l.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let request = head.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let body = look(&request).to_string();
    let (length, stream) = (body.len(), reader.get_mut());
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Subject-Token: t\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
}
