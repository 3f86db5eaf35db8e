//! A pair of VMs: a client and a server, each a namespace with one interface, `eth0`.

use crate::{
    error::{BenchError, Context},
    netns::Netns,
    process::{Running, output_within, wait_for},
    traffic,
};
use std::{
    env,
    net::IpAddr,
    process::{Command, Stdio},
    time::Duration,
};

/// Processor of the clients.
pub const CLIENT_CPU: usize = 0;
/// Processor of the servers.
pub const SERVER_CPU: usize = 1;
/// How long a fresh pair may take to reach each other.
const REACHED: Duration = Duration::from_secs(20);

/// Two VMs that can reach each other, and all that is kept for them.
pub struct Pair {
    // processes end before their namespaces go
    _servers: Vec<Running>,
    /// Whatever else must live as long.
    _between: Vec<Box<dyn Send>>,
    client: Netns,
    _server: Netns,
    /// IPv4 address of the server.
    pub v4: IpAddr,
    /// IPv6 address of the server.
    pub v6: IpAddr,
}

impl Pair {
    /// Starts the servers in `server`.
    pub fn new(
        client: Netns,
        server: Netns,
        v4: IpAddr,
        v6: IpAddr,
        between: Vec<Box<dyn Send>>,
    ) -> Result<Self, BenchError> {
        let servers = vec![start_traffic(&server)?, start_iperf(&server)?];
        Ok(Self {
            _servers: servers,
            _between: between,
            client,
            _server: server,
            v4,
            v6,
        })
    }

    /// A command in the client's VM.
    pub fn client(&self, program: &str) -> Command {
        self.client.command(program)
    }

    /// Waits until both addresses answer.
    pub fn check(&self) -> Result<(), BenchError> {
        for address in [self.v4, self.v6] {
            let mut ping = self.client("ping");
            ping.args(["-c1", "-W1", "-q", &address.to_string()]);
            let answered = || output_within(&ping, Duration::from_secs(3)).is_ok();
            wait_for(&format!("an answer of {address}"), REACHED, answered)?;
        }
        Ok(())
    }
}

fn start_traffic(vm: &Netns) -> Result<Running, BenchError> {
    let program = this_program()?;
    let mut command = vm.command(&program);
    command.args(["traffic", "server", "--cpu", &SERVER_CPU.to_string()]);
    command.args(["--port", &traffic::PORT.to_string()]);
    Running::start(&mut command)
}

fn start_iperf(vm: &Netns) -> Result<Running, BenchError> {
    let mut command = vm.command("iperf3");
    command.args(["--server", "--affinity", &SERVER_CPU.to_string()]);
    Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Path of this program, to run it inside a namespace.
pub fn this_program() -> Result<String, BenchError> {
    let path = env::current_exe().context("find this program")?;
    Ok(path.to_string_lossy().into_owned())
}
