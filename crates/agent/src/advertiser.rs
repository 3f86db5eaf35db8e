//! Router advertisements that nobody asked for.
//!
//! A VM that comes up asks (RFC 4861, 6.3.7) and is answered by the simulation. This is for those
//! that do not ask again: on plugging and when what is advertised changes, a few in quick succession,
//! and then one from time to time (6.2.4).

use crate::{metrics::count, shared::Shared};
use bpf_abi::MARK_TO_PORT;
use datapath::{Injector, Maps, Outgoing};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};
use topology::PortId;

/// MAX_INITIAL_RTR_ADVERTISEMENTS and MAX_INITIAL_RTR_ADVERT_INTERVAL (RFC 4861, 10).
const INITIAL: u32 = 3;
const INITIAL_INTERVAL: Duration = Duration::from_secs(16);

/// Between MinRtrAdvInterval and MaxRtrAdvInterval (RFC 4861, 6.2.1): 200 to 600 seconds.
const SHORTEST: u64 = 200;
const LONGEST: u64 = 600;

/// Ports are looked through at most this often.
const QUIET: Duration = Duration::from_secs(1);

/// When a port gets its next advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Turn {
    frame: Vec<u8>,
    next: Instant,
    sent: u32,
}

/// The turns of all ports.
#[derive(Debug, Default)]
struct Schedule(BTreeMap<PortId, Turn>);

impl Schedule {
    /// Takes over what is to be advertised now: ports that are new or whose frame has changed
    /// start from the beginning.
    fn update(&mut self, frames: BTreeMap<PortId, Vec<u8>>, now: Instant) {
        self.0.retain(|port, _| frames.contains_key(port));
        for (port, frame) in frames {
            if self.0.get(&port).is_none_or(|turn| turn.frame != frame) {
                self.0.insert(
                    port,
                    Turn {
                        frame,
                        next: now,
                        sent: 0,
                    },
                );
            }
        }
    }

    /// The advertisements that are due.
    fn due(&mut self, now: Instant) -> Vec<(PortId, Vec<u8>)> {
        let mut due = Vec::new();
        for (port, turn) in self.0.iter_mut().filter(|(_, turn)| turn.next <= now) {
            turn.sent += 1;
            turn.next = now + pause(*port, turn.sent);
            due.push((*port, turn.frame.clone()));
        }
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
        schedule.update(frames(&shared), Instant::now());
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
fn frames<M: Maps>(shared: &Shared<M>) -> BTreeMap<PortId, Vec<u8>> {
    let up = shared.up.borrow().clone();
    let snapshot = shared.world().snapshot().clone();
    up.into_iter()
        .filter_map(|port| Some((port, sim::advertise(&snapshot, port)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_port_starts_quickly_and_goes_on_slowly() {
        let port = PortId(Uuid::from_u128(0x1234_5678_9abc));
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        let mut times = Vec::new();
        schedule.update(BTreeMap::from([(port, vec![1])]), start);
        while times.len() < 6 {
            let now = schedule.next().unwrap();
            assert_eq!(schedule.due(now).len(), 1);
            times.push((now - start).as_secs());
        }
        assert_eq!(times[..3], [0, 16, 32]);
        for pair in times[2..].windows(2) {
            assert!(
                (SHORTEST..LONGEST).contains(&(pair[1] - pair[0])),
                "{times:?}"
            );
        }
    }

    #[test]
    fn a_changed_advertisement_starts_over_and_a_gone_port_is_forgotten() {
        let port = PortId(Uuid::nil());
        let (mut schedule, start) = (Schedule::default(), Instant::now());
        schedule.update(BTreeMap::from([(port, vec![1])]), start);
        assert_eq!(schedule.due(start).len(), 1);
        schedule.update(BTreeMap::from([(port, vec![1])]), start);
        assert!(schedule.due(start).is_empty());
        schedule.update(BTreeMap::from([(port, vec![2])]), start);
        assert_eq!(schedule.due(start), [(port, vec![2])]);
        schedule.update(BTreeMap::new(), start);
        assert_eq!(schedule.next(), None);
    }
}
