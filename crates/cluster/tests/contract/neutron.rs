//! The wire contract that Neutron's plugin speaks.

use crate::server::*;
use api::media;
use serde_json::{Value, json};

const NETWORK: &str = "application/vnd.org.midonet.neutron.Network-v1+json";
const NETWORKS: &str = "application/vnd.org.midonet.neutron.Networks-v1+json";

#[test]
fn a_client_finds_its_way_from_the_root() {
    let server = Server::start();
    for root in ["/midonet-api", "/midonet-api/"] {
        let answer = server.send("GET", root, &[("Accept", media::APPLICATION)], None);
        assert_eq!(answer.header("content-type"), media::APPLICATION);
        let base = format!("http://{}/midonet-api", server.api);
        assert_eq!(answer.body["uri"], base);
        assert_eq!(answer.body["neutron"], format!("{base}/neutron"));
        assert_eq!(answer.body["hostTemplate"], format!("{base}/hosts/{{id}}"));
    }
    let answer = server.send("GET", "neutron", &[("Accept", media::NEUTRON)], None);
    assert_eq!(answer.header("content-type"), media::NEUTRON);
    for kind in api::neutron::Kind::ALL {
        let template = answer.body[format!("{}_template", kind.name())]
            .as_str()
            .unwrap();
        assert!(template.ends_with(&format!("/neutron/{}/{{id}}", kind.collection())));
        assert!(answer.body[kind.collection()].is_string());
    }
    let template = answer.body["add_router_interface_template"]
        .as_str()
        .unwrap();
    assert!(template.ends_with("/neutron/routers/{id}/add_router_interface"));
}

#[test]
fn a_resource_is_created_read_replaced_and_deleted() {
    let server = Server::start();
    let body = json!({"id": id(1), "name": "blue", "tenant_id": "t", "project_id": "t",
                      "router:external": false, "unknown": [1], "revision_number": 1});
    let headers = [("Content-Type", NETWORK), ("Accept", NETWORK)];
    let bytes = body.to_string().into_bytes();
    let made = server.send("POST", "neutron/networks", &headers, Some(bytes.clone()));
    assert_eq!((made.status, made.header("content-type")), (201, NETWORK));
    let single = format!("neutron/networks/{}", id(1));
    assert!(made.header("location").ends_with(&single));
    assert_eq!(made.body["name"], "blue");
    assert_eq!(made.body["unknown"], Value::Null);

    let again = server.send("POST", "neutron/networks", &headers, Some(bytes));
    assert_eq!((again.status, again.properties()), (409, vec!["id"]));
    let read = server.send("GET", &single, &[("Accept", NETWORK)], None);
    assert_eq!((read.status, &read.body), (200, &made.body));
    let list = server.send("GET", "neutron/networks", &[("Accept", NETWORKS)], None);
    assert_eq!(
        (list.header("content-type"), &list.body),
        (NETWORKS, &json!([made.body]))
    );

    let newer = json!({"name": "green", "revision_number": 2});
    let put = server.put(&single, &newer);
    assert_eq!((put.status, &put.body["name"]), (200, &json!("green")));
    assert_eq!(
        server.put(&single, &newer).status,
        200,
        "the same revision again"
    );
    let stale = server.put(&single, &json!({"name": "old", "revision_number": 1}));
    assert_eq!(
        (stale.status, stale.properties()),
        (409, vec!["revision_number"])
    );
    assert_eq!(server.get(&single).body["name"], "green");

    assert_eq!(server.delete(&single).status, 204);
    assert_eq!(server.delete(&single).status, 204, "once more");
    assert_eq!(server.get(&single).status, 404);
    assert_eq!(server.put(&single, &newer).status, 404);
}

#[test]
fn many_at_once_are_one_transaction() {
    let server = Server::start();
    let one = |n: u128| json!({"id": id(n)});
    let headers = [("Content-Type", NETWORKS), ("Accept", NETWORKS)];
    let all = json!([one(1), one(2), one(3)]).to_string().into_bytes();
    let made = server.send("POST", "neutron/networks", &headers, Some(all));
    assert_eq!(made.status, 201);
    assert_eq!(made.body.as_array().unwrap().len(), 3);
    let objects = server.get("topology").body["objects"].clone();
    let revisions: Vec<u64> = objects
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["revision"].as_u64().unwrap())
        .collect();
    assert!(
        revisions.iter().all(|r| *r == revisions[0]),
        "{revisions:?}"
    );

    let before = server.everything();
    let refused = server.post("neutron/networks", &json!([one(4), one(2)]));
    assert_eq!(
        (refused.status, refused.properties()),
        (409, vec!["[1].id"])
    );
    let twice = server.post("neutron/networks", &json!([one(4), one(4)]));
    assert_eq!((twice.status, twice.properties()), (409, vec!["[1].id"]));
    assert_eq!(server.everything(), before);
    // each may name one that comes before it in the same request
    town(&Server::start());
}

#[test]
fn every_kind_is_kept_and_given_back() {
    let server = Server::start();
    town(&server);
    server.create("ports", &port(20, "h1"));
    let fip = json!({"id": id(30), "floating_network_id": id(1), "port_id": id(20),
                     "floating_ip_address": "10.0.0.200", "fixed_ip_address": "10.0.0.20"});
    server.create("floating_ips", &fip);
    let forwarding = json!({"id": id(31), "floatingip_id": id(30), "protocol": "tcp",
                            "internal_port_id": id(20), "internal_ip_address": "10.0.0.20",
                            "external_port_range": "80:81", "internal_port_range": "8080:8081"});
    server.create("port_forwardings", &forwarding);
    let rule = json!({"id": id(43), "security_group_id": id(4), "direction": "ingress",
                      "ethertype": "IPv6", "protocol": "ipv6-icmp"});
    server.create("security_group_rules", &rule);
    for (kind, n) in [
        ("networks", 1),
        ("subnets", 2),
        ("security_groups", 4),
        ("security_group_rules", 43),
        ("routers", 5),
        ("ports", 20),
        ("floating_ips", 30),
        ("port_forwardings", 31),
    ] {
        let answer = server.get(&format!("neutron/{kind}/{}", id(n)));
        assert_eq!(
            (answer.status, &answer.body["id"]),
            (200, &json!(id(n))),
            "{kind}"
        );
        // what is given back is taken again, and changes nothing
        let before = server.everything();
        let put = server.put(&format!("neutron/{kind}/{}", id(n)), &answer.body);
        assert_eq!(put.status, 200, "{kind}: {put:?}");
        assert_eq!(server.everything(), before, "{kind}");
    }
    let group = server
        .get(&format!("neutron/security_groups/{}", id(4)))
        .body;
    assert_eq!(group["security_group_rules"].as_array().unwrap().len(), 3);
}

#[test]
fn a_router_interface_comes_and_goes() {
    let server = Server::start();
    town(&server);
    server.create("ports", &port(20, ""));
    let action = |verb: &str| format!("neutron/routers/{}/{verb}_router_interface", id(5));
    let body = json!({"id": id(5), "port_id": id(20), "subnet_id": id(2), "tenant_id": "t"});
    let media = [("Content-Type", media::ROUTER_INTERFACE)];
    let send = |verb| server.send("PUT", &action(verb), &media, Some(body.to_string().into()));
    assert_eq!(send("add").status, 204);
    assert_eq!(send("add").status, 204, "once more");
    let port = format!("neutron/ports/{}", id(20));
    assert_eq!(server.get(&port).body["device_id"], json!(id(5)));
    assert_eq!(
        server.delete(&format!("neutron/routers/{}", id(5))).status,
        409
    );
    assert_eq!(send("remove").status, 204);
    assert_eq!(server.get(&port).body["device_id"], "");
    assert_eq!(server.delete(&port).status, 204);
    assert_eq!(send("remove").status, 204, "after the port is gone");
    let missing = server.put(&action("add"), &body);
    assert_eq!(
        (missing.status, missing.properties()),
        (404, vec!["port_id"])
    );
}

#[test]
fn what_is_in_use_is_not_deleted() {
    let server = Server::start();
    town(&server);
    server.create("ports", &port(20, "h1"));
    let before = server.everything();
    for (kind, n) in [("networks", 1), ("subnets", 2), ("security_groups", 4)] {
        let answer = server.delete(&format!("neutron/{kind}/{}", id(n)));
        assert_eq!(answer.status, 409, "{kind}");
        assert!(
            answer.body["message"]
                .as_str()
                .unwrap()
                .contains(&id(20).to_string())
        );
    }
    assert_eq!(server.everything(), before);
}
