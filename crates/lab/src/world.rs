//! A lab: an underlay with hosts on it.

use crate::{
    Auth, Cluster, Host, LabError, Netns, Nova, Upstream,
    error::Context,
    nova,
    programs::{ip, program},
    slot::Slot,
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::Arc,
};

/// MTU of the underlay: room for 1450 bytes of a VM in VXLAN over either family.
const UNDERLAY_MTU: u32 = 1550;
/// Lines of each log that a failed test shows.
const LOG_LINES: usize = 60;

/// One underlay, the hosts on it, and an address on it for the control side, which runs in the
/// namespace of the caller. Dropping a lab removes all of it, except the demo's.
#[derive(Debug)]
pub struct Lab {
    shared: Arc<Shared>,
    hosts: u8,
}

/// What hosts, VMs and programs need of their lab.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) slot: Slot,
    pub(crate) underlay: Netns,
    /// What agents and the cluster know each other by.
    pub(crate) secret: String,
    /// Where the programs are, if not beside the running one.
    programs: Option<PathBuf>,
}

impl Lab {
    /// A new lab in a slot of its own. Labs whose process is gone are removed first.
    pub fn new() -> Result<Self, LabError> {
        Self::build(Slot::take()?, None)
    }

    /// The same with the agents and the cluster of another build, for comparisons.
    pub fn with_programs(folder: &Path) -> Result<Self, LabError> {
        Self::build(Slot::take()?, Some(folder.to_owned()))
    }

    /// The demo's lab, with its files in `dir`; it stays when the program ends.
    pub(crate) fn demo(dir: &Path) -> Result<Self, LabError> {
        let slot = Slot::demo(dir)?;
        slot.claim_demo()?;
        Self::build(slot, None)
    }

    /// Removes the demo's lab, however far it got.
    pub(crate) fn remove_demo(dir: &Path) -> Result<(), LabError> {
        Slot::demo(dir)?.sweep()
    }

    fn build(slot: Slot, programs: Option<PathBuf>) -> Result<Self, LabError> {
        linux::mount_bpffs().what(|| "mounting the BPF file system".to_owned())?;
        let underlay = Netns::create(&format!("{}net", slot.prefix()))?;
        underlay.ip("link add br0 type bridge")?;
        underlay.ip(&format!("link set br0 mtu {UNDERLAY_MTU} up"))?;
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let shared = Arc::new(Shared {
            slot,
            underlay,
            secret,
            programs,
        });
        shared.join_control()?;
        Ok(Self { shared, hosts: 0 })
    }

    /// One more host on the underlay, called `name` within the lab.
    pub fn add_host(&mut self, name: &str) -> Result<Host, LabError> {
        self.hosts += 1;
        Host::create(&self.shared, name, 10 + self.hosts)
    }

    /// Starts the cluster and waits until it answers.
    pub fn start_cluster(&self, auth: Auth) -> Result<Cluster, LabError> {
        Cluster::start(&self.shared, auth)
    }

    /// An upstream router without links yet, called `name` within the lab, which sends packets for
    /// `prefixes` over its links.
    pub fn add_upstream(&self, name: &str, prefixes: &[&str]) -> Result<Upstream, LabError> {
        Upstream::create(&self.shared, name, prefixes)
    }

    /// Starts a stand-in for Nova's metadata API where agents look for it.
    pub fn start_nova(&self) -> Result<Nova, LabError> {
        let address = SocketAddrV4::new(self.control_address(), nova::PORT);
        Nova::start(address, &self.shared.secret)
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.shared.slot
    }

    /// Where the lab's files are: configurations, logs, stores.
    pub fn dir(&self) -> &Path {
        self.shared.slot.dir()
    }

    /// Address of the control side on the underlay.
    pub fn control_address(&self) -> Ipv4Addr {
        self.shared.address4(1)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.shared.slot.stays() {
            return;
        }
        if std::thread::panicking() {
            self.shared.print_logs();
        }
        if let Err(e) = self.shared.slot.sweep() {
            eprintln!("lab {}: {e}", self.shared.slot.prefix());
        }
    }
}

impl Shared {
    /// Path of an agent or a cluster.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf, LabError> {
        match &self.programs {
            Some(folder) => Ok(folder.join(name)),
            None => program(name),
        }
    }

    /// An IPv4 address on the underlay.
    pub(crate) fn address4(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(100, 100, self.slot.number(), host)
    }

    /// An IPv6 address on the underlay.
    pub(crate) fn address6(&self, host: u8) -> Ipv6Addr {
        let slot = u16::from(self.slot.number());
        Ipv6Addr::new(0xfd00, 0x6d6e, 0, slot, 0, 0, 0, u16::from(host))
    }

    /// Both addresses of a host with their prefix lengths.
    pub(crate) fn addresses(&self, host: u8) -> [(IpAddr, u8); 2] {
        [
            (self.address4(host).into(), 24),
            (self.address6(host).into(), 64),
        ]
    }

    /// Joins a namespace to the underlay; `far` is the bridge's end of the cable.
    pub(crate) fn join(&self, netns: &Netns, host: u8) -> Result<(), LabError> {
        let (near, underlay) = (netns.name(), self.underlay.name());
        ip(&format!(
            "link add name eth0 mtu {UNDERLAY_MTU} netns {near} type veth \
             peer name p{host} mtu {UNDERLAY_MTU} netns {underlay}"
        ))?;
        self.underlay
            .ip(&format!("link set p{host} master br0 up"))?;
        netns.ip("link set eth0 up")?;
        for (address, length) in self.addresses(host) {
            netns.ip(&format!(
                "addr add {address}/{length} dev eth0{}",
                no_dad(address)
            ))?;
        }
        Ok(())
    }

    /// Gives the caller's own namespace the first address of the underlay.
    fn join_control(&self) -> Result<(), LabError> {
        let (near, underlay) = (self.slot.uplink(), self.underlay.name());
        ip(&format!(
            "link add name {near} mtu {UNDERLAY_MTU} type veth \
             peer name ctl mtu {UNDERLAY_MTU} netns {underlay}"
        ))?;
        self.underlay.ip("link set ctl master br0 up")?;
        ip(&format!("link set {near} up"))?;
        ip(&format!("addr add {}/24 dev {near}", self.address4(1)))?;
        Ok(())
    }

    /// Shows the ends of all logs, for a test that has failed.
    fn print_logs(&self) {
        let folders = [
            self.slot.dir().to_owned(),
            self.slot.dir().join("openstack/log"),
        ];
        let entries = folders
            .iter()
            .filter_map(|f| std::fs::read_dir(f).ok())
            .flatten()
            .flatten();
        for path in entries
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "log"))
        {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let first = lines.len().saturating_sub(LOG_LINES);
            eprintln!("--- {}\n{}", path.display(), lines[first..].join("\n"));
        }
    }
}

/// Addresses of the underlay are ours by construction: nobody needs to be asked for them.
fn no_dad(address: IpAddr) -> &'static str {
    if address.is_ipv6() { " nodad" } else { "" }
}
