//! Connections of agents: each host is sent its part of the topology and what changes in it.

mod connection;
mod frames;

use crate::app::App;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

/// Agents that may be connected at one time.
const CONNECTIONS_MAX: usize = 4096;
/// Pause after the system refused to accept, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves agents until the cluster stops.
pub async fn serve(listener: TcpListener, app: Arc<App>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = app.stopped() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an agent");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(%peer, limit = CONNECTIONS_MAX, "too many agents: one is turned away");
            continue;
        };
        let app = Arc::clone(&app);
        connections.spawn(async move {
            connection::serve(stream, peer, app).await;
            drop(place);
        });
    }
    connections.join_all().await;
}
