//! Two hosts as network namespaces, VMs on them, and a cluster that is a topology and a socket.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};
use sync::{Decoder, FromAgent, FromCluster, PROTOCOL, changes_frames, encode};
use topology::{Change, Object, ObjectId, PortId, Snapshot, Versioned, View};
use uuid::Uuid;

pub const DEADLINE: Duration = Duration::from_secs(30);
const PORT: u16 = 8182;

/// Runs a program to its end.
pub fn run(line: &str) -> Output {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .output()
        .unwrap_or_else(|e| panic!("{line}: {e}"))
}

/// Runs a program that must succeed.
pub fn must(line: &str) -> String {
    let output = run(line);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {error}{text}");
    text
}

/// Waits until something is so.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < DEADLINE,
            "not within {DEADLINE:?}: {what}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// A network namespace that goes away.
pub struct Namespace(pub String);

impl Namespace {
    pub fn new(name: &str) -> Self {
        let name = format!("mnag{}-{name}", std::process::id());
        must(&format!("ip netns add {name}"));
        let namespace = Self(name);
        namespace.must("ip link set lo up");
        namespace
    }

    pub fn inside(&self, line: &str) -> String {
        format!("nsenter --net=/run/netns/{} {line}", self.0)
    }

    pub fn must(&self, line: &str) -> String {
        must(&self.inside(line))
    }

    pub fn ping(&self, to: &str) -> bool {
        run(&self.inside(&format!("ping -n -c 1 -W 1 {to}")))
            .status
            .success()
    }

    pub fn reaches(&self, to: &str) {
        until(&format!("{} reaches {to}", self.0), || self.ping(to));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run(&format!("ip netns del {}", self.0));
    }
}

/// The cluster: a topology that agents are sent, and what they say of their ports.
#[derive(Clone)]
pub struct Cluster(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    all: Snapshot,
    revision: u64,
    up: BTreeSet<PortId>,
    closed: bool,
}

impl Cluster {
    /// Listens in a host's namespace.
    pub fn start(host: &Host) -> Self {
        let cluster = Self(Arc::default());
        let listen = || TcpListener::bind(("0.0.0.0", PORT)).unwrap();
        let listener = linux::in_namespace(&host.netns.0, listen).unwrap();
        let serving = cluster.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let cluster = serving.clone();
                thread::spawn(move || cluster.serve(stream));
            }
        });
        cluster
    }

    /// Makes changes and wakes those who push them.
    pub fn put(&self, objects: impl IntoIterator<Item = Object>) {
        let mut state = self.0.0.lock().unwrap();
        state.revision += 1;
        let revision = state.revision;
        for object in objects {
            state.all.apply(Change::Put(Versioned { revision, object }));
        }
        self.0.1.notify_all();
    }

    pub fn delete(&self, id: ObjectId) {
        let mut state = self.0.0.lock().unwrap();
        state.revision += 1;
        state.all.apply(Change::Delete(id));
        self.0.1.notify_all();
    }

    pub fn is_up(&self, port: PortId) -> bool {
        self.0.0.lock().unwrap().up.contains(&port)
    }

    /// Hangs up on everybody, and on everybody who comes until it opens again.
    pub fn close(&self, closed: bool) {
        self.0.0.lock().unwrap().closed = closed;
        self.0.1.notify_all();
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut decoder = Decoder::default();
        let Some(FromAgent::Hello(hello)) = receive(&mut stream, &mut decoder) else {
            return;
        };
        let instance = Uuid::from_u128(1);
        send(
            &mut stream,
            &FromCluster::Welcome {
                instance,
                protocol: PROTOCOL,
                reclaim_after: 60,
            },
        );
        let reader = (stream.try_clone().unwrap(), self.clone());
        thread::spawn(move || reader.1.listen(reader.0, decoder));
        let mut view = View::held(hello.have);
        let mut state = self.0.0.lock().unwrap();
        while !state.closed {
            let changes = view.advance(&state.all, &hello.name);
            for frame in changes_frames(state.revision, changes) {
                send(&mut stream, &frame);
            }
            state = self.0.1.wait(state).unwrap();
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }

    fn listen(&self, mut stream: TcpStream, mut decoder: Decoder) {
        while let Some(message) = receive(&mut stream, &mut decoder) {
            match message {
                FromAgent::Ports(ports) => {
                    let mut state = self.0.0.lock().unwrap();
                    for status in ports {
                        match status.up {
                            true => state.up.insert(status.port),
                            false => state.up.remove(&status.port),
                        };
                    }
                }
                FromAgent::Heartbeat(_) => send(&mut stream, &FromCluster::Heartbeat),
                FromAgent::Down(_) | FromAgent::Blocks(_) => {}
                FromAgent::Hello(_) => panic!("a second hello"),
            }
        }
    }
}

fn send(stream: &mut TcpStream, message: &FromCluster) {
    let _ = stream.write_all(&encode(message).unwrap());
}

fn receive(stream: &mut TcpStream, decoder: &mut Decoder) -> Option<FromAgent> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(message) = decoder.next().unwrap() {
            return Some(message);
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(length) => decoder.feed(&buffer[..length]),
        }
    }
}

/// A host with an agent.
pub struct Host {
    pub netns: Namespace,
    pub dir: tempfile::TempDir,
    name: String,
    agent: Mutex<Option<Child>>,
}

impl Host {
    pub fn new(name: &str) -> Self {
        let netns = Namespace::new(name);
        let dir = tempfile::tempdir().unwrap();
        Self {
            netns,
            dir,
            name: name.to_owned(),
            agent: Mutex::new(None),
        }
    }

    /// The same host under the name that the topology has for it.
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// Joins two hosts by a cable, both with addresses of both families.
    pub fn join(one: &Host, two: &Host) {
        let (a, b) = (&one.netns.0, &two.netns.0);
        must(&format!(
            "ip -n {a} link add under type veth peer name under netns {b}"
        ));
        for (host, number) in [(one, 1), (two, 2)] {
            host.netns
                .must(&format!("ip addr add 192.0.2.{number}/24 dev under"));
            host.netns.must(&format!(
                "ip addr add 2001:db8::{number}/64 dev under nodad"
            ));
            host.netns.must("ip link set under mtu 9000 up");
        }
    }

    fn pins(&self) -> PathBuf {
        format!("/sys/fs/bpf/{}", self.netns.0).into()
    }

    fn config(&self, tunnel: &str) -> PathBuf {
        let dir = self.dir.path();
        let text = format!(
            "[host]\nname = \"{}\"\nstate_dir = \"{}\"\ntunnel_ip = \"{tunnel}\"\n\
             [cluster]\naddress = [\"192.0.2.1:{PORT}\"]\nsecret = \"s\"\n\
             [datapath]\npin_dir = \"{}\"\nconnections = 4096\n\
             [api]\nsocket = \"{}\"\n",
            self.name,
            dir.join("state").display(),
            self.pins().display(),
            dir.join("agent.sock").display(),
        );
        fs::write(dir.join("agent.toml"), text).unwrap();
        dir.join("agent.toml")
    }

    fn command(&self, config: &PathBuf) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.netns.0));
        command
            .arg(env!("CARGO_BIN_EXE_midonet-agent"))
            .arg("--config")
            .arg(config);
        command
    }

    pub fn start(&self, tunnel: &str) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("agent.log"))
            .unwrap();
        let mut command = self.command(&self.config(tunnel));
        command.env("RUST_LOG", "debug").stderr(log);
        *self.agent.lock().unwrap() = Some(command.spawn().unwrap());
    }

    /// kill -9
    pub fn kill(&self) {
        if let Some(mut agent) = self.agent.lock().unwrap().take() {
            agent.kill().unwrap();
            agent.wait().unwrap();
        }
    }

    /// SIGTERM, and whether it ended well.
    pub fn stop(&self) -> bool {
        let mut agent = self.agent.lock().unwrap().take().unwrap();
        must(&format!("kill -TERM {}", agent.id()));
        agent.wait().unwrap().success()
    }

    pub fn teardown(&self) -> String {
        let mut command = self.command(&self.dir.path().join("agent.toml"));
        let output = command.arg("--teardown").output().unwrap();
        assert!(!self.pins().exists(), "pins are left");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// What the local socket says to a request.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let socket = self.dir.path().join("agent.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (
            code,
            serde_json::from_str(body).unwrap_or(serde_json::Value::String(body.into())),
        )
    }

    pub fn get(&self, path: &str) -> serde_json::Value {
        let (code, body) = self.ask("GET", path, "");
        assert_eq!(code, 200, "{path}: {body}");
        body
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("agent.log")).unwrap_or_default()
    }

    pub fn agent_pid(&self) -> u32 {
        self.agent.lock().unwrap().as_ref().unwrap().id()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("---- log of {}\n{}", self.name, self.log());
        }
        self.kill();
        let mut command = self.command(&self.dir.path().join("agent.toml"));
        let _ = command.arg("--teardown").stderr(Stdio::null()).status();
    }
}

/// A VM: a namespace behind a tap (here one end of a veth pair).
pub struct Vm {
    pub netns: Namespace,
}

impl Vm {
    /// With the MAC of its port and these addresses; the first address of each is its gateway.
    pub fn plug(host: &Host, name: &str, tap: &str, mac: &str, addresses: &[&str]) -> Self {
        let netns = Namespace::new(name);
        let (h, v) = (&host.netns.0, &netns.0);
        must(&format!(
            "ip -n {h} link add {tap} type veth peer name eth0 netns {v}"
        ));
        netns.must(&format!("ip link set eth0 address {mac} mtu 1450 up"));
        must(&format!("ip -n {h} link set {tap} up"));
        for address in addresses {
            netns.must(&format!("ip addr add {address} dev eth0 nodad"));
        }
        Self { netns }
    }

    /// Address, MTU and router that DHCP gives; nothing is configured by it.
    pub fn lease(&self, dir: &std::path::Path) -> String {
        let (script, told, pid) = (dir.join("script"), dir.join("told"), dir.join("pid"));
        let said = "$new_ip_address $new_interface_mtu $new_routers";
        let text = format!(
            "#!/bin/sh\n[ -z \"$new_routers\" ] || echo {said} >{}\n",
            told.display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(
            dir.join("conf"),
            "initial-interval 1; request interface-mtu, routers;",
        )
        .unwrap();
        self.netns.must(&format!(
            "dhclient -4 -1 -q -cf {} -sf {} -lf {} -pf {} eth0",
            dir.join("conf").display(),
            script.display(),
            dir.join("leases").display(),
            pid.display(),
        ));
        // dhclient goes into the background first and writes its id then
        let id = || {
            fs::read_to_string(&pid)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        until("dhclient's id", || !id().is_empty());
        must(&format!("kill {}", id()));
        fs::read_to_string(told).unwrap().trim().to_owned()
    }

    pub fn gateway(&self, address: &str) {
        self.netns
            .must(&format!("ip route replace default via {address}"));
    }
}
