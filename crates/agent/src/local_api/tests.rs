//! The socket as `mm-ctl`, `midonet` and Prometheus use it.

use super::*;
use crate::{
    fixture::{bridge, link, port},
    plug::Plugged,
    state::StateDir,
    world::World,
};
use bpf_abi::{Conn, ConnKey, DropCount, DropKey, STATE_REPLY};
use datapath::FakeMaps;
use flow::{DropReason, mapped};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use topology::{Change, Object, Versioned};

struct Bench {
    shared: Arc<Shared<FakeMaps>>,
    dir: tempfile::TempDir,
}

impl Bench {
    /// Port 1 is attached and up, port 2 has no interface.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut maps = FakeMaps::default();
        let key = DropKey {
            in_port: 5,
            reason: DropReason::SpoofedIp as u32,
        };
        maps.drops.push((
            key,
            DropCount {
                packets: 3,
                bytes: 300,
            },
        ));
        let mut world = World::new("h1".into(), maps);
        let put = |object| {
            Change::Put(Versioned {
                revision: 1,
                object,
            })
        };
        let objects = [
            Object::Bridge(bridge()),
            Object::Port(port(1, "h1")),
            Object::Port(port(2, "h1")),
        ];
        world
            .apply(Uuid::nil(), 42, objects.map(put).to_vec())
            .unwrap();
        let name = port(1, "h1").tap_name();
        let plugged = Plugged {
            vlan: None,
            port: port(1, "h1").id,
            name,
            key: 1,
            flood_key: 1000,
            mtu: 1450,
            uplink: false,
        };
        world.plugged(5, plugged).unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let shared = Arc::new(Shared::new(world, state).unwrap());
        shared.up.send_replace(BTreeSet::from([port(1, "h1").id]));
        let tap = link(5, &port(1, "h1").tap_name());
        shared.links.send_replace(BTreeMap::from([(5, tap)]));
        let listener = listen(&dir.path().join("agent.sock")).unwrap();
        let api = serve(
            listener,
            Arc::clone(&shared),
            connections(),
            HostId(Uuid::nil()),
        );
        tokio::spawn(api);
        Self { shared, dir }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(self.dir.path().join("agent.sock"))
            .await
            .unwrap();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }

    async fn get(&self, path: &str) -> Value {
        let (code, body) = self.ask("GET", path, "").await;
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// A handle on maps that hold one connection.
fn connections() -> FakeMaps {
    let key = ConnKey {
        in_port: 5,
        family: 4,
        proto: 6,
        src: mapped([10, 0, 0, 1].into()),
        dst: mapped([10, 0, 0, 2].into()),
        sport: 80,
        dport: 4000,
        ..Default::default()
    };
    let conn = Conn {
        state: STATE_REPLY,
        packets: 2,
        ..Default::default()
    };
    let mut maps = FakeMaps::default();
    maps.connections.push((key, conn));
    maps
}

#[tokio::test]
async fn a_binding_is_saved_told_and_taken_away() {
    let bench = Bench::start().await;
    let mut changed = bench.shared.changed.subscribe();
    let path = format!("/binding/{}", port(2, "h1").id);
    let (code, body) = bench
        .ask("PUT", &path, r#"{"interfaceName":"tap-x"}"#)
        .await;
    assert_eq!((code, body.as_str()), (200, r#"{"interfaceName":"tap-x"}"#));
    assert!(changed.has_changed().unwrap());
    changed.mark_unchanged();
    let saved = StateDir::open(bench.dir.path())
        .unwrap()
        .bindings()
        .unwrap();
    assert_eq!(
        saved.get(&port(2, "h1").id).map(String::as_str),
        Some("tap-x")
    );
    assert_eq!(
        bench.get("/ports").await[1]["why"],
        "there is no interface tap-x"
    );
    assert_eq!(bench.ask("DELETE", &path, "").await.0, 200);
    assert_eq!(bench.ask("DELETE", &path, "").await.0, 200);
    assert!(bench.shared.bindings().is_empty());
}

#[tokio::test]
async fn what_is_no_binding_is_refused() {
    let bench = Bench::start().await;
    let path = format!("/binding/{}", port(2, "h1").id);
    for body in [
        "{\"interfaceName\":\"\"}",
        "{\"interfaceName\":\"0123456789abcdef\"}",
        "{}",
        "x",
    ] {
        let (code, answer) = bench.ask("PUT", &path, body).await;
        assert!((400..500).contains(&code), "{body}: {code} {answer}");
    }
    assert_eq!(
        bench
            .ask("PUT", "/binding/nobody", "{\"interfaceName\":\"a\"}")
            .await
            .0,
        400
    );
    assert!(bench.shared.bindings().is_empty());
}

#[tokio::test]
async fn everything_can_be_looked_at() {
    let bench = Bench::start().await;
    let status = bench.get("/status").await;
    assert_eq!(status["revision"], 42);
    assert_eq!(
        (&status["ports"], &status["ports_up"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(status["drops"], 3);
    let ports = bench.get("/ports").await;
    assert_eq!(
        (&ports[0]["up"], &ports[0]["ifindex"]),
        (&json!(true), &json!(5))
    );
    assert!(
        ports[1]["why"]
            .as_str()
            .unwrap()
            .starts_with("there is no interface tap")
    );
    let drops = bench.get("/drops").await;
    assert_eq!(
        (&drops[0]["reason"], &drops[0]["packets"]),
        (&json!("spoofed_ip"), &json!(3))
    );
    assert_eq!(drops[0]["port"], port(1, "h1").id.to_string());
    let connections = bench.get("/connections?limit=5").await;
    assert_eq!(
        (&connections[0]["state"], &connections[0]["source"]),
        (&json!("reply"), &json!("10.0.0.1"))
    );
    assert_eq!(bench.get("/flows").await, json!([]));
    let (code, metrics) = bench.ask("GET", "/metrics", "").await;
    let id = port(1, "h1").id;
    let drop = format!("midonet_drops_total{{port=\"{id}\",reason=\"spoofed_ip\"}} 3\n");
    assert!(code == 200 && metrics.contains(&drop), "{metrics}");
}

#[tokio::test]
async fn only_root_may_speak_to_it_and_a_dead_socket_is_replaced() {
    let bench = Bench::start().await;
    let path = bench.dir.path().join("agent.sock");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    listen(&path).unwrap();
}
