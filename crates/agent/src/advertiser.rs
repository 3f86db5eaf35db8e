//! Router advertisements that nobody asked for.
//!
//! A VM that comes up asks (RFC 4861, 6.3.7) and is answered by the simulation. This is for those
//! that do not ask again: on plugging and when what is advertised changes, a few in quick succession,
//! and then one from time to time (6.2.4). What is not true any more is taken back with the first few
//! (6.2.5).

use crate::{metrics::count, shared::Shared};
use bpf_abi::MARK_TO_PORT;
use datapath::{Injector, Maps, Outgoing};
use sim::Advertisement;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};
use topology::PortId;

/// MAX_INITIAL_RTR_ADVERTISEMENTS, which is MAX_FINAL_RTR_ADVERTISEMENTS as well, and
/// MAX_INITIAL_RTR_ADVERT_INTERVAL (RFC 4861, 10).
const INITIAL: u32 = 3;
const INITIAL_INTERVAL: Duration = Duration::from_secs(16);

/// Between MinRtrAdvInterval and MaxRtrAdvInterval (RFC 4861, 6.2.1): 200 to 600 seconds.
const SHORTEST: u64 = 200;
const LONGEST: u64 = 600;

/// Ports are looked through at most this often.
const QUIET: Duration = Duration::from_secs(1);

/// What a port is told, and when next.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Turn {
    said: Vec<Advertisement>,
    /// What takes back what was said before.
    farewells: Vec<Advertisement>,
    next: Instant,
    sent: u32,
}

/// The turns of all ports.
#[derive(Debug, Default)]
struct Schedule(BTreeMap<PortId, Turn>);

impl Schedule {
    /// Takes over what is to be advertised now: ports that are new or are told something else start
    /// from the beginning.
    fn update(&mut self, now_said: BTreeMap<PortId, Vec<Advertisement>>, now: Instant) {
        self.0.retain(|port, _| now_said.contains_key(port));
        for (port, said) in now_said {
            let before = self.0.get(&port).map_or(&[][..], |turn| &turn.said);
            if before == said {
                continue;
            }
            let turn = Turn {
                farewells: sim::farewells(before, &said),
                said,
                next: now,
                sent: 0,
            };
            self.0.insert(port, turn);
        }
    }

    /// The frames that are due. A port that is told nothing any more is done when it has been told
    /// so.
    fn due(&mut self, now: Instant) -> Vec<(PortId, Vec<u8>)> {
        let mut due = Vec::new();
        for (port, turn) in self.0.iter_mut().filter(|(_, turn)| turn.next <= now) {
            let all = turn.said.iter().chain(&turn.farewells);
            due.extend(all.filter_map(|a| Some((*port, a.unasked()?))));
            turn.sent += 1;
            turn.next = now + pause(*port, turn.sent);
            if turn.sent >= INITIAL {
                turn.farewells.clear();
            }
        }
        self.0
            .retain(|_, turn| !(turn.said.is_empty() && turn.farewells.is_empty()));
        due
    }

    fn next(&self) -> Option<Instant> {
        self.0.values().map(|turn| turn.next).min()
    }
}

/// Time to the next advertisement; spread by the port's id, so that ports do not go in step.
fn pause(port: PortId, sent: u32) -> Duration {
    if sent < INITIAL {
        return INITIAL_INTERVAL;
    }
    let spread = (port.0.as_u128() as u64).rotate_left(sent % 64) % (LONGEST - SHORTEST);
    Duration::from_secs(SHORTEST + spread)
}

/// Sends them.
pub async fn run<M: Maps>(shared: Arc<Shared<M>>, mut injector: Injector) {
    let mut schedule = Schedule::default();
    let mut up = shared.up.subscribe();
    let mut changed = shared.changed.subscribe();
    loop {
        schedule.update(advertised(&shared), Instant::now());
        for (port, frame) in schedule.due(Instant::now()) {
            let Some(tap) = shared.world().tap_of(port) else {
                continue;
            };
            let frame = Outgoing {
                mark: MARK_TO_PORT | tap,
                bytes: &frame,
                gso_size: 0,
            };
            match injector.send(frame) {
                Ok(()) => count(&shared.metrics.advertisements),
                Err(error) => tracing::debug!(%port, %error, "router advertisement lost"),
            }
        }
        sleep(QUIET).await;
        let next = schedule.next();
        let wait = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = up.changed() => {}
            _ = changed.changed() => {}
            () = wait => {}
        }
    }
}

/// What each port that is up should hear.
fn advertised<M: Maps>(shared: &Shared<M>) -> BTreeMap<PortId, Vec<Advertisement>> {
    let up = shared.up.borrow().iter().copied().collect();
    let snapshot = shared.world().snapshot().clone();
    sim::advertisements(&snapshot, &up)
}

#[cfg(test)]
mod tests;
