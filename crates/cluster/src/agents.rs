//! Which agents are here, and what they say of themselves. In memory only: being connected is
//! being alive.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use store::Revision;
use sync::{Counters, Heartbeat};
use tokio::sync::Notify;
use topology::{HostId, PortId};

/// What is known of an agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// It is connected.
    pub connected: bool,
    /// Since when it is, or is not.
    pub since: Instant,
    /// Version of its program.
    pub version: String,
    /// Revision it has applied.
    pub applied: Revision,
    /// Revision it was sent.
    pub sent: Revision,
    /// What it counts.
    pub counters: Counters,
    /// Why ports of its host are not up.
    pub down: Arc<BTreeMap<PortId, String>>,
    /// Tells connections of one host apart.
    generation: u64,
    /// Ends the connection.
    replaced: Arc<Notify>,
}

impl Agent {
    /// Revisions it was sent and has not said it applied.
    pub fn lag(&self) -> u64 {
        self.sent.saturating_sub(self.applied)
    }
}

/// The agents by host.
#[derive(Debug, Default)]
pub struct Agents {
    agents: Mutex<HashMap<HostId, Agent>>,
}

/// A place in the table for as long as a connection lasts.
#[derive(Debug)]
pub struct Session {
    host: HostId,
    generation: u64,
    replaced: Arc<Notify>,
}

impl Session {
    /// Returns when a newer connection of the same host has come.
    pub async fn replaced(&self) {
        self.replaced.notified().await;
    }
}

impl Agents {
    /// A connection begins; an older one of the same host is told to end.
    pub fn connect(&self, host: HostId, version: &str) -> Session {
        let mut agents = self.lock();
        let generation = agents.get(&host).map_or(0, |agent| agent.generation) + 1;
        let replaced = Arc::new(Notify::new());
        let agent = Agent {
            connected: true,
            since: Instant::now(),
            version: version.to_owned(),
            applied: 0,
            sent: 0,
            counters: Counters::default(),
            down: Arc::default(),
            generation,
            replaced: Arc::clone(&replaced),
        };
        if let Some(old) = agents.insert(host, agent) {
            old.replaced.notify_one();
        }
        Session {
            host,
            generation,
            replaced,
        }
    }

    /// A connection ends. False if a newer one of the same host is there.
    pub fn disconnect(&self, session: &Session) -> bool {
        self.change(session, |agent| {
            agent.connected = false;
            agent.since = Instant::now();
        })
    }

    /// The agent was sent everything up to a revision.
    pub fn sent(&self, session: &Session, revision: Revision) {
        self.change(session, |agent| agent.sent = revision);
    }

    /// The agent says how it is.
    pub fn heard(&self, session: &Session, heartbeat: Heartbeat) {
        self.change(session, |agent| {
            agent.applied = heartbeat.revision;
            agent.counters = heartbeat.counters;
        });
    }

    /// The agent says why ports are not up.
    pub fn explained(&self, session: &Session, down: BTreeMap<PortId, String>) {
        self.change(session, |agent| agent.down = Arc::new(down));
    }

    /// Whether the connection is the host's latest.
    pub fn is_latest(&self, session: &Session) -> bool {
        self.change(session, |_| {})
    }

    /// Whether the host's agent is here.
    pub fn is_connected(&self, host: HostId) -> bool {
        self.lock().get(&host).is_some_and(|agent| agent.connected)
    }

    /// What is known of a host's agent since the cluster started.
    pub fn get(&self, host: HostId) -> Option<Agent> {
        self.lock().get(&host).cloned()
    }

    /// How many are here.
    pub fn connected(&self) -> usize {
        self.lock().values().filter(|agent| agent.connected).count()
    }

    fn change(&self, session: &Session, change: impl FnOnce(&mut Agent)) -> bool {
        let mut agents = self.lock();
        let agent = agents.get_mut(&session.host);
        let Some(agent) = agent.filter(|agent| agent.generation == session.generation) else {
            return false;
        };
        change(agent);
        true
    }

    /// Each change is one assignment: a panic leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<HostId, Agent>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
