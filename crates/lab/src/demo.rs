//! The main job, end to end: an operator's Neutron, our plugin, cluster and agents, and packets.
//!
//! Two networks with both families behind one router; three VMs on the first, one on the second,
//! two per host, so that every kind of path exists. The router's gateway is on an external network;
//! the edge router on it has an uplink on each of two more hosts, which lead to a router that runs
//! FRR and a host behind it:
//!
//! ```text
//!        front 10.10.1.0/24 fd10:10:1::/64     back 10.10.2.0/24 fd10:10:2::/64
//!            │         │         │                   │
//!          web1      web2      web3  ───(tenant)─── db1
//!          └──── h1 ────┘      └───────── h2 ────────┘
//!                                        │ public 198.51.100.0/24 2001:db8:100::/64
//!                                 ┌───(edge)───┐
//!                              uplink1      uplink2
//!                              └ g1 ┘        └ g2 ┘
//!                                 └─ upstream ─┘
//!                                        │
//!                                     outside
//! ```

mod checks;
mod outside;
mod tenant;

use crate::{Agent, Cluster, Host, Lab, LabError, OpenStack, Uplink, Upstream, Vm, wait::within};
use checks::Table;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    time::{Duration, Instant},
};
use tenant::Tenant;

/// How long Neutron gets to show a port ACTIVE once its tap is there.
const ACTIVE_LIMIT: Duration = Duration::from_secs(30);

/// Everything that runs.
#[expect(missing_docs, reason = "named for what they are")]
#[derive(Debug)]
pub struct Demo {
    pub cluster: Cluster,
    /// Those of the gateways first.
    pub agents: Vec<Agent>,
    pub hosts: Vec<Host>,
    pub openstack: OpenStack,
    pub guests: Vec<Guest>,
    pub shore: Shore,
    /// Whether every check passed.
    pub passed: bool,
}

/// Where the virtual network meets the outside.
#[expect(missing_docs, reason = "named for what they are")]
#[derive(Debug)]
pub struct Shore {
    pub gateways: Vec<Host>,
    pub uplinks: Vec<Uplink>,
    pub upstream: Upstream,
    /// That of the last VM.
    pub floating_ip: Ipv4Addr,
}

/// A VM with what it was given.
#[expect(missing_docs, reason = "named for what they are")]
#[derive(Debug)]
pub struct Guest {
    pub vm: Vm,
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

impl Guest {
    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }
}

/// Starts the demo with its files in `dir` and leaves it running; gives whether all checks passed.
pub fn up(dir: &Path) -> Result<bool, LabError> {
    stop(dir)?;
    let mut lab = Lab::demo(dir)?;
    let demo = run(&mut lab)?;
    print_use(&demo, dir);
    Ok(demo.passed)
}

/// Stops the demo and removes everything it made.
pub fn stop(dir: &Path) -> Result<(), LabError> {
    Lab::remove_demo(dir)
}

/// Runs the demo in a lab: what it does, and the table of what passed, go to standard output.
pub fn run(lab: &mut Lab) -> Result<Demo, LabError> {
    let mut clock = Clock::new();
    clock.step(
        "Keystone, Neutron with networking-midonet, the cluster, two hosts and two gateways \
         with agents, a router upstream",
    );
    let openstack = OpenStack::prepare(lab);
    let cluster = lab.start_cluster(openstack.auth())?;
    let hosts = vec![lab.add_host("h1")?, lab.add_host("h2")?];
    let gateways = vec![lab.add_host("g1")?, lab.add_host("g2")?];
    let mut upstream = lab.add_upstream("up", &outside::PREFIXES)?;
    let uplinks = gateways
        .iter()
        .map(|gateway| upstream.add_link(gateway))
        .collect::<Result<Vec<_>, _>>()?;
    let mut agents = gateways
        .iter()
        .chain(&hosts)
        .map(Host::start_agent)
        .collect::<Result<Vec<_>, _>>()?;
    openstack.start(&cluster.url())?;

    clock.step("networks, routers, uplinks, security groups and ports, by Neutron's API");
    let tenant = Tenant::new(openstack.neutron()?);
    let ends: Vec<_> = gateways.iter().zip(&uplinks).collect();
    let ports = tenant.build(&ends)?;
    let floating_ip = tenant.floating_ip(ports.last().expect("there are ports"))?;
    let shore = Shore {
        gateways,
        uplinks,
        upstream,
        floating_ip,
    };

    clock.step("four VMs: tap, DHCP, router advertisement");
    let guests = plug(&hosts, ports)?;
    for guest in &guests {
        println!(
            "  {:5} {:15} {:28} {}",
            guest.vm.name(),
            guest.v4,
            guest.v6,
            guest.vm.tap()
        );
    }
    for guest in &guests {
        wait_active(&tenant, &guest.vm)?;
    }
    println!("  Neutron shows all ports ACTIVE");

    clock.step("checks");
    let mut table = Table::default();
    checks::run(&mut table, &guests)?;
    checks::outside(&mut table, &shore, &guests, &mut agents[0])?;
    table.print();
    let explained = checks::trace(&cluster, &openstack, &guests)?;
    let passed = table.passed() && explained;
    clock.step(if passed {
        "all checks passed"
    } else {
        "CHECKS FAILED"
    });
    Ok(Demo {
        passed,
        cluster,
        agents,
        hosts,
        openstack,
        guests,
        shore,
    })
}

/// Plugs every port on its host and waits for its addresses, all VMs at a time.
fn plug(hosts: &[Host], ports: Vec<tenant::Port>) -> Result<Vec<Guest>, LabError> {
    let boot = |port: tenant::Port| -> Result<Guest, LabError> {
        let host = hosts
            .iter()
            .find(|h| h.name() == port.host)
            .expect("ports name our hosts");
        let vm = host.plug(port.name, port.plug)?;
        let lease = vm.dhcp()?;
        let v6 = vm.slaac()?;
        Ok(Guest {
            vm,
            v4: lease.address,
            v6,
        })
    };
    std::thread::scope(|scope| {
        let booting: Vec<_> = ports
            .into_iter()
            .map(|p| scope.spawn(move || boot(p)))
            .collect();
        let booted = booting.into_iter().map(|b| {
            b.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        booted.collect()
    })
}

fn wait_active(tenant: &Tenant, vm: &Vm) -> Result<(), LabError> {
    within(
        &format!("ACTIVE status of {}", vm.name()),
        ACTIVE_LIMIT,
        || match tenant.port_status(vm.port()).map_err(|e| e.to_string())? {
            status if status == "ACTIVE" => Ok(()),
            status => Err(status),
        },
    )
}

/// Tells the operator what runs and how to look at it.
fn print_use(demo: &Demo, dir: &Path) {
    let mib = |kib: Option<u64>| kib.map_or("?".to_owned(), |k| (k / 1024).to_string());
    println!("\nRunning now:");
    println!(
        "  cluster   {}  ({} MiB)",
        demo.cluster.url(),
        mib(demo.cluster.resident_kib())
    );
    let hosts = demo.shore.gateways.iter().chain(&demo.hosts);
    for (host, agent) in hosts.zip(&demo.agents) {
        let (netns, memory) = (host.netns().name(), mib(agent.resident_kib()));
        println!(
            "  agent     on {} = namespace {netns}  ({memory} MiB)",
            host.name()
        );
    }
    println!("  Neutron   {}", demo.openstack.neutron_url());
    println!("  logs      {}/*.log", dir.display());
    let web1 = demo.guests.first().expect("the demo has VMs");
    let db1 = demo.guests.last().expect("the demo has VMs");
    let outside = demo.shore.upstream.outside().name();
    println!("\nTry:");
    println!("  . {}", demo.openstack.openrc().display());
    println!("  openstack network list");
    println!("  ip netns exec {} ping {}", web1.vm.netns().name(), db1.v4);
    println!("  ip netns exec {outside} ping {}", demo.shore.floating_ip);
    println!("  target/release/midonet status");
    println!("  ./run demo stop");
}

/// Prints steps with the time that has passed.
struct Clock(Instant);

impl Clock {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn step(&mut self, what: &str) {
        println!("\n[{:5.1} s] {what}", self.0.elapsed().as_secs_f64());
    }
}
