//! A pair of VMs, a client and a server, and the addresses they use.

use crate::{
    error::{BenchError, Context},
    process::{Running, output_within},
    traffic,
};
use lab::{Host, Netns, Plug, Vm, within};
use std::{
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Stdio,
    time::Duration,
};
use uuid::Uuid;

/// Processor of the clients.
pub const CLIENT_CPU: usize = 0;
/// Processor of the servers.
pub const SERVER_CPU: usize = 1;
/// MTU of the VMs: what VXLAN leaves of an underlay with 1500.
pub const MTU: u16 = 1450;
/// Where iperf3 listens.
const IPERF_PORT: u16 = 5201;
/// How long a fresh pair may take to reach each other.
const REACHED: Duration = Duration::from_secs(30);
/// Room for short connections, addresses usable at once.
const SYSCTLS: &[(&str, &str)] = &[
    ("ipv4/ip_local_port_range", "1024 65535"),
    ("ipv4/tcp_tw_reuse", "1"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/eth0/accept_ra", "0"),
];

/// A place on a subnet.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Number of the subnet.
    pub subnet: u8,
    /// Number on it.
    pub number: u8,
}

/// The client of every pair.
pub const CLIENT: Place = Place {
    subnet: 0,
    number: 11,
};
/// A server on the client's subnet.
pub const SERVER: Place = Place {
    subnet: 0,
    number: 12,
};
/// A server on the other subnet.
pub const FAR_SERVER: Place = Place {
    subnet: 1,
    number: 12,
};

impl Place {
    /// Its IPv4 address.
    pub fn v4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.subnet, self.number)
    }

    /// Its IPv6 address.
    pub fn v6(self) -> Ipv6Addr {
        let (subnet, number) = (u16::from(self.subnet), u16::from(self.number));
        Ipv6Addr::new(0xfd77, subnet, 0, 0, 0, 0, 0, number)
    }

    /// A MAC of its own.
    pub fn mac(self) -> String {
        format!("fa:16:3e:77:{:02x}:{:02x}", self.subnet, self.number)
    }
}

/// Plugs a VM into a host and gives it its addresses by hand.
pub fn plug(host: &Host, name: &str, port: Uuid, place: Place) -> Result<Vm, BenchError> {
    let vm = host.plug(
        name,
        Plug {
            port,
            mac: place.mac(),
        },
    )?;
    prepare(vm.netns())?;
    vm.netns().ip(&format!("link set eth0 mtu {MTU}"))?;
    vm.add_address(&format!("{}/24", place.v4()))?;
    vm.add_address(&format!("{}/64", place.v6()))?;
    Ok(vm)
}

/// Makes room for short connections where a client or a server runs.
pub fn prepare(netns: &Netns) -> Result<(), BenchError> {
    for (key, value) in SYSCTLS {
        netns.sysctl(key, value)?;
    }
    Ok(())
}

/// Gives a VM its default routes.
pub fn route(vm: &Vm, gateway: Place) -> Result<(), BenchError> {
    vm.add_route(&format!("default via {}", gateway.v4()))?;
    vm.add_route(&format!("default via {}", gateway.v6()))?;
    Ok(())
}

/// A client and a server that can reach each other, mostly two VMs.
pub struct Pair {
    client: Netns,
    /// IPv4 address of the server.
    pub v4: IpAddr,
    /// IPv6 address of the server.
    pub v6: IpAddr,
    _servers: [Running; 2],
}

impl Pair {
    /// Two VMs, the server at a place.
    pub fn new(client: &Vm, server: &Vm, place: Place) -> Result<Self, BenchError> {
        let addresses = [place.v4().into(), place.v6().into()];
        Self::between(client.netns(), server.netns(), addresses)
    }

    /// Starts the servers and waits until both addresses, IPv4 first, answer to the client.
    pub fn between(
        client: &Netns,
        server: &Netns,
        [v4, v6]: [IpAddr; 2],
    ) -> Result<Self, BenchError> {
        client.ping_until(v4, REACHED)?;
        client.ping_until(v6, REACHED)?;
        let servers = [start_traffic(server)?, start_iperf(server)?];
        wait_listening(server)?;
        Ok(Self {
            client: client.clone(),
            v4,
            v6,
            _servers: servers,
        })
    }

    /// Runs a command in the client's VM and reads what it prints.
    pub fn client(
        &self,
        limit: Duration,
        program: &str,
        words: &[&str],
    ) -> Result<String, BenchError> {
        output_within(&self.client, limit, program, words)
    }
}

fn start_traffic(vm: &Netns) -> Result<Running, BenchError> {
    let mut command = vm.command(this_program()?)?;
    command.args(["traffic", "server", "--cpu", &SERVER_CPU.to_string()]);
    Running::start(command.args(["--port", &traffic::PORT.to_string()]))
}

fn start_iperf(vm: &Netns) -> Result<Running, BenchError> {
    let mut command = vm.command("iperf3")?;
    command.args(["--server", "--affinity", &SERVER_CPU.to_string()]);
    Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

fn wait_listening(netns: &Netns) -> Result<(), BenchError> {
    let ports = [traffic::PORT, IPERF_PORT].map(|port| format!(":{port} "));
    within("servers to listen", REACHED, || {
        let listening = netns.run("ss -Hltn").map_err(|e| e.to_string())?;
        match ports.iter().all(|port| listening.contains(port)) {
            true => Ok(()),
            false => Err(listening),
        }
    })?;
    Ok(())
}

/// Path of this program, to run it inside a namespace.
pub fn this_program() -> Result<String, BenchError> {
    let path = env::current_exe().context("find this program")?;
    Ok(path.to_string_lossy().into_owned())
}
