//! The members bench: what one more member of a large remote group costs.
//!
//! Every host has a VM that may be reached by members of a group, and pings a VM which may not be
//! reached yet. That VM is made a member; when all pings are answered the change is in force
//! everywhere. Then members without VMs are added, and the agents' processor time is read before
//! and after each.

use crate::{
    error::BenchError,
    pinger::Pinger,
    report::{self, Line},
    stats::Summary,
};
use clap::Args;
use lab::{Agent, Auth, Cluster, Host, Http, Lab, Plug, Vm, within};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// What is promised, milliseconds.
const IN_FORCE_MS: f64 = 200.0;
const PROCESSOR_MS: f64 = 5.0;
/// Longest wait for an answer, and for the agents to follow.
const LIMIT: Duration = Duration::from_secs(30);
/// Time in which an agent has done all that a change asks of it, the saving of its topology too.
const QUIET: Duration = Duration::from_secs(4);
/// Numbers on the subnet: the VM that is pinged, the first that pings, the first other member.
const PINGED: u16 = 10;
const PINGING: u16 = 20;
const OTHERS: u16 = 0x1000;
const PROJECT: &str = "bench";

/// What the members bench is told.
#[derive(Debug, Args)]
#[group(id = "members options")]
pub struct Options {
    /// Members of the group, spread over the hosts
    #[arg(long, default_value_t = 2000)]
    members: u16,
    /// Hosts
    #[arg(long, default_value_t = 3)]
    hosts: u16,
    /// How often a member is added
    #[arg(long, default_value_t = 10)]
    repeats: u16,
}

/// Starts a cluster and agents, fills the group, adds members.
pub fn run(options: &Options) -> Result<Vec<Line>, BenchError> {
    let mut lab = Lab::new()?;
    let site = Site::new(&mut lab, options)?;
    let in_force = (0..options.repeats)
        .map(|_| site.time_of_a_member())
        .collect::<Result<Vec<f64>, _>>()?;
    let mut processor = Vec::new();
    for number in 0..options.repeats {
        let idle = site.processor_of(|| Ok(()))?;
        let number = OTHERS + options.members + number;
        let busy = site.processor_of(|| site.other(number))?;
        // what the busiest host spent on it
        let spent = busy.iter().zip(&idle).map(|(busy, idle)| busy - idle);
        processor.push(spent.fold(0.0, f64::max));
    }
    Ok(vec![
        line("member_in_force", &in_force, "200 ms", IN_FORCE_MS),
        line("member_processor_time", &processor, "5 ms", PROCESSOR_MS),
    ])
}

/// Milliseconds as a line of the report; here less is better.
fn line(measure: &'static str, taken: &[f64], against: &'static str, theirs: f64) -> Line {
    let ours = Summary::of(taken);
    let ratio = |value: f64| report::rounded(value / theirs, 1e3);
    Line {
        path: "members",
        measure,
        against,
        ratio: ratio(ours.median),
        spread: ratio(ours.upper - ours.lower),
        quartiles: [ratio(ours.lower), ratio(ours.upper)],
        ours: report::rounded(ours.median, 100.0),
        theirs,
        unit: "ms",
        pairs: taken.len(),
    }
}

/// A network with a full group.
struct Site {
    http: Http,
    network: Uuid,
    subnet: Uuid,
    group: Uuid,
    hosts: Vec<Host>,
    pinged: (Uuid, Vm),
    pinging: Vec<Vm>,
    agents: Vec<Agent>,
    _cluster: Cluster,
}

impl Site {
    fn new(lab: &mut Lab, options: &Options) -> Result<Self, BenchError> {
        let cluster = lab.start_cluster(Auth::Static)?;
        let http = cluster.http();
        let (network, subnet, group) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        post(&http, "networks", network_body(network))?;
        post(&http, "subnets", subnet_body(subnet, network))?;
        post(&http, "security_groups", group_body(group))?;
        let mut hosts = Vec::new();
        for number in 1..=options.hosts {
            hosts.push(lab.add_host(&format!("m{number}"))?);
        }
        let agents = hosts.iter().map(Host::start_agent);
        let agents = agents.collect::<Result<Vec<Agent>, _>>()?;
        let pinged = Uuid::new_v4();
        let mut site = Self {
            http,
            network,
            subnet,
            group,
            pinged: (pinged, vm(&hosts[0], pinged, PINGED)?),
            pinging: Vec::new(),
            hosts,
            agents,
            _cluster: cluster,
        };
        let nobody = site.port(pinged, 0, PINGED, &[]);
        post(&site.http, "ports", nobody)?;
        site.fill(options)?;
        site.follow()?;
        Ok(site)
    }

    fn fill(&mut self, options: &Options) -> Result<(), BenchError> {
        for (host, number) in (PINGING..PINGING + options.hosts).enumerate() {
            let id = Uuid::new_v4();
            post(
                &self.http,
                "ports",
                self.port(id, host, number, &[self.group]),
            )?;
            self.pinging.push(vm(&self.hosts[host], id, number)?);
        }
        eprintln!("adding {} members", options.members);
        (0..options.members).try_for_each(|n| self.other(OTHERS + n))
    }

    /// A member without a VM.
    fn other(&self, number: u16) -> Result<(), BenchError> {
        let host = usize::from(number) % self.hosts.len();
        let body = self.port(Uuid::new_v4(), host, number, &[self.group]);
        post(&self.http, "ports", body)
    }

    /// Makes the pinged VM a member; milliseconds until the VM of each host reaches it. Then it is
    /// none again.
    fn time_of_a_member(&self) -> Result<f64, BenchError> {
        let start = |vm: &Vm| Pinger::start(vm.netns(), address(PINGED), LIMIT);
        let pingers = self.pinging.iter().map(start);
        let pingers = pingers.collect::<Result<Vec<Pinger>, _>>()?;
        let asked = Instant::now();
        self.set_groups(&[self.group])?;
        let mut last = asked;
        for pinger in pingers {
            last = last.max(pinger.answered()?);
        }
        self.set_groups(&[])?;
        self.follow()?;
        Ok(last.duration_since(asked).as_secs_f64() * 1e3)
    }

    fn set_groups(&self, groups: &[Uuid]) -> Result<(), BenchError> {
        let path = format!("/neutron/ports/{}", self.pinged.0);
        let revision = self.http.get(&path)?["revision_number"].as_u64();
        let mut body = self.port(self.pinged.0, 0, PINGED, groups);
        body["revision_number"] = json!(revision.unwrap_or_default() + 1);
        self.http.put(&path, &body)?;
        Ok(())
    }

    /// Milliseconds of processor time that each agent spends while something is done and until all
    /// is quiet.
    fn processor_of(
        &self,
        work: impl FnOnce() -> Result<(), BenchError>,
    ) -> Result<Vec<f64>, BenchError> {
        let read = || {
            self.agents
                .iter()
                .map(|a| threads(a.pid()))
                .collect::<Vec<_>>()
        };
        let before = read();
        work()?;
        thread::sleep(QUIET);
        let spent = |(before, after): (&Threads, Threads)| {
            let thread = |(id, ns): (&u64, &u64)| ns - before.get(id).unwrap_or(&0);
            after.iter().map(thread).sum::<u64>() as f64 / 1e6
        };
        Ok(before.iter().zip(read()).map(spent).collect())
    }

    /// Waits until every agent has what the cluster has.
    fn follow(&self) -> Result<(), BenchError> {
        within("agents to follow", LIMIT, || {
            let status = self.http.get("/status").map_err(|e| e.to_string())?;
            let hosts = status["hosts"].as_array().cloned().unwrap_or_default();
            let late = |h: &&Value| h["revision"].as_u64() < h["revision_wanted"].as_u64();
            match hosts.iter().find(late) {
                None => Ok(()),
                Some(host) => Err(host.to_string()),
            }
        })?;
        Ok(())
    }

    fn port(&self, id: Uuid, host: usize, number: u16, groups: &[Uuid]) -> Value {
        json!({
            "id": id, "name": "", "network_id": self.network, "admin_state_up": true,
            "mac_address": mac(number), "device_owner": "compute:nova", "device_id": id,
            "fixed_ips": [{"subnet_id": self.subnet, "ip_address": address(number)}],
            "binding:host_id": self.hosts[host].name(), "port_security_enabled": true,
            "security_groups": groups,
        })
    }
}

/// Nanoseconds on a processor by thread.
type Threads = BTreeMap<u64, u64>;

/// Those of a process. A thread that ends takes its figure with it, but threads of an agent live
/// longer than one measurement.
fn threads(pid: u32) -> Threads {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    tasks
        .filter_map(|task| {
            let id = task.file_name().to_str()?.parse().ok()?;
            let figures = fs::read_to_string(task.path().join("schedstat")).ok()?;
            Some((id, figures.split_whitespace().next()?.parse().ok()?))
        })
        .collect()
}

fn vm(host: &Host, port: Uuid, number: u16) -> Result<Vm, BenchError> {
    let plug = Plug {
        port,
        mac: mac(number),
    };
    let vm = host.plug(&format!("v{number}"), plug)?;
    vm.add_address(&format!("{}/16", address(number)))?;
    Ok(vm)
}

fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 79, high, low)
}

fn mac(number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    format!("fa:16:3e:79:{high:02x}:{low:02x}")
}

fn post(http: &Http, collection: &str, mut body: Value) -> Result<(), BenchError> {
    body["tenant_id"] = json!(PROJECT);
    body["revision_number"] = json!(1);
    http.post(&format!("/neutron/{collection}"), &body)?;
    Ok(())
}

fn network_body(id: Uuid) -> Value {
    json!({
        "id": id, "name": "members", "admin_state_up": true, "mtu": 1450, "shared": false,
        "router:external": false, "provider:network_type": "midonet",
    })
}

fn subnet_body(id: Uuid, network: Uuid) -> Value {
    json!({
        "id": id, "name": "", "network_id": network, "ip_version": 4, "cidr": "10.79.0.0/16",
        "gateway_ip": null, "enable_dhcp": false, "dns_nameservers": [], "host_routes": [],
        "allocation_pools": [], "shared": false,
    })
}

/// Everything out, in from members.
fn group_body(id: Uuid) -> Value {
    let rule = |direction: &str, remote: Option<Uuid>| {
        json!({
            "id": Uuid::new_v4(), "security_group_id": id, "direction": direction,
            "ethertype": "IPv4", "protocol": null, "port_range_min": null,
            "port_range_max": null, "remote_ip_prefix": null, "remote_group_id": remote,
            "tenant_id": PROJECT, "revision_number": 1,
        })
    };
    json!({
        "id": id, "name": "members", "description": "", "stateful": true,
        "security_group_rules": [rule("egress", None), rule("ingress", Some(id))],
    })
}
