//! Agents: registration, snapshot and deltas, resuming, port states.

use crate::{
    fake_agent::{FakeAgent, hello},
    server::*,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use sync::{FromAgent, FromCluster};
use topology::{ObjectId, PortId};

const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until the answer is right.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn feed(server: &Server, since: u64, wait: u64) -> Answer {
    server.get(&format!("neutron/port_statuses?since={since}&wait={wait}"))
}

fn states(answer: &Answer) -> Value {
    let ports = answer.body["ports"].as_array().unwrap();
    ports
        .iter()
        .map(|p| json!([p["id"], p["status"]]))
        .collect()
}

fn has_port(agent: &FakeAgent, n: u128) -> bool {
    agent.topology.port(PortId(id(n))).is_some()
}

#[test]
fn a_host_registers_by_connecting_and_joins_the_tunnel_zone() {
    let server = Server::start();
    let agent = FakeAgent::join(server.sync, hello(1));
    let hosts = server.get("hosts").body;
    assert_eq!(hosts[0]["name"], "h1");
    assert_eq!(hosts[0]["alive"], true);
    assert_eq!(hosts[0]["addresses"], json!(["192.0.2.1"]));
    assert_eq!(server.get(&format!("hosts/{}", id(1))).body, hosts[0]);
    let zones = server.get("tunnel_zones").body;
    let members = zones[0]["hosts"]
        .as_str()
        .unwrap()
        .split("/midonet-api/")
        .nth(1)
        .unwrap();
    assert_eq!(server.get(members).body[0]["ipAddress"], "192.0.2.1");
    assert_eq!(
        server.delete(&format!("hosts/{}", id(1))).status,
        409,
        "is alive"
    );
    drop(agent);
    eventually("dead", || {
        (server.get("hosts").body[0]["alive"] == false).then_some(())
    });
    assert_eq!(server.delete(&format!("hosts/{}", id(1))).status, 204);
    assert_eq!(server.get("hosts").body, json!([]));
}

#[test]
fn an_operator_can_set_a_tunnel_address() {
    let server = Server::start();
    let mut agent = FakeAgent::join(server.sync, hello(1));
    let zone = server.get("tunnel_zones").body[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let member = format!("tunnel_zones/{zone}/hosts/{}", id(1));
    let address = |agent: &FakeAgent| agent.topology.host("h1").unwrap().tunnel.to_string();
    let body = json!({"ipAddress": "198.51.100.7"});
    assert_eq!(server.put(&member, &body).status, 204);
    agent.until("the new address", |agent| address(agent) == "198.51.100.7");
    // it stays when the agent comes back
    let mut agent = FakeAgent::join(server.sync, hello(1));
    assert_eq!(address(&agent), "198.51.100.7");
    assert_eq!(server.get(&member).body["overridden"], true);
    assert_eq!(server.delete(&member).status, 204);
    agent.until("the own address", |agent| address(agent) == "192.0.2.1");
    let posted = json!({"hostId": id(1), "ipAddress": "2001:db8::7"});
    assert_eq!(
        server
            .post(&format!("tunnel_zones/{zone}/hosts"), &posted)
            .status,
        201
    );
    let wrong = server.put(&member, &json!({"ipAddress": "0.0.0.0"}));
    assert_eq!((wrong.status, wrong.properties()), (400, vec!["ipAddress"]));
    let unknown = format!("tunnel_zones/{zone}/hosts/{}", id(9));
    assert_eq!(server.put(&unknown, &body).status, 404);
    assert_eq!(server.get(&format!("tunnel_zones/{}", id(9))).status, 404);
}

#[test]
fn a_host_is_sent_what_it_needs_and_no_more() {
    let server = Server::start();
    town(&server);
    server.create("networks", &json!({"id": id(90), "name": "elsewhere"}));
    let mut agent = FakeAgent::join(server.sync, hello(1));
    assert!(agent.topology.bridges().next().is_none());
    server.create("ports", &port(20, "h1"));
    agent.until("the port", |agent| has_port(agent, 20));
    assert_eq!(agent.topology.bridges().count(), 1);
    server.create("ports", &port(21, "h2"));
    agent.until("the neighbour", |agent| has_port(agent, 21));
    assert_eq!(*agent.steps.last().unwrap(), 1, "a delta");
    server.delete(&format!("neutron/ports/{}", id(20)));
    agent.until("nothing left", |agent| {
        agent.topology.bridges().next().is_none()
    });
    assert!(!has_port(&agent, 21));
    let listed = server.get("topology?host=h2").body;
    let kinds: Vec<&String> = listed["objects"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|o| o["object"].as_object().unwrap().keys())
        .collect();
    assert!(kinds.iter().any(|k| *k == "port"), "{kinds:?}");
}

#[test]
fn an_agent_that_comes_back_is_sent_the_difference() {
    let mut server = Server::start();
    town(&server);
    server.create("ports", &port(20, "h1"));
    server.create("ports", &port(21, "h2"));
    let agent = FakeAgent::join(server.sync, hello(1));
    assert!(has_port(&agent, 21));
    server.restart();
    server.delete(&format!("neutron/ports/{}", id(21)));
    let agent = FakeAgent::rejoin(server.sync, hello(1), agent);
    assert!(!has_port(&agent, 21) && has_port(&agent, 20));
    assert_eq!(agent.steps, [1]);
    // of another store nothing counts
    let other = Server::start();
    let agent = FakeAgent::rejoin(other.sync, hello(1), agent);
    let left: Vec<ObjectId> = agent.topology.objects().map(|v| v.object.id()).collect();
    assert_eq!(left, [ObjectId::Host(hello(1).host)]);
}

#[test]
fn an_agent_that_does_not_belong_here_is_told_why() {
    let server = Server::start();
    let refused = |change: fn(&mut sync::Hello)| {
        let mut said = hello(1);
        change(&mut said);
        let mut agent = FakeAgent::open(server.sync, said);
        match agent.read() {
            Some(FromCluster::Refused { why }) => assert!(agent.read().is_none(), "{why}"),
            other => panic!("{other:?}"),
        }
    };
    refused(|hello| hello.secret = "wrong".to_owned());
    refused(|hello| hello.secret.clear());
    refused(|hello| hello.protocol = 99);
    refused(|hello| hello.name.clear());
    assert_eq!(server.get("hosts").body, json!([]));
    let _here = FakeAgent::join(server.sync, hello(1));
    refused(|hello| hello.host = topology::HostId(id(77)));
}

#[test]
fn a_host_with_a_new_identity_takes_its_name_from_the_old_one() {
    let server = Server::start();
    drop(FakeAgent::join(server.sync, hello(1)));
    eventually("gone", || {
        (server.get("hosts").body[0]["alive"] == false).then_some(())
    });
    let mut again = hello(1);
    again.host = topology::HostId(id(77));
    let _agent = FakeAgent::join(server.sync, again);
    let hosts = server.get("hosts").body;
    assert_eq!(
        (hosts.as_array().unwrap().len(), &hosts[0]["id"]),
        (1, &json!(id(77)))
    );
}

#[test]
fn a_newer_connection_of_a_host_replaces_the_older() {
    let server = Server::start();
    let mut old = FakeAgent::join(server.sync, hello(1));
    let _new = FakeAgent::join(server.sync, hello(1));
    eventually("closed", || match old.read() {
        None => Some(()),
        Some(_) => None,
    });
    assert_eq!(server.get("hosts").body[0]["alive"], true);
}

#[test]
fn port_states_reach_neutron_while_it_waits() {
    let server = Server::start();
    town(&server);
    server.create("ports", &port(20, "h1"));
    let mut agent = FakeAgent::join(server.sync, hello(1));
    assert_eq!(states(&feed(&server, 0, 0)), json!([]));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| feed(&server, 0, 20));
        agent.ports(&[(20, true), (99, true)]);
        assert_eq!(
            states(&waiting.join().unwrap()),
            json!([[id(20), "ACTIVE"]])
        );
    });
    let cursor = feed(&server, 0, 0).body["cursor"].as_u64().unwrap();
    agent.ports(&[(20, false)]);
    assert_eq!(
        states(&feed(&server, cursor, 20)),
        json!([[id(20), "DOWN"]])
    );
    agent.ports(&[(20, true)]);
    let up = feed(&server, cursor + 1, 20);
    assert_eq!(states(&up), json!([[id(20), "ACTIVE"]]));
    // the agent goes and stays away
    drop(agent);
    let down = feed(&server, up.body["cursor"].as_u64().unwrap(), 20);
    assert_eq!(states(&down), json!([[id(20), "DOWN"]]));
    server.delete(&format!("neutron/ports/{}", id(20)));
    assert_eq!(
        states(&feed(&server, 0, 0)),
        json!([]),
        "a deleted port is forgotten"
    );
}

#[test]
fn an_agent_that_comes_back_soon_takes_no_port_down() {
    let server = Server::start();
    town(&server);
    server.create("ports", &port(20, "h1"));
    let mut agent = FakeAgent::join(server.sync, hello(1));
    agent.ports(&[(20, true)]);
    let up = feed(&server, 0, 20);
    drop(agent);
    let mut agent = FakeAgent::join(server.sync, hello(1));
    agent.ports(&[(20, true)]);
    // longer than the time an agent may be away
    let quiet = feed(&server, up.body["cursor"].as_u64().unwrap(), 2);
    assert_eq!(states(&quiet), json!([]));
}

#[test]
fn after_a_restart_the_feed_waits_for_the_agents() {
    let mut server = Server::start();
    town(&server);
    server.create("ports", &port(20, "h1"));
    let mut agent = FakeAgent::join(server.sync, hello(1));
    agent.ports(&[(20, true)]);
    let before = feed(&server, 0, 20);
    drop(agent);
    server.restart();
    assert_eq!(feed(&server, 0, 0).status, 503);
    let mut agent = FakeAgent::join(server.sync, hello(1));
    agent.ports(&[(20, true)]);
    let after = feed(&server, 0, 20);
    assert_eq!(states(&after), json!([[id(20), "ACTIVE"]]));
    assert_ne!(after.body["instance"], before.body["instance"]);
}

#[test]
fn status_tells_what_each_host_has() {
    let server = Server::start();
    town(&server);
    server.create("ports", &port(20, "h1"));
    server.create("ports", &port(21, "h1"));
    let mut agent = FakeAgent::join(server.sync, hello(1));
    agent.ports(&[(20, true)]);
    agent.heartbeat();
    let host = eventually("applied", || {
        let host = server.get("status").body["hosts"][0].clone();
        (host["lag"] == 0 && host["ports_up"] == 1).then_some(host)
    });
    assert_eq!(
        (&host["name"], &host["alive"]),
        (&json!("h1"), &json!(true))
    );
    assert_eq!(
        (&host["ports_total"], &host["version"]),
        (&json!(2), &json!("test"))
    );
    assert_eq!(host["revision"], agent.revision);
    let counts = server.get("status").body["cluster"]["counts"].clone();
    assert_eq!(
        (&counts["networks"], &counts["ports"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn why_ports_are_down_is_shown() {
    let server = Server::start();
    town(&server);
    server.create("ports", &port(20, "h1"));
    let mut agent = FakeAgent::join(server.sync, hello(1));
    let why = "interface tap is down";
    let down = [(PortId(id(20)), why.to_owned())];
    agent.say(&FromAgent::Down(down.into()));
    let shown = || server.get("status").body["hosts"][0]["down"].clone();
    eventually("the reason", || {
        (shown() == json!([{"port": id(20), "why": why}])).then_some(())
    });
    agent.say(&FromAgent::Down(Default::default()));
    eventually("none", || (shown() == json!([])).then_some(()));
}
