//! Traces: what would happen to a packet, and who is to blame.

use crate::server::*;
use serde_json::{Value, json};

fn plugged() -> Server {
    let server = Server::start();
    town(&server);
    for n in [20, 21] {
        server.create("ports", &port(n, "h1"));
    }
    let mut outsider = port(22, "h2");
    let group = json!({"id": id(6), "name": "outsiders", "security_group_rules": [
        {"id": id(61), "security_group_id": id(6), "direction": "ingress", "ethertype": "IPv4"}
    ]});
    server.create("security_groups", &group);
    outsider["security_groups"] = json!([id(6)]);
    server.create("ports", &outsider);
    server
}

fn run(server: &Server, request: Value) -> Answer {
    server.post("traces/run", &request)
}

#[test]
fn a_neighbour_of_the_group_is_reached() {
    let server = plugged();
    let packet = json!({"dst": "10.0.0.21", "proto": "tcp", "dport": 80});
    let answer = run(&server, json!({"port": id(20), "packet": packet}));
    assert_eq!(answer.status, 200, "{answer:?}");
    let forward = &answer.body["verdict"]["forward"];
    assert_eq!(
        (&forward["port"], &forward["host"]),
        (&json!(id(21)), &json!("h1")),
        "{answer:?}"
    );
    assert!(!answer.body["steps"].as_array().unwrap().is_empty());
    // the same packet as a frame
    let frame = answer.body["frame"].clone();
    let again = run(&server, json!({"port": id(20), "frame": frame}));
    assert_eq!(again.body["verdict"], answer.body["verdict"]);
}

#[test]
fn an_outsider_is_dropped_by_name() {
    let server = plugged();
    let packet = json!({"dst": "10.0.0.20"});
    let answer = run(&server, json!({"port": id(22), "packet": packet}));
    let drop = &answer.body["verdict"]["drop"];
    assert_eq!(drop["reason"], "security_group_egress", "{answer:?}");
    let kinds = ["security_group", "security_group_rule", "port"];
    let kind = drop["cause"]["kind"].as_str().unwrap();
    assert!(kinds.contains(&kind), "{answer:?}");
    // as a reply it passes: the opposite direction is allowed
    let reply = run(
        &server,
        json!({"port": id(22), "state": "reply", "packet": packet}),
    );
    assert_eq!(reply.body["verdict"]["forward"]["reply"], true, "{reply:?}");
}

#[test]
fn what_cannot_be_traced_is_refused_by_field() {
    let server = plugged();
    let cases = [
        (json!({}), 400, "port"),
        (
            json!({"port": id(99), "packet": {"dst": "10.0.0.20"}}),
            404,
            "port",
        ),
        (json!({"port": id(20)}), 400, "packet"),
        (json!({"port": id(20), "frame": "0x"}), 400, "frame"),
        (
            json!({"port": id(20), "packet": {"dst": "x"}}),
            400,
            "packet.dst",
        ),
        (
            json!({"port": id(20), "packet": {"dst": "10.0.0.20", "proto": "tcp"}}),
            400,
            "packet.dport",
        ),
        (
            json!({"port": id(20), "packet": {"dst": "fd00::1"}}),
            400,
            "packet.src",
        ),
        (
            json!({"port": id(20), "packet": {"dst": "10.0.0.99"}}),
            400,
            "packet.dmac",
        ),
        (
            json!({"port": id(20), "packet": {"dst": "192.0.2.1"}}),
            400,
            "packet.dmac",
        ),
    ];
    for (request, status, property) in cases {
        let answer = run(&server, request.clone());
        assert_eq!(
            (answer.status, answer.properties()),
            (status, vec![property]),
            "{request}"
        );
    }
}

#[test]
fn a_frame_that_cannot_be_read_is_a_named_drop() {
    let server = plugged();
    let answer = run(&server, json!({"port": id(20), "frame": "ffff"}));
    assert_eq!(answer.body["verdict"]["drop"]["reason"], "malformed");
}
