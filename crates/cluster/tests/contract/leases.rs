//! Blocks of routers' ports: asked for, given, given back, taken away.

use crate::{
    fake_agent::{FakeAgent, hello},
    server::*,
};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use sync::{BlockWish, FromAgent};
use topology::{Lease, ObjectId, RouterId};

fn router() -> RouterId {
    RouterId(id(5))
}

/// The town, whose router has a gateway with source NAT, and ports on two hosts.
fn with_gateway(server: &Server) {
    town(server);
    let external = json!({"id": id(50), "name": "public", "router:external": true});
    server.create("networks", &external);
    server.create(
        "subnets",
        &json!({"id": id(51), "network_id": id(50), "cidr": "203.0.113.0/24",
                "gateway_ip": "203.0.113.1", "enable_dhcp": false}),
    );
    server.create(
        "ports",
        &json!({"id": id(53), "network_id": id(50), "mac_address": "fa:16:3e:00:00:53",
                "fixed_ips": [{"subnet_id": id(51), "ip_address": "203.0.113.5"}],
                "device_owner": "network:router_gateway", "device_id": id(5)}),
    );
    set_gateway(server, Some(true), 2);
    server.create(
        "ports",
        &json!({"id": id(54), "network_id": id(1), "mac_address": "fa:16:3e:00:00:54",
                "fixed_ips": [{"subnet_id": id(2), "ip_address": "10.0.0.1"}],
                "device_owner": "network:router_interface", "device_id": id(5)}),
    );
    server.create("ports", &port(20, "h1"));
    server.create("ports", &port(21, "h2"));
}

fn set_gateway(server: &Server, snat: Option<bool>, revision: u64) {
    let gateway = snat.map(|snat| {
        json!({"network_id": id(50), "enable_snat": snat, "external_fixed_ips":
               [{"subnet_id": id(51), "ip_address": "203.0.113.5"}]})
    });
    let body = json!({"id": id(5), "name": "r", "gw_port_id": snat.map(|_| id(53)),
                      "external_gateway_info": gateway, "revision_number": revision});
    let answer = server.put(&format!("neutron/routers/{}", id(5)), &body);
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn held(agent: &FakeAgent, host: &str) -> BTreeSet<u8> {
    let lease = agent.topology.lease(Lease::id_of(router(), host));
    lease.map(|lease| lease.blocks.clone()).unwrap_or_default()
}

fn wish(agent: &mut FakeAgent, host: &str, want: u16, unused: BTreeSet<u8>) {
    let lease = ObjectId::Lease(Lease::id_of(router(), host));
    let wish = BlockWish {
        router: router(),
        seen: agent.topology.revision(lease),
        want,
        unused,
    };
    agent.say(&FromAgent::Blocks(vec![wish]));
}

#[test]
fn two_agents_never_hold_one_block_and_both_know_who_has_which() {
    let server = Server::start();
    with_gateway(&server);
    let mut one = FakeAgent::join(server.sync, hello(1));
    let mut two = FakeAgent::join(server.sync, hello(2));
    wish(&mut one, "h1", 5, BTreeSet::new());
    wish(&mut two, "h2", 7, BTreeSet::new());
    for agent in [&mut one, &mut two] {
        agent.until("both leases", |agent| {
            held(agent, "h1").len() == 5 && held(agent, "h2").len() == 7
        });
    }
    assert!(held(&one, "h1").is_disjoint(&held(&one, "h2")));
    let back: BTreeSet<u8> = held(&one, "h1").into_iter().take(4).collect();
    wish(&mut one, "h1", 1, back.clone());
    two.until("the rest", |agent| held(agent, "h1").len() == 1);
    wish(&mut two, "h2", 11, BTreeSet::new());
    two.until("what was given back", |agent| {
        held(agent, "h2").is_superset(&back)
    });
}

#[test]
fn leases_end_with_source_nat_and_with_the_host() {
    let server = Server::start();
    with_gateway(&server);
    let mut one = FakeAgent::join(server.sync, hello(1));
    let mut two = FakeAgent::join(server.sync, hello(2));
    wish(&mut one, "h1", 2, BTreeSet::new());
    one.until("a lease", |agent| !held(agent, "h1").is_empty());
    set_gateway(&server, Some(false), 3);
    one.until("none", |agent| held(agent, "h1").is_empty());
    wish(&mut one, "h1", 2, BTreeSet::new());
    set_gateway(&server, Some(true), 4);
    two.until("source NAT", |agent| {
        agent.topology.snat_address(router()).is_some()
    });
    assert_eq!(
        held(&two, "h1"),
        BTreeSet::new(),
        "refused without source NAT"
    );

    one.until("source NAT", |agent| {
        agent.topology.snat_address(router()).is_some()
    });
    wish(&mut one, "h1", 2, BTreeSet::new());
    two.until("a lease", |agent| !held(agent, "h1").is_empty());
    drop(one);
    server.delete(&format!("neutron/ports/{}", id(20)));
    let host = format!("hosts/{}", id(1));
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while server.delete(&host).status != 204 {
        assert!(
            std::time::Instant::now() < patience,
            "the host can be dropped"
        );
    }
    two.until("none", |agent| held(agent, "h1").is_empty());
}

#[test]
fn a_host_that_is_away_for_too_long_loses_its_blocks_and_one_that_is_here_does_not() {
    let server = Server::with_settings("[snat]\nreclaim_after_seconds = 2\n");
    with_gateway(&server);
    let mut one = FakeAgent::join(server.sync, hello(1));
    let mut two = FakeAgent::join(server.sync, hello(2));
    assert_eq!(one.reclaim_after, 2);
    wish(&mut one, "h1", 1, BTreeSet::new());
    wish(&mut two, "h2", 1, BTreeSet::new());
    two.until("both", |agent| {
        !held(agent, "h1").is_empty() && !held(agent, "h2").is_empty()
    });
    let block = held(&two, "h1");
    drop(one);
    two.until("reclaimed", |agent| held(agent, "h1").is_empty());
    assert!(!held(&two, "h2").is_empty());
    wish(&mut two, "h2", 2, BTreeSet::new());
    two.until("another's block", |agent| {
        held(agent, "h2").is_superset(&block)
    });
    let one = FakeAgent::join(server.sync, hello(1));
    assert_eq!(
        held(&one, "h1"),
        BTreeSet::new(),
        "it knows before it goes on"
    );
}

#[test]
fn leases_outlive_the_cluster() {
    let mut server = Server::start();
    with_gateway(&server);
    let mut one = FakeAgent::join(server.sync, hello(1));
    wish(&mut one, "h1", 3, BTreeSet::new());
    one.until("a lease", |agent| held(agent, "h1").len() == 3);
    let before = held(&one, "h1");
    drop(one);
    server.restart();
    let mut two = FakeAgent::join(server.sync, hello(2));
    assert_eq!(held(&two, "h1"), before);
    wish(&mut two, "h2", 3, BTreeSet::new());
    two.until("others", |agent| held(agent, "h2").len() == 3);
    assert!(held(&two, "h2").is_disjoint(&before));
}
