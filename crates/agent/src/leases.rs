//! Leases: the ports of routers' addresses that this host may translate sources to.
//!
//! The cluster gives them out in blocks (`cluster::leases`). A host asks for the first block of a
//! router as soon as it has a port behind it, for more when its pool fills, and gives back what it has
//! not used for a while. A host that the cluster has not heard of for long loses its blocks; so an
//! agent that has not heard of the cluster for half that time gives out no new ports.
//!
//! | file | idea |
//! |---|---|
//! | `account` | how many blocks of one router this host wants. Pure |
//! | `need` | which routers translate for this host. Pure |
//! | `contact` | since when the cluster is out of touch |

mod account;
mod contact;
mod need;

pub use contact::{Contact, Noted};

use crate::shared::Shared;
use account::{Account, Seen};
use bpf_abi::POOLS_MAX;
use datapath::{Maps, MapsError, Pool, PoolCounts};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use sync::BlockWish;
use tokio::time::{Instant, MissedTickBehavior, interval};
use topology::{Lease, ObjectId, RouterId, Snapshot, Tag, TunnelKey};

/// Time between two looks at the pools.
const LOOK: Duration = Duration::from_millis(250);

/// Time between two counts of the ports in use, which walk the connection table, and between two
/// notes of when the cluster was last heard.
const REVIEW: Duration = Duration::from_secs(60);

/// Time between two log lines about one router without ports.
const LOG_AGAIN: Duration = Duration::from_secs(10);

/// The task that keeps pools as the leases say, and leases as the pools need them.
pub struct Leases<M> {
    shared: Arc<Shared<M>>,
    /// A handle of its own: nothing here holds up packets.
    maps: M,
    needed: BTreeSet<RouterId>,
    /// The topology that `needed` was found in.
    known: Arc<Snapshot>,
    accounts: BTreeMap<RouterId, Account>,
    logged: BTreeMap<RouterId, Instant>,
}

/// A router as it is now.
struct Router {
    key: TunnelKey,
    pool: Option<Pool>,
    lease: Option<Lease>,
    revision: Option<u64>,
}

impl<M: Maps> Leases<M> {
    /// With a handle on the maps.
    pub fn new(shared: Arc<Shared<M>>, maps: M) -> Self {
        Self {
            shared,
            maps,
            needed: BTreeSet::new(),
            known: Arc::default(),
            accounts: BTreeMap::new(),
            logged: BTreeMap::new(),
        }
    }

    /// Goes on until the kernel's tables fail.
    pub async fn run(mut self) -> MapsError {
        let mut changed = self.shared.changed.subscribe();
        changed.mark_changed();
        let (mut look, mut review) = (interval(LOOK), interval(REVIEW));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        review.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let result = tokio::select! {
                _ = changed.changed() => self.look(),
                _ = look.tick() => self.look(),
                _ = review.tick() => self.review(),
            };
            if let Err(error) = result {
                return error;
            }
        }
    }

    /// Brings pools in line with leases, and says what is wished for.
    pub fn look(&mut self) -> Result<(), MapsError> {
        let Some(routers) = self.routers() else {
            return Ok(());
        };
        let counts = self.maps.pools()?.into_iter();
        let counts: BTreeMap<TunnelKey, (Pool, PoolCounts)> = counts
            .map(|(key, pool, counts)| (key, (pool, counts)))
            .collect();
        let mut wishes = BTreeMap::new();
        for (id, router) in &routers {
            let account = self.accounts.entry(*id).or_default();
            let held = counts.get(&router.key);
            let seen = Seen {
                needed: self.needed.contains(id) && router.pool.is_some(),
                blocks: router.lease.as_ref().map(|lease| &lease.blocks),
                counts: held.map(|(_, counts)| *counts).unwrap_or_default(),
            };
            let look = account.look(&seen);
            if let Some((want, unused)) = look.wish {
                let wish = BlockWish {
                    router: *id,
                    seen: router.revision,
                    want,
                    unused,
                };
                wishes.insert(*id, wish);
            }
            let blocks = look.usable.len();
            if look.failures > 0 {
                self.exhausted(*id, blocks, look.failures);
            }
            if look.lost {
                self.shared.world().invalidate(&[Tag::Router(*id)].into())?;
            }
            self.set_pool(router, look.usable, held.map(|(pool, _)| pool))?;
        }
        let keys: BTreeSet<TunnelKey> = routers.values().map(|router| router.key).collect();
        for key in counts.keys().filter(|key| !keys.contains(key)) {
            self.maps.remove_pool(*key)?;
        }
        self.accounts.retain(|id, _| routers.contains_key(id));
        self.logged.retain(|id, _| routers.contains_key(id));
        self.shared.wish(wishes);
        Ok(())
    }

    /// Finds blocks that are not used.
    pub fn review(&mut self) -> Result<(), MapsError> {
        if let Err(error) = self.shared.save_contact() {
            tracing::warn!(%error, "a restart will not know when the cluster was last heard");
        }
        let Some(routers) = self.routers() else {
            return Ok(());
        };
        let small = |(id, a): (&RouterId, &Account)| a.is_small(self.needed.contains(id));
        if self.accounts.iter().all(small) {
            return Ok(());
        }
        let in_use = self.maps.ports_in_use(linux::monotonic_ns())?;
        for (id, account) in &mut self.accounts {
            let Some(router) = routers.get(id) else {
                continue;
            };
            let used = in_use.range((router.key, 0)..=(router.key, u8::MAX));
            let used = used.map(|((_, block), ports)| (*block, *ports)).collect();
            account.review(&used, self.needed.contains(id));
        }
        Ok(())
    }

    /// The routers that are needed here, and those of which this host has a lease; `None` before
    /// there is a topology.
    fn routers(&mut self) -> Option<BTreeMap<RouterId, Router>> {
        let (snapshot, host) = {
            let world = self.shared.world();
            if !world.is_ready() {
                return None;
            }
            (Arc::clone(world.snapshot()), world.host().to_owned())
        };
        if !Arc::ptr_eq(&snapshot, &self.known) {
            self.needed = need::routers(&snapshot, &host);
        }
        let leased = snapshot.leases().filter(|lease| lease.host == host);
        let ids = leased.map(|l| l.router).chain(self.needed.iter().copied());
        let ids: BTreeSet<RouterId> = ids.collect();
        let ids = ids.into_iter().take(POOLS_MAX as usize);
        let routers = ids.filter_map(|id| {
            let lease = Lease::id_of(id, &host);
            let router = Router {
                key: snapshot.router(id)?.key,
                pool: snapshot.snat_address(id).map(|address| Pool {
                    address,
                    blocks: BTreeSet::new(),
                }),
                lease: snapshot.lease(lease).map(|lease| Lease::clone(lease)),
                revision: snapshot.revision(ObjectId::Lease(lease)),
            };
            Some((id, router))
        });
        let routers = routers.collect();
        self.known = snapshot;
        Some(routers)
    }

    /// Without an address there is no pool; out of touch there is one without ports.
    fn set_pool(
        &mut self,
        router: &Router,
        blocks: BTreeSet<u8>,
        held: Option<&Pool>,
    ) -> Result<(), MapsError> {
        let pool = router.pool.as_ref().map(|pool| Pool {
            blocks: match self.shared.contact().is_fresh(linux::monotonic_ns()) {
                true => blocks,
                false => BTreeSet::new(),
            },
            ..pool.clone()
        });
        match pool {
            Some(pool) if held != Some(&pool) => self.maps.set_pool(router.key, &pool),
            None if held.is_some() => self.maps.remove_pool(router.key),
            _ => Ok(()),
        }
    }

    fn exhausted(&mut self, router: RouterId, blocks: usize, failures: u64) {
        let now = Instant::now();
        let again = |at: &Instant| now.duration_since(*at) >= LOG_AGAIN;
        if self.logged.get(&router).is_none_or(again) {
            self.logged.insert(router, now);
            tracing::warn!(%router, blocks, failures, "no port left for source NAT");
        }
    }
}

#[cfg(test)]
mod tests;
