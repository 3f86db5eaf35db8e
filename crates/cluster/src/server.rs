//! Starting and stopping.

use crate::{
    agents::Agents,
    app::{App, POLLS_MAX},
    auth::{Auth, AuthError},
    config::Config,
    metrics::Metrics,
    push, reclaim, rest,
    state::{Held, INSTANCE, Unreadable},
    statuses::Statuses,
    writer::{Desk, take_over},
};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, RwLock},
    thread,
    time::Duration,
};
use store::{CommitError, FileStore, OpenError, Store, StoreError, Transaction};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use uuid::Uuid;

/// Time that requests and connections get to end when the cluster stops.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Time that known agents get to come back after a start before their ports count as down.
const RETURN_LIMIT: Duration = Duration::from_secs(15);

/// The cluster cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Something in the store is not understood.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The authentication cannot be set up.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// A running cluster.
pub struct Cluster {
    api: SocketAddr,
    sync: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    writer: thread::JoinHandle<()>,
}

impl Cluster {
    /// Opens the store, loads it, and listens.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let api = listen(config.api.listen).await?;
        let sync = listen(config.sync.listen).await?;
        let store: Arc<dyn Store> = Arc::new(FileStore::open(&config.store.path)?);
        let addresses = (
            address(&api, config.api.listen),
            address(&sync, config.sync.listen),
        );
        let (stop, stopping) = watch::channel(false);
        let (app, writer) = assemble(config, store, stopping)?;
        tracing::info!(
            instance = %app.instance, revision = app.held().revision,
            api = %addresses.0, sync = %addresses.1, "cluster is up"
        );
        let tasks = vec![
            tokio::spawn(rest::serve(api, Arc::clone(&app))),
            tokio::spawn(push::serve(sync, Arc::clone(&app))),
            tokio::spawn(await_agents(Arc::clone(&app))),
            tokio::spawn(reclaim::run(app)),
        ];
        Ok(Self {
            api: addresses.0,
            sync: addresses.1,
            stop,
            tasks,
            writer,
        })
    }

    /// Address of the REST API.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Address that agents connect to.
    pub fn sync(&self) -> SocketAddr {
        self.sync
    }

    /// Ends requests and connections, then the writer. What is acknowledged is on disk already.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let all = async {
            for task in self.tasks {
                if let Err(error) = task.await {
                    tracing::error!(%error, "a task ended badly");
                }
            }
            let writer = tokio::task::spawn_blocking(move || self.writer.join());
            let _ = writer.await;
        };
        if tokio::time::timeout(STOP_LIMIT, all).await.is_err() {
            tracing::warn!("not everything ended within {} s", STOP_LIMIT.as_secs());
        }
    }
}

type Assembled = (Arc<App>, thread::JoinHandle<()>);

fn assemble(
    config: Config,
    store: Arc<dyn Store>,
    stopping: watch::Receiver<bool>,
) -> Result<Assembled, StartError> {
    let instance = instance(store.as_ref())?;
    let fence = take_over(store.as_ref())?;
    let loaded = Held::load(store.scan("")?)?;
    let statuses = Arc::new(Statuses::awaiting(loaded.hosts.keys().copied()));
    let agents = Arc::new(Agents::default());
    let metrics = Arc::new(Metrics::default());
    let (revisions, new_revisions) = watch::channel(loaded.revision);
    let held = Arc::new(RwLock::new(loaded));
    let desk = Desk {
        store,
        held: Arc::clone(&held),
        fence,
        revisions,
        agents: Arc::clone(&agents),
        statuses: Arc::clone(&statuses),
        metrics: Arc::clone(&metrics),
    };
    let (writer, thread) = desk.start().map_err(StartError::Thread)?;
    let auth = Auth::new(&config.auth)?;
    let app = Arc::new(App {
        config,
        instance,
        auth,
        writer,
        agents,
        statuses,
        metrics,
        revisions: new_revisions,
        stopping,
        polls: Semaphore::new(POLLS_MAX),
        held,
    });
    Ok((app, thread))
}

/// Identity of the store, made when it is new.
fn instance(store: &dyn Store) -> Result<Uuid, StartError> {
    if let Some(entry) = store.get(INSTANCE)? {
        return Uuid::try_parse_ascii(&entry.value).map_err(|error| {
            Unreadable {
                key: INSTANCE.to_owned(),
                reason: error.to_string(),
            }
            .into()
        });
    }
    let id = Uuid::new_v4();
    let mut transaction = Transaction::default();
    transaction
        .expect(INSTANCE, None)
        .put(INSTANCE, id.to_string());
    store.commit(&transaction)?;
    Ok(id)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|reason| StartError::Listen { address, reason })
}

/// The address in effect: the port may have been left to the system.
fn address(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

async fn await_agents(app: Arc<App>) {
    let limit = RETURN_LIMIT.max(app.config.sync.down_after());
    tokio::select! {
        () = app.stopped() => {}
        () = tokio::time::sleep(limit) => app.statuses.stop_awaiting(),
    }
}
