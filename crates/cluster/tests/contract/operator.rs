//! What operators look at.

use crate::server::*;
use serde_json::json;

#[test]
fn the_system_state_is_that_of_version_five() {
    let server = Server::start();
    let accept = [("Accept", api::media::SYSTEM_STATE)];
    let answer = server.send("GET", "system_state", &accept, None);
    assert_eq!(answer.header("content-type"), api::media::SYSTEM_STATE);
    assert_eq!(answer.body["state"], "ACTIVE");
    assert_eq!(answer.body["availability"], "READWRITE");
}

#[test]
fn the_topology_can_be_narrowed() {
    let server = Server::start();
    town(&server);
    server.create("ports", &port(20, "h1"));
    let count = |query: &str| {
        let answer = server.get(&format!("topology{query}"));
        answer.body["objects"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer:?}"))
            .len()
    };
    assert_eq!(count(""), 5);
    assert_eq!(count("?kind=port"), 1);
    assert_eq!(count(&format!("?id={}", id(1))), 1);
    assert_eq!(count(&format!("?network={}", id(1))), 3);
    assert_eq!(count("?host=h1"), 4);
    assert_eq!(count("?host=h1&kind=group"), 1);
    assert_eq!(server.get("topology?kind=chair").status, 400);
    assert_eq!(server.get("topology?colour=red").status, 400);
    assert_eq!(server.get("topology?id=x").status, 400);
}

#[test]
fn the_ports_of_a_host_are_listed_with_their_interfaces() {
    let server = Server::start();
    town(&server);
    server.create("ports", &port(20, "h1"));
    let _agent = crate::fake_agent::FakeAgent::join(server.sync, crate::fake_agent::hello(1));
    let ports = server.get(&format!("hosts/{}/ports", id(1))).body;
    let tap = format!("tap{}", &id(20).to_string()[..11]);
    assert_eq!(
        ports,
        json!([{"hostId": id(1), "portId": id(20), "interfaceName": tap}])
    );
}
