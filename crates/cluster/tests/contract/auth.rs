//! Who is let in.

use crate::{fake_keystone::FakeKeystone, server::*};
use base64::{Engine, engine::general_purpose::STANDARD};

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

fn login(server: &Server, credentials: &str, project: &str) -> Answer {
    let basic = basic(credentials);
    let headers = [
        ("Authorization", basic.as_str()),
        ("X-Auth-Project", project),
    ];
    exchange(server.api, "POST", "login", &headers, Some(b"{}".to_vec()))
}

fn list(server: &Server, token: &str) -> Answer {
    exchange(
        server.api,
        "GET",
        "neutron/networks",
        &[("X-Auth-Token", token)],
        None,
    )
}

#[test]
fn static_credentials_give_the_token_also_with_a_colon_in_the_password() {
    let server = Server::start();
    let answer = login(&server, "neutron:pass:word", "service");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["key"], TOKEN);
    assert_eq!(answer.header("content-type"), api::media::TOKEN);
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.starts_with("sessionId=the-token; Expires="),
        "{cookie}"
    );
}

#[test]
fn others_are_not_let_in_and_told_how_to_be() {
    let server = Server::start();
    for wrong in ["neutron:pass", "neutron:", "neutron", "", "other:pass:word"] {
        let answer = login(&server, wrong, "service");
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(answer.header("www-authenticate").starts_with("Basic"));
    }
    for token in ["", "the-toke", "the-token2"] {
        assert_eq!(list(&server, token).status, 401, "{token:?}");
    }
    for path in [
        "",
        "neutron",
        "hosts",
        "status",
        "topology",
        "nothing",
        "/elsewhere",
    ] {
        let answer = exchange(server.api, "GET", path, &[], None);
        assert_eq!(answer.status, 401, "{path}");
    }
    let metrics = exchange(server.api, "GET", "/metrics", &[], None);
    assert_eq!(metrics.status, 200);
}

#[test]
fn keystone_logs_in_and_validates() {
    let keystone = FakeKeystone::start();
    let server = Server::with_auth(&keystone.config(60));
    let answer = login(&server, "neutron:pass:word", "service");
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.body["key"].as_str().unwrap();
    assert_eq!(list(&server, token).status, 200);
    assert_eq!(login(&server, "neutron:wrong", "service").status, 401);
    assert_eq!(login(&server, "neutron:pass:word", "elsewhere").status, 401);
    assert_eq!(list(&server, "made-up").status, 401);
}

#[test]
fn a_project_may_be_given_by_id() {
    let keystone = FakeKeystone::start();
    let server = Server::with_auth(&keystone.config(60));
    let answer = login(
        &server,
        "neutron:pass:word",
        "0123456789abcdef0123456789abcdef",
    );
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_valid_token_is_asked_about_once() {
    let keystone = FakeKeystone::start();
    let server = Server::with_auth(&keystone.config(60));
    for _ in 0..5 {
        assert_eq!(list(&server, "admin-token").status, 200);
    }
    assert_eq!(keystone.validations(), 1);
    for _ in 0..2 {
        let answer = list(&server, "member-token");
        assert_eq!(answer.status, 403);
        assert!(answer.body["message"].as_str().unwrap().contains("admin"));
    }
    assert_eq!(keystone.validations(), 2);
}

#[test]
fn a_token_is_not_believed_longer_than_it_is_valid() {
    let keystone = FakeKeystone::start();
    let server = Server::with_auth(&keystone.config(60));
    assert_eq!(list(&server, "expired-token").status, 401);
    assert_eq!(list(&server, "brief-token").status, 200);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while list(&server, "brief-token").status != 401 {
        assert!(std::time::Instant::now() < deadline, "believed for ever");
    }
}

#[test]
fn the_own_token_is_renewed_when_keystone_forgets_it() {
    let keystone = FakeKeystone::start();
    let server = Server::with_auth(&keystone.config(0));
    assert_eq!(list(&server, "admin-token").status, 200);
    keystone.forget_own_tokens();
    assert_eq!(list(&server, "admin-token").status, 200);
}

#[test]
fn without_keystone_nobody_can_be_told_from_another() {
    let keystone = FakeKeystone::start();
    let server = Server::with_auth(&keystone.config(60));
    assert_eq!(list(&server, "admin-token").status, 200);
    keystone.stop();
    assert_eq!(list(&server, "admin-token").status, 200, "is remembered");
    assert_eq!(list(&server, "other-token").status, 503);
    assert_eq!(login(&server, "neutron:pass:word", "service").status, 503);
}
