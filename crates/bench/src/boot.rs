//! The boot bench: from a created port to the first answered ping of its VM.
//!
//! The VM is there already and pings a VM of the other host without pause. Its tap has a name of
//! its own; as soon as Neutron has answered the agent is told which port that is, as by `mm-ctl`.
//! What is measured is everything between Neutron's answer and the first packet: journal, cluster,
//! agents, kernel.

use crate::{
    error::BenchError,
    pinger::Pinger,
    report::{self, Line},
    stats::Summary,
};
use clap::Args;
use lab::{Agent, Cluster, Host, Http, Lab, OpenStack, Plug, Vm};
use serde_json::{Value, json};
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// What is promised for the median, milliseconds.
const GOAL_MS: f64 = 200.0;
/// Longest wait for the first answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Ports created in one request.
const BULK: usize = 50;
/// VMs try neighbours that do not answer this often; the kernel's second would hide the network's
/// milliseconds.
const RETRY_MS: &str = "5";
/// Number on the subnet of the VM that is pinged, and of the first that pings.
const PEER: u16 = 10;
const FIRST: u16 = 20;
/// Number on the subnet of the first of the other ports.
const OTHERS: u16 = 0x1000;

/// What the boot bench is told.
#[derive(Debug, Args)]
#[group(id = "boot options")]
pub struct Options {
    /// VMs booted, each time
    #[arg(long, default_value_t = 15)]
    count: u16,
    /// Other ports on the network, the second time; 0 leaves that out
    #[arg(long, default_value_t = 1000)]
    others: u16,
}

/// Starts a Neutron, a cluster and two agents, and boots VMs.
pub fn run(options: &Options) -> Result<Vec<Line>, BenchError> {
    let mut lab = Lab::new()?;
    eprintln!("starting Keystone, Neutron, the cluster and two agents");
    let site = Site::new(&mut lab)?;
    let alone = site.boot_many(0, options.count)?;
    let mut lines = vec![line("port_to_first_ping", &alone, "200 ms", GOAL_MS)];
    if options.others > 0 {
        eprintln!("creating {} other ports", options.others);
        site.add_others(options.others)?;
        let crowded = site.boot_many(options.count, options.count)?;
        let before = Summary::of(&alone).median;
        lines.push(line(
            "port_to_first_ping_crowded",
            &crowded,
            "no other ports",
            before,
        ));
    }
    Ok(lines)
}

/// Milliseconds as a line of the report; here less is better.
fn line(measure: &'static str, taken: &[f64], against: &'static str, theirs: f64) -> Line {
    let ours = Summary::of(taken);
    let ratio = |value: f64| report::rounded(value / theirs, 1e3);
    Line {
        path: "boot",
        measure,
        against,
        ratio: ratio(ours.median),
        spread: ratio(ours.upper - ours.lower),
        quartiles: [ratio(ours.lower), ratio(ours.upper)],
        ours: report::rounded(ours.median, 10.0),
        theirs: report::rounded(theirs, 10.0),
        unit: "ms",
        pairs: taken.len(),
    }
}

/// Two hosts, one network, a VM that is pinged.
struct Site {
    neutron: Http,
    network: Uuid,
    subnet: Uuid,
    hosts: [Host; 2],
    _peer: Vm,
    agents: [Agent; 2],
    _cluster: Cluster,
    _openstack: OpenStack,
}

impl Site {
    fn new(lab: &mut Lab) -> Result<Self, BenchError> {
        let openstack = OpenStack::prepare(lab);
        let cluster = lab.start_cluster(openstack.auth())?;
        let hosts = [lab.add_host("h1")?, lab.add_host("h2")?];
        let agents = [hosts[0].start_agent()?, hosts[1].start_agent()?];
        openstack.start(&cluster.url())?;
        let neutron = openstack.neutron()?;
        let network = create(&neutron, "network", json!({"name": "bench"}))?;
        let subnet = json!({
            "network_id": network, "ip_version": 4, "cidr": "10.78.0.0/16",
            "gateway_ip": null, "enable_dhcp": false,
        });
        let subnet = create(&neutron, "subnet", subnet)?;
        let peer = vm(&hosts[1], "peer", PEER)?;
        let made = create(&neutron, "port", port(network, subnet, &hosts[1], PEER))?;
        client::Agent::at(agents[1].socket()).bind(made, &peer.tap())?;
        Ok(Self {
            neutron,
            network,
            subnet,
            hosts,
            _peer: peer,
            agents,
            _cluster: cluster,
            _openstack: openstack,
        })
    }

    /// Boots so many VMs, one after the other; milliseconds of each.
    fn boot_many(&self, done: u16, count: u16) -> Result<Vec<f64>, BenchError> {
        // the first one also waits for what happens once: it is not counted
        self.boot(FIRST + 2 * done)?;
        (1..=count)
            .map(|n| self.boot(FIRST + 2 * done + n))
            .collect()
    }

    fn boot(&self, number: u16) -> Result<f64, BenchError> {
        let host = &self.hosts[0];
        let vm = vm(host, &format!("b{number}"), number)?;
        let pinger = Pinger::start(vm.netns(), address(PEER), LIMIT)?;
        let body = port(self.network, self.subnet, host, number);
        let made = create(&self.neutron, "port", body)?;
        let answered = Instant::now();
        client::Agent::at(self.agents[0].socket()).bind(made, &vm.tap())?;
        let first = pinger.answered()?;
        self.neutron.delete(&format!("/v2.0/ports/{made}"))?;
        vm.unplug()?;
        // an answer to the ping may even overtake Neutron's
        Ok(first.saturating_duration_since(answered).as_secs_f64() * 1e3)
    }

    /// Ports without VMs on both hosts.
    fn add_others(&self, count: u16) -> Result<(), BenchError> {
        let body = |n: u16| {
            json!({
                "network_id": self.network,
                "fixed_ips": [{"subnet_id": self.subnet, "ip_address": address(OTHERS + n)}],
                "device_owner": "compute:nova",
                "binding:host_id": self.hosts[usize::from(n % 2)].name(),
            })
        };
        let bodies: Vec<Value> = (0..count).map(body).collect();
        for part in bodies.chunks(BULK) {
            self.neutron.post("/v2.0/ports", &json!({"ports": part}))?;
        }
        Ok(())
    }
}

/// A VM with its address, on a tap that no port names yet.
fn vm(host: &Host, name: &str, number: u16) -> Result<Vm, BenchError> {
    let vm = host.plug(
        name,
        Plug {
            port: Uuid::new_v4(),
            mac: mac(number),
        },
    )?;
    vm.netns()
        .sysctl("ipv4/neigh/eth0/retrans_time_ms", RETRY_MS)?;
    vm.add_address(&format!("{}/16", address(number)))?;
    Ok(vm)
}

/// The port of such a VM.
fn port(network: Uuid, subnet: Uuid, host: &Host, number: u16) -> Value {
    json!({
        "network_id": network,
        "mac_address": mac(number),
        "fixed_ips": [{"subnet_id": subnet, "ip_address": address(number)}],
        "device_owner": "compute:nova",
        "binding:host_id": host.name(),
    })
}

fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 78, high, low)
}

fn mac(number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    format!("fa:16:3e:78:{high:02x}:{low:02x}")
}

/// Creates one of a kind; its id.
fn create(neutron: &Http, kind: &str, body: Value) -> Result<Uuid, BenchError> {
    let made = neutron.post(&format!("/v2.0/{kind}s"), &json!({ kind: body }))?;
    let id = made[kind]["id"].as_str().and_then(|id| id.parse().ok());
    id.ok_or_else(|| BenchError::Output {
        command: format!("POST {kind}"),
        detail: format!("no id in {made}"),
    })
}
