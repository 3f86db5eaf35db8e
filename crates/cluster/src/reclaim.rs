//! Takes the blocks of ports from hosts that have been away for too long.

use crate::{app::App, leases, writer::Work};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use topology::{HostId, RouterId};

/// Longest time between two looks.
const LOOK: Duration = Duration::from_secs(60);

/// Goes on until the cluster stops. First leases go that lost their ground in a moment when the
/// cluster died.
pub async fn run(app: Arc<App>) {
    let started = Instant::now();
    let after = app.config.snat.reclaim_after();
    let leased: BTreeSet<RouterId> = {
        let held = app.held();
        held.state
            .topology
            .leases()
            .map(|lease| lease.router)
            .collect()
    };
    write(&app, Work::Audit(leased)).await;
    loop {
        tokio::select! {
            () = app.stopped() => return,
            () = tokio::time::sleep(LOOK.min(after / 4)) => {}
        }
        for (id, name) in away(&app, started, after) {
            tracing::warn!(host = %id, name, ?after, "away for too long: others may have its ports");
            write(&app, Work::Reclaim(id)).await;
        }
    }
}

/// Hosts with leases whose agents have been away for longer than that. What was before this process
/// started is not known, and so it does not count.
fn away(app: &App, started: Instant, after: Duration) -> Vec<(HostId, String)> {
    let held = app.held();
    let with_leases = held
        .hosts
        .values()
        .filter(|host| !leases::of_host(&held.state.topology, &host.name).is_empty());
    let away = with_leases.filter(|host| {
        let agent = app.agents.get(host.id);
        let since = match agent {
            Some(agent) if agent.connected => return false,
            Some(agent) => agent.since,
            None => started,
        };
        since.elapsed() >= after
    });
    away.map(|host| (host.id, host.name.clone())).collect()
}

async fn write(app: &App, work: Work) {
    if let Err(error) = app.writer.write(work).await {
        tracing::warn!(%error, "leases stay as they are for now");
    }
}
