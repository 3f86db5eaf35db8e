//! Requests that are wrong: the right status, the field by its name, nothing changed.

use crate::server::*;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// Sends, and checks that nothing changed.
fn refused(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answer {
    let before = server.everything();
    let answer = server.send(method, path, headers, Some(body));
    assert_eq!(server.everything(), before, "{method} {path}");
    assert_eq!(answer.body["code"], json!(answer.status), "{answer:?}");
    assert!(answer.body["message"].is_string(), "{answer:?}");
    assert_eq!(answer.header("content-type"), api::media::ERROR);
    answer
}

#[test]
fn what_is_not_json_is_told_where() {
    let server = Server::start();
    town(&server);
    for body in ["", "{", "{\"id\": }", "[{]", "nil", "\u{feff}{}", "{} {}"] {
        for (method, path) in [
            ("POST", "neutron/networks".to_owned()),
            ("PUT", format!("neutron/networks/{}", id(1))),
            (
                "PUT",
                format!("neutron/routers/{}/add_router_interface", id(5)),
            ),
            ("POST", "traces/run".to_owned()),
        ] {
            let answer = refused(&server, method, &path, &[], body.into());
            assert_eq!(answer.status, 400, "{method} {path} {body:?}");
            assert!(
                answer.body["message"].as_str().unwrap().contains("line 1"),
                "{answer:?}"
            );
        }
    }
    let deep = "[".repeat(100_000);
    assert_eq!(
        refused(&server, "POST", "neutron/ports", &[], deep.into()).status,
        400
    );
    assert_eq!(
        refused(&server, "POST", "neutron/ports", &[], vec![0xff, 0xfe]).status,
        400
    );
}

#[test]
fn the_field_at_fault_is_named() {
    let server = Server::start();
    town(&server);
    let with = |field: &str, value: Value| {
        let mut body = port(20, "h1");
        body[field] = value;
        body
    };
    let rule = |field: &str, value: Value| {
        let mut body = json!({"id": id(50), "security_group_id": id(4), "direction": "ingress"});
        body[field] = value;
        body
    };
    let cases = [
        // wrong types
        ("ports", with("id", json!(7)), 400, "id"),
        ("ports", with("id", json!("not-a-uuid")), 400, "id"),
        (
            "ports",
            with("admin_state_up", json!("yes")),
            400,
            "admin_state_up",
        ),
        ("ports", with("fixed_ips", json!({})), 400, "fixed_ips"),
        (
            "ports",
            with("mac_address", json!("fa:16:3e")),
            400,
            "mac_address",
        ),
        (
            "ports",
            with("revision_number", json!("1")),
            400,
            "revision_number",
        ),
        ("networks", json!("a network"), 400, "body"),
        ("networks", json!({}), 400, "id"),
        (
            "subnets",
            json!({"id": id(9), "network_id": id(1), "cidr": 5}),
            400,
            "cidr",
        ),
        // unknown enum values
        (
            "networks",
            json!({"id": id(9), "provider:network_type": "token-ring"}),
            400,
            "provider:network_type",
        ),
        (
            "security_group_rules",
            rule("direction", json!("up")),
            400,
            "direction",
        ),
        (
            "security_group_rules",
            rule("ethertype", json!("IPX")),
            400,
            "ethertype",
        ),
        (
            "security_group_rules",
            rule("protocol", json!("tpc")),
            400,
            "protocol",
        ),
        (
            "subnets",
            json!({"id": id(9), "network_id": id(1), "cidr": "fd00::/64",
                           "ipv6_ra_mode": "magic"}),
            400,
            "ipv6_ra_mode",
        ),
        // unknown references
        (
            "ports",
            with("network_id", json!(id(99))),
            404,
            "network_id",
        ),
        (
            "ports",
            with("security_groups", json!([id(99)])),
            404,
            "security_groups[0]",
        ),
        (
            "ports",
            with(
                "fixed_ips",
                json!([{"subnet_id": id(99), "ip_address": "10.0.0.9"}]),
            ),
            404,
            "fixed_ips[0].subnet_id",
        ),
        (
            "security_group_rules",
            rule("remote_group_id", json!(id(99))),
            404,
            "remote_group_id",
        ),
        // what cannot be, and what is not supported
        (
            "ports",
            with(
                "fixed_ips",
                json!([{"subnet_id": id(2), "ip_address": "10.0.9.9"}]),
            ),
            400,
            "fixed_ips[0].ip_address",
        ),
        (
            "security_group_rules",
            rule("remote_address_group_id", json!(id(4))),
            404,
            "remote_address_group_id",
        ),
        // duplicate ids
        ("networks", json!({"id": id(1)}), 409, "id"),
    ];
    for (kind, body, status, property) in cases {
        let path = format!("neutron/{kind}");
        let bytes = body.to_string().into_bytes();
        let answer = refused(&server, "POST", &path, &[], bytes);
        assert_eq!(
            (answer.status, answer.properties()),
            (status, vec![property]),
            "{body}"
        );
    }
    let bulk = json!([{"id": id(60)}, {"id": id(61), "mtu": "x"}]).to_string();
    let answer = refused(&server, "POST", "neutron/networks", &[], bulk.into());
    assert_eq!((answer.status, answer.properties()), (400, vec!["[1].mtu"]));
}

#[test]
fn an_update_must_fit_its_address() {
    let server = Server::start();
    town(&server);
    let path = format!("neutron/networks/{}", id(1));
    let other = json!({"id": id(2), "revision_number": 9}).to_string();
    let answer = refused(&server, "PUT", &path, &[], other.into());
    assert_eq!((answer.status, answer.properties()), (400, vec!["id"]));
    let stale = json!({"revision_number": 2}).to_string();
    let answer = refused(&server, "PUT", &path, &[], stale.into());
    assert_eq!(
        (answer.status, answer.properties()),
        (409, vec!["revision_number"])
    );
    let answer = refused(&server, "PUT", "neutron/networks/7", &[], "{}".into());
    assert_eq!((answer.status, answer.properties()), (400, vec!["id"]));
    assert_eq!(server.delete("neutron/networks/7").status, 400);
    assert_eq!(server.get("neutron/networks/7").status, 400);
}

#[test]
fn media_types_methods_and_addresses_are_checked() {
    let server = Server::start();
    let network = json!({"id": id(1)}).to_string().into_bytes();
    let xml = [("Content-Type", "application/xml")];
    let port = [(
        "Content-Type",
        "application/vnd.org.midonet.neutron.Port-v1+json",
    )];
    let html = [("Accept", "text/html")];
    for (headers, status) in [(xml, 415), (port, 415), (html, 406)] {
        let body = network.clone();
        let answer = refused(&server, "POST", "neutron/networks", &headers, body);
        assert_eq!(answer.status, status);
    }
    let plain = [
        ("Content-Type", "application/json; charset=utf-8"),
        ("Accept", "text/html, */*;q=0.1"),
    ];
    let answer = server.send("POST", "neutron/networks", &plain, Some(network));
    assert_eq!(answer.status, 201);
    for (method, path, status) in [
        ("PATCH", "neutron/networks", 405),
        ("POST", "hosts", 405),
        ("DELETE", "neutron", 405),
        ("GET", "neutron/firewalls", 404),
        ("GET", "/", 404),
        ("GET", "/midonet-api/../etc/passwd", 404),
    ] {
        let answer = server.send(method, path, &[], None);
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.body["code"], status);
    }
    let json_only = [("Accept", "application/json")];
    let answer = server.send("GET", "neutron/networks", &json_only, None);
    assert_eq!(answer.header("content-type"), "application/json");
}

#[test]
fn bodies_have_a_limit() {
    let server = Server::start();
    let name = "x".repeat(5 << 20);
    let body = json!({"id": id(1), "name": name}).to_string();
    let answer = refused(&server, "POST", "neutron/networks", &[], body.into());
    assert_eq!(answer.status, 413);
    let many: Vec<Value> = (0..10_001).map(|n| json!({"id": id(n)})).collect();
    let answer = refused(
        &server,
        "POST",
        "neutron/networks",
        &[],
        json!(many).to_string().into(),
    );
    assert_eq!(answer.status, 413);
}

#[test]
fn noise_on_the_socket_harms_nobody() {
    let server = Server::start();
    for noise in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..],
        b"GET\r\n\r\n",
        b"POST /midonet-api/neutron/networks HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"\0\0\0\0\0\0\0\0",
    ] {
        for address in [server.api, server.sync] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(noise).unwrap();
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    assert_eq!(server.get("neutron/networks").status, 200);
}
