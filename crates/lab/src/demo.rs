//! The main job, end to end: an operator's Neutron, our plugin, cluster and agents, and packets.
//!
//! Two networks with both families behind one router; three VMs on the first, one on the second,
//! two per host, so that every kind of path exists:
//!
//! ```text
//!        front 10.10.1.0/24 fd10:10:1::/64     back 10.10.2.0/24 fd10:10:2::/64
//!            │         │         │       edge        │
//!          web1      web2      web3  ───(router)─── db1
//!          └──── h1 ────┘      └─────── h2 ──────────┘
//! ```

mod checks;
mod tenant;

use crate::{Agent, Cluster, Host, Lab, LabError, OpenStack, Vm, wait::within};
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
    pub agents: Vec<Agent>,
    pub hosts: Vec<Host>,
    pub openstack: OpenStack,
    pub guests: Vec<Guest>,
    /// Whether every check passed.
    pub passed: bool,
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
    clock.step("Keystone, Neutron with networking-midonet, the cluster, two hosts with agents");
    let openstack = OpenStack::prepare(lab);
    let cluster = lab.start_cluster(openstack.auth())?;
    let hosts = vec![lab.add_host("h1")?, lab.add_host("h2")?];
    let agents = hosts
        .iter()
        .map(Host::start_agent)
        .collect::<Result<Vec<_>, _>>()?;
    openstack.start(&cluster.url())?;

    clock.step("two networks, a router, security groups and ports, by Neutron's API");
    let tenant = Tenant::new(openstack.neutron()?);
    let ports = tenant.build()?;

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
    for (host, agent) in demo.hosts.iter().zip(&demo.agents) {
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
    println!("\nTry:");
    println!("  . {}", demo.openstack.openrc().display());
    println!("  openstack network list");
    println!("  ip netns exec {} ping {}", web1.vm.netns().name(), db1.v4);
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
