//! A host: a namespace on the underlay that can run an agent and VMs.

use crate::{
    Agent, LabError, Netns, Plug, Process, Program, Uplink, Vm, error::Context, process::kill_all,
    world::Shared,
};
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long killed processes get to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// One host of a lab.
#[derive(Debug)]
pub struct Host {
    pub(crate) shared: Arc<Shared>,
    name: String,
    number: u8,
    netns: Netns,
    dir: PathBuf,
}

impl Host {
    pub(crate) fn create(shared: &Arc<Shared>, name: &str, number: u8) -> Result<Self, LabError> {
        let netns = Netns::create(&format!("{}{name}", shared.slot.prefix()))?;
        shared.join(&netns, number)?;
        let dir = shared.slot.dir().join(name);
        std::fs::create_dir_all(&dir).what(|| format!("making {}", dir.display()))?;
        Ok(Self {
            shared: Arc::clone(shared),
            name: name.to_owned(),
            number,
            netns,
            dir,
        })
    }

    /// What Neutron and Nova call the host.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Where its agent keeps its files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its address on the underlay.
    pub fn address(&self) -> Ipv4Addr {
        self.shared.address4(self.number)
    }

    /// Starts an agent that follows the cluster at the control side's address.
    pub fn start_agent(&self) -> Result<Agent, LabError> {
        Agent::start(self)
    }

    /// Runs a program of the system on it; what it prints goes to a log of this name in [`Self::dir`].
    pub fn start(&self, name: &str, path: &str, args: Vec<String>) -> Result<Process, LabError> {
        let program = Program {
            name: name.to_owned(),
            path: path.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            netns: Some(self.netns.clone()),
        };
        Process::start(program, &self.dir, false)
    }

    /// Takes its power away: every process ends as by `kill -9`, its uplinks and its link to the
    /// underlay fall dark.
    pub fn power_off(&self, uplinks: &[&Uplink]) -> Result<(), LabError> {
        kill_all(&self.netns.pids(), KILL_LIMIT);
        uplinks.iter().try_for_each(|uplink| uplink.fall_dark())?;
        self.netns.ip("link set eth0 down").map(drop)
    }

    /// Gives it its power back; nothing runs on it yet. The kernel has forgotten the IPv6 addresses of
    /// interfaces that were down, so they are given again.
    pub fn power_on(&self, uplinks: &[&Uplink]) -> Result<(), LabError> {
        self.netns.ip("link set eth0 up")?;
        for (address, length) in self.shared.addresses(self.number) {
            let nodad = if address.is_ipv6() { " nodad" } else { "" };
            let line = format!("addr replace {address}/{length} dev eth0{nodad}");
            self.netns.ip(&line)?;
        }
        uplinks.iter().try_for_each(|uplink| uplink.light_up())
    }

    /// Makes a VM called `name` within the lab, and its tap as Nova would.
    pub fn plug(&self, name: &str, plug: Plug) -> Result<Vm, LabError> {
        Vm::create(self, name, plug)
    }
}
