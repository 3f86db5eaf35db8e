//! The one thread that writes: it plans against what is held, commits, and applies.
//!
//! A request is answered when its transaction is on disk. One after the other keeps planning
//! simple: nothing changes between a plan and its commit.

use crate::{
    agents::Agents,
    leases,
    metrics::Metrics,
    state::{self, Held, HostRecord, Step, WRITER},
    statuses::Statuses,
};
use neutron_model::{Op, Refusal, Request, plan};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::Instant,
};
use store::{CommitError, Revision, Store, Transaction};
use sync::BlockWish;
use tokio::sync::{mpsc, oneshot, watch};
use topology::{HostId, LeaseId, Object, ObjectId, RouterId};
use uuid::Uuid;

/// Requests that may wait for the writer. More are told to come back.
pub const WRITES_WAITING_MAX: usize = 1024;

/// What may be written.
#[derive(Debug)]
pub enum Work {
    /// Requests of Neutron's, all or none.
    Neutron(Vec<Request>),
    /// An agent says who its host is.
    Register {
        /// Identity.
        id: HostId,
        /// Name.
        name: String,
        /// Underlay address.
        tunnel: IpAddr,
        /// Availability zone.
        zone: String,
    },
    /// An operator says, or says no longer, at which address a host is reached.
    Override {
        /// The host.
        id: HostId,
        /// The address.
        tunnel: Option<IpAddr>,
    },
    /// An operator takes traffic off a host's uplinks, or lets it back.
    Drain {
        /// The host.
        id: HostId,
        /// Whether it is taken off.
        draining: bool,
    },
    /// An operator drops a host.
    DeleteHost(HostId),
    /// A host wishes for blocks of routers' ports, or has no use for some.
    Blocks {
        /// Name of the host.
        host: String,
        /// Its wishes.
        wishes: Vec<BlockWish>,
    },
    /// A host has been away for so long that others may have its blocks.
    Reclaim(HostId),
    /// Leases on these routers end if the routers translate no sources any more.
    Audit(BTreeSet<RouterId>),
}

/// Nothing was written, and why.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The model refuses.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// Which request of several.
        index: usize,
    },
    /// There is no such host.
    #[error("host {0} does not exist")]
    NoHost(HostId),
    /// The host is in use.
    #[error("host {0} {1}")]
    HostInUse(HostId, &'static str),
    /// Another host that is here has the name.
    #[error("the host name {name} belongs to host {other}, whose agent is connected")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        other: HostId,
    },
    /// Too many wait.
    #[error("{WRITES_WAITING_MAX} requests are waiting to be written")]
    Busy,
    /// The store failed.
    #[error("{0}")]
    Store(String),
    /// The cluster is stopping.
    #[error("the cluster is stopping")]
    Stopping,
}

struct Job {
    work: Work,
    answer: oneshot::Sender<Result<Revision, WriteError>>,
}

/// Hands work to the writer.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
}

impl Writer {
    /// Writes; returns the revision that has it.
    pub async fn write(&self, work: Work) -> Result<Revision, WriteError> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(Job { work, answer })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => WriteError::Busy,
                mpsc::error::TrySendError::Closed(_) => WriteError::Stopping,
            })?;
        answered.await.map_err(|_| WriteError::Stopping)?
    }
}

/// What the writer works on.
pub struct Desk {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What is held.
    pub held: Arc<RwLock<Held>>,
    /// Which revision made this process the writer.
    pub fence: Revision,
    /// Told each new revision.
    pub revisions: watch::Sender<Revision>,
    /// Which agents are here.
    pub agents: Arc<Agents>,
    /// Which ports are up.
    pub statuses: Arc<Statuses>,
    /// Figures.
    pub metrics: Arc<Metrics>,
}

impl Desk {
    /// Starts the writer. It ends when the last handle is dropped.
    pub fn start(self) -> std::io::Result<(Writer, thread::JoinHandle<()>)> {
        let (queue, mut jobs) = mpsc::channel::<Job>(WRITES_WAITING_MAX);
        let thread = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                while let Some(job) = jobs.blocking_recv() {
                    // who asked may have gone; the work is done all the same
                    let _ = job.answer.send(self.carry_out(&job.work));
                }
            })?;
        Ok((Writer { queue }, thread))
    }

    fn carry_out(&self, work: &Work) -> Result<Revision, WriteError> {
        let steps = self.steps(work)?;
        if steps.is_empty() {
            return Ok(self.read().revision);
        }
        let revision = self.commit(&steps)?;
        let routers = touched_routers(&steps);
        self.apply(steps, revision);
        if routers.is_empty() {
            return Ok(revision);
        }
        // leases follow what they stand on; if this fails the cluster does it when it starts again
        if let Err(error) = self.carry_out(&Work::Audit(routers)) {
            tracing::warn!(%error, "leases on routers that changed stay for now");
        }
        Ok(revision)
    }

    fn steps(&self, work: &Work) -> Result<Vec<Step>, WriteError> {
        let held = self.read();
        match work {
            Work::Neutron(requests) => neutron(requests, &held),
            Work::Register {
                id,
                name,
                tunnel,
                zone,
            } => {
                let record = HostRecord {
                    id: *id,
                    name: name.clone(),
                    reported: *tunnel,
                    overridden: None,
                    zone: zone.clone(),
                    draining: false,
                };
                self.register(record, &held)
            }
            Work::Override { id, tunnel } => {
                let mut record = held.hosts.get(id).cloned().ok_or(WriteError::NoHost(*id))?;
                record.overridden = *tunnel;
                Ok(vec![Step::PutHost(record)])
            }
            Work::Drain { id, draining } => {
                let mut record = held.hosts.get(id).cloned().ok_or(WriteError::NoHost(*id))?;
                let changes = record.draining != *draining;
                record.draining = *draining;
                Ok(Vec::from_iter(changes.then_some(Step::PutHost(record))))
            }
            Work::DeleteHost(id) => self.delete_host(*id, &held),
            Work::Blocks { host, wishes } => {
                let changes = leases::answer(&held.state.topology, host, wishes);
                Ok(changes.into_iter().map(lease_step).collect())
            }
            Work::Reclaim(id) => {
                let gone = held
                    .hosts
                    .get(id)
                    .filter(|_| !self.agents.is_connected(*id));
                let name = gone.map(|record| record.name.as_str());
                Ok(name.map(|name| leases_of(name, &held)).unwrap_or_default())
            }
            Work::Audit(routers) => {
                let lost = leases::groundless(&held.state.topology, routers);
                Ok(lost.into_iter().map(end_lease).collect())
            }
        }
    }

    /// A host that comes back with a new identity takes its name from the old one, which is gone.
    /// What an operator has said of it stays.
    fn register(&self, agent: HostRecord, held: &Held) -> Result<Vec<Step>, WriteError> {
        let (id, name) = (agent.id, &agent.name);
        let mut steps = Vec::new();
        if let Some(other) = held.host_named(name).filter(|host| host.id != id) {
            if self.agents.is_connected(other.id) {
                return Err(WriteError::NameTaken {
                    name: name.clone(),
                    other: other.id,
                });
            }
            steps.push(Step::DeleteHost(other.id));
        }
        let old = held.hosts.get(&id);
        let record = HostRecord {
            overridden: old.and_then(|record| record.overridden),
            draining: old.is_some_and(|record| record.draining),
            ..agent
        };
        if old != Some(&record) {
            steps.push(Step::PutHost(record));
        }
        Ok(steps)
    }

    fn delete_host(&self, id: HostId, held: &Held) -> Result<Vec<Step>, WriteError> {
        let record = held.hosts.get(&id).ok_or(WriteError::NoHost(id))?;
        if self.agents.is_connected(id) {
            return Err(WriteError::HostInUse(
                id,
                "is alive: its agent is connected",
            ));
        }
        let mut ports = held.state.topology.ports();
        if ports.any(|port| port.host() == Some(&record.name)) {
            return Err(WriteError::HostInUse(id, "has ports bound to it"));
        }
        let mut steps = leases_of(&record.name, held);
        steps.push(Step::DeleteHost(id));
        Ok(steps)
    }

    fn commit(&self, steps: &[Step]) -> Result<Revision, WriteError> {
        let started = Instant::now();
        let mut transaction = Transaction::default();
        transaction.expect(WRITER, Some(self.fence));
        for step in steps {
            state::write(step, &mut transaction).map_err(|e| WriteError::Store(e.to_string()))?;
        }
        let committed = self.store.commit(&transaction);
        self.metrics.committed(started.elapsed(), committed.is_ok());
        committed.map_err(|error| {
            tracing::error!(%error, "commit failed");
            WriteError::Store(match error {
                CommitError::Conflict { .. } => {
                    "another cluster process has taken the store over".to_owned()
                }
                CommitError::Failed(error) => error.to_string(),
            })
        })
    }

    fn apply(&self, steps: Vec<Step>, revision: Revision) {
        let gone: Vec<_> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Op(Op::Delete(ObjectId::Port(id))) => Some(*id),
                _ => None,
            })
            .collect();
        // a panic in apply would leave half a change; the next start reads the store again
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        for step in steps {
            held.apply(step, revision);
        }
        drop(held);
        self.statuses.forget(&gone);
        self.revisions.send_replace(revision);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lease_step(change: leases::Change) -> Step {
    match change {
        leases::Change::Put(lease) => Step::Op(Op::Put(Object::Lease(lease))),
        leases::Change::End(id) => end_lease(id),
    }
}

fn end_lease(id: LeaseId) -> Step {
    Step::Op(Op::Delete(ObjectId::Lease(id)))
}

fn leases_of(host: &str, held: &Held) -> Vec<Step> {
    let leases = leases::of_host(&held.state.topology, host);
    leases.into_iter().map(end_lease).collect()
}

/// The routers whose leases may have lost their ground by these steps.
fn touched_routers(steps: &[Step]) -> BTreeSet<RouterId> {
    let touched = steps.iter().filter_map(|step| match step {
        Step::Op(Op::Put(Object::Router(router))) => Some(router.id),
        Step::Op(Op::Delete(ObjectId::Router(id))) => Some(*id),
        Step::Op(Op::Put(Object::Port(port))) if port.outside => port.router(),
        _ => None,
    });
    touched.collect()
}

/// One request is planned against what is held, several against a draft that grows with them.
fn neutron(requests: &[Request], held: &Held) -> Result<Vec<Step>, WriteError> {
    if let [request] = requests {
        let ops = plan(request, &held.state);
        let ops = ops.map_err(|refusal| WriteError::Refused { refusal, index: 0 })?;
        return Ok(ops.into_iter().map(Step::Op).collect());
    }
    let mut draft = held.state.clone();
    let mut steps = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let ops = plan(request, &draft);
        for op in ops.map_err(|refusal| WriteError::Refused { refusal, index })? {
            draft.apply(op.clone(), held.revision + 1);
            steps.push(Step::Op(op));
        }
    }
    Ok(steps)
}

/// Takes the store over: whoever wrote to it before will not any more.
pub fn take_over(store: &dyn Store) -> Result<Revision, CommitError> {
    let mut transaction = Transaction::default();
    transaction.put(WRITER, Uuid::new_v4().to_string());
    store.commit(&transaction)
}
