//! What the agent's tasks and its upcall thread share.

use crate::{
    down::Refused,
    leases::Contact,
    metrics::Metrics,
    state::{Bindings, StateDir, StateError},
    world::World,
};
use linux::Link;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use sync::BlockWish;
use tokio::sync::{Notify, watch};
use topology::{PortId, RouterId};

/// See the module.
pub struct Shared<M> {
    world: Mutex<World<M>>,
    bindings: Mutex<Bindings>,
    cluster: Mutex<ClusterLink>,
    contact: Mutex<Contact>,
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
    /// Blocks of routers' ports that the cluster is asked for.
    pub wishes: watch::Sender<BTreeMap<RouterId, BlockWish>>,
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
        let contact = state
            .contact()?
            .map(|noted| Contact::noted(noted, linux::monotonic_ns()));
        let contact = contact.unwrap_or_default();
        Ok(Self {
            world: Mutex::new(world),
            bindings: Mutex::new(state.bindings()?),
            cluster: Mutex::new(cluster),
            contact: Mutex::new(contact),
            state,
            metrics: Metrics::default(),
            heard: Notify::new(),
            changed: watch::Sender::new(()),
            links: watch::Sender::default(),
            up: watch::Sender::default(),
            refused: watch::Sender::default(),
            down: watch::Sender::default(),
            wishes: watch::Sender::default(),
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

    /// Asks the cluster for these blocks of ports and no others.
    pub fn wish(&self, wishes: BTreeMap<RouterId, BlockWish>) {
        self.wishes.send_if_modified(|held| {
            let changed = *held != wishes;
            *held = wishes;
            changed
        });
    }

    /// The cluster has been heard, and leases are as it says.
    pub fn heard_cluster(&self, reclaim_after: Duration) {
        *lock(&self.contact) = Contact::heard(linux::monotonic_ns(), reclaim_after);
    }

    /// Since when the cluster is out of touch.
    pub fn contact(&self) -> Contact {
        *lock(&self.contact)
    }

    /// Notes for a later process when the cluster was last heard.
    pub fn save_contact(&self) -> Result<(), StateError> {
        match self.contact().note(linux::monotonic_ns()) {
            Some(noted) => self.state.save_contact(&noted),
            None => Ok(()),
        }
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
