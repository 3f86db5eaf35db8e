//! An agent on a host.

use crate::{
    Host, LabError, Process, Program, cluster::SYNC_PORT, error::Context, nova, slot::BPFFS,
    wait::within,
};
use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    time::Duration,
};

/// Connections a lab's agent has room for; a host's default would cost each test 100 MiB.
const CONNECTIONS: u32 = 65_536;
/// How long an agent gets until its local API answers.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running `midonet-agent`.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    socket: PathBuf,
}

impl Agent {
    pub(crate) fn start(host: &Host) -> Result<Self, LabError> {
        let socket = host.dir().join("agent.sock");
        let config = host.dir().join("agent.toml");
        std::fs::write(&config, configuration(host, &socket))
            .what(|| format!("writing {}", config.display()))?;
        let program = Program {
            name: format!("agent-{}", host.name()),
            path: host.shared.program("midonet-agent")?,
            args: vec!["--config".into(), config.into()],
            env: BTreeMap::from([("RUST_LOG".to_owned(), "info".to_owned())]),
            netns: Some(host.netns().clone()),
        };
        let slot = &host.shared.slot;
        let process = Process::start(program, slot.dir(), slot.stays())?;
        let mut agent = Self { process, socket };
        agent.wait_ready()?;
        Ok(agent)
    }

    /// Socket of its local API.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits until its local API answers.
    pub fn wait_ready(&mut self) -> Result<(), LabError> {
        let Self { process, socket } = self;
        within("agent's local API", START_LIMIT, || {
            if !process.is_running() {
                return Err(format!("the agent has ended\n{}", process.log_tail()));
            }
            std::os::unix::net::UnixStream::connect(&*socket)
                .map(drop)
                .map_err(|e| e.to_string())
        })
    }

    /// Starts it again after it was killed or stopped, and waits until it answers.
    pub fn restart(&mut self) -> Result<(), LabError> {
        self.process.start_again()?;
        self.wait_ready()
    }
}

impl Deref for Agent {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Agent {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn configuration(host: &Host, socket: &Path) -> String {
    let shared = &host.shared;
    format!(
        "[host]\nname = \"{name}\"\nstate_dir = \"{state}\"\ntunnel_ip = \"{tunnel}\"\n\n\
         [cluster]\naddress = [\"{cluster}:{SYNC_PORT}\"]\nsecret = \"{secret}\"\n\n\
         [datapath]\nconnections = {CONNECTIONS}\npin_dir = \"{BPFFS}/midonet/{prefix}{name}\"\n\n\
         [metadata]\nnova = \"http://{cluster}:{nova}\"\nshared_secret = \"{secret}\"\n\n\
         [api]\nsocket = \"{socket}\"\n",
        name = host.name(),
        state = host.dir().display(),
        tunnel = host.address(),
        cluster = shared.address4(1),
        nova = nova::PORT,
        secret = shared.secret,
        prefix = shared.slot.prefix(),
        socket = socket.display(),
    )
}
