//! What the agent's tasks and its upcall thread share.

use crate::{
    down::Refused,
    metrics::Metrics,
    state::{Bindings, StateDir, StateError},
    world::World,
};
use linux::Link;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::{Notify, watch};
use topology::PortId;

/// See the module.
pub struct Shared<M> {
    world: Mutex<World<M>>,
    bindings: Mutex<Bindings>,
    cluster: Mutex<ClusterLink>,
    state: StateDir,
    /// Counters of the upcall thread.
    pub metrics: Metrics,
    /// Told when there is something to say to other agents.
    pub heard: Notify,
    /// Told whenever the topology or an explicit binding changes.
    pub changed: watch::Sender<()>,
    /// The interfaces of this host.
    pub links: watch::Sender<BTreeMap<u32, Link>>,
    /// The ports whose frames can pass.
    pub up: watch::Sender<BTreeSet<PortId>>,
    /// Ports that got no interface, and why.
    pub refused: watch::Sender<Refused>,
    /// Why ports that Neutron bound here are not up.
    pub down: watch::Sender<BTreeMap<PortId, String>>,
}

/// How the connection to the cluster is.
#[derive(Clone, Debug)]
pub struct ClusterLink {
    /// The node the agent is connected to.
    pub node: Option<String>,
    /// Why the last connection ended or the last attempt failed.
    pub error: Option<String>,
    /// Since when it is like this.
    pub since: Instant,
}

impl<M> Shared<M> {
    /// Of a world, with the explicit bindings that were saved.
    pub fn new(world: World<M>, state: StateDir) -> Result<Self, StateError> {
        let cluster = ClusterLink {
            node: None,
            error: None,
            since: Instant::now(),
        };
        Ok(Self {
            world: Mutex::new(world),
            bindings: Mutex::new(state.bindings()?),
            cluster: Mutex::new(cluster),
            state,
            metrics: Metrics::default(),
            heard: Notify::new(),
            changed: watch::Sender::new(()),
            links: watch::Sender::default(),
            up: watch::Sender::default(),
            refused: watch::Sender::default(),
            down: watch::Sender::default(),
        })
    }

    /// The world, locked. Hold it briefly and never over an await: packets wait for it.
    pub fn world(&self) -> MutexGuard<'_, World<M>> {
        lock(&self.world)
    }

    /// Explicit bindings.
    pub fn bindings(&self) -> Bindings {
        lock(&self.bindings).clone()
    }

    /// Binds a port to an interface, or with `None` takes the binding away; saved before it holds.
    pub fn bind(&self, port: PortId, interface: Option<String>) -> Result<(), StateError> {
        let mut held = lock(&self.bindings);
        let mut next = held.clone();
        match interface {
            Some(interface) => next.insert(port, interface),
            None => next.remove(&port),
        };
        if next != *held {
            self.state.save_bindings(&next)?;
            *held = next;
            self.changed.send_replace(());
        }
        Ok(())
    }

    /// How the connection to the cluster is.
    pub fn cluster(&self) -> ClusterLink {
        lock(&self.cluster).clone()
    }

    /// Connected to `node`, or not because of `error`.
    pub fn set_cluster(&self, node: Option<String>, error: Option<String>) {
        *lock(&self.cluster) = ClusterLink {
            node,
            error,
            since: Instant::now(),
        };
    }

    /// The state directory.
    pub fn state(&self) -> &StateDir {
        &self.state
    }
}

/// A panic while the lock was held ends the agent (see `run`); until then others may look.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
