//! What every part of the running cluster shares.

use crate::{
    agents::Agents, auth::Auth, config::Config, metrics::Metrics, state::Held, statuses::Statuses,
    writer::Writer,
};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use store::Revision;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

/// Requests for port states that may wait at one time. More are told to come back.
pub const POLLS_MAX: usize = 256;

/// The running cluster.
pub struct App {
    /// The configuration.
    pub config: Config,
    /// Identity of the store.
    pub instance: Uuid,
    /// Who may use the API.
    pub auth: Auth,
    /// The way to change anything.
    pub writer: Writer,
    /// Which agents are here.
    pub agents: Arc<Agents>,
    /// Which ports are up.
    pub statuses: Arc<Statuses>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Each new revision.
    pub revisions: watch::Receiver<Revision>,
    /// Turns true when the cluster stops.
    pub stopping: watch::Receiver<bool>,
    /// Places for requests that wait.
    pub polls: Semaphore,
    pub(crate) held: Arc<RwLock<Held>>,
}

impl App {
    /// What is held, for as long as the guard lives: never across an await.
    pub fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the cluster stops.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // an error says that the sender is gone, which is the end as well
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}
