//! SIGKILL at any moment: what was acknowledged is there afterwards.

use crate::server::{STATIC, TOKEN, config, exchange, id};
use serde_json::json;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

struct Program {
    child: Child,
    api: SocketAddr,
}

impl Program {
    fn start(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_midonet-cluster"))
            .arg("--config")
            .arg(config)
            .env("RUST_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let api = loop {
            line.clear();
            assert_ne!(
                log.read_line(&mut line).unwrap(),
                0,
                "the cluster has ended"
            );
            if let Some(rest) = line.split(" api=").nth(1) {
                break rest.split_whitespace().next().unwrap().parse().unwrap();
            }
        };
        thread::spawn(move || log.lines().for_each(drop));
        Self { child, api }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Writes until the cluster is gone; returns how many were acknowledged.
fn write_until_killed(api: SocketAddr, base: u128, started: &AtomicBool) -> u128 {
    for n in 0.. {
        let body = json!({"id": id(base + n), "name": "x"}).to_string();
        let headers = [("X-Auth-Token", TOKEN)];
        let sent = std::panic::catch_unwind(|| {
            exchange(
                api,
                "POST",
                "neutron/networks",
                &headers,
                Some(body.into_bytes()),
            )
            .status
        });
        match sent {
            Ok(201) => started.store(true, Ordering::SeqCst),
            _ => return n,
        }
    }
    unreachable!("the cluster is killed")
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cluster.toml");
    fs::write(&path, config(&dir.path().join("store"), STATIC)).unwrap();
    for round in 0..3 {
        let program = Program::start(&path);
        let (api, base) = (program.api, (round + 1) << 64);
        let started = AtomicBool::new(false);
        let acknowledged = thread::scope(|scope| {
            let writing = scope.spawn(|| write_until_killed(api, base, &started));
            while !started.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            program.kill();
            writing.join().unwrap()
        });
        let program = Program::start(&path);
        let headers = [("X-Auth-Token", TOKEN)];
        for n in 0..acknowledged {
            let path = format!("neutron/networks/{}", id(base + n));
            assert_eq!(
                exchange(program.api, "GET", &path, &headers, None).status,
                200
            );
        }
        let topology = exchange(program.api, "GET", "topology", &headers, None).body;
        let networks = exchange(program.api, "GET", "neutron/networks", &headers, None).body;
        let counts = [&topology["objects"], &networks].map(|v| v.as_array().unwrap().len());
        assert_eq!(counts[0], counts[1], "both or neither");
        program.kill();
    }
}

#[test]
fn a_bad_configuration_ends_the_program_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cluster.toml");
    let text = config(&dir.path().join("store"), STATIC).replace("listen", "lisen");
    fs::write(&path, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_midonet-cluster"))
        .arg("--config")
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    let wanted = format!("{}:2: unknown field `lisen`", path.display());
    assert!(said.contains(&wanted), "{said}");
}
