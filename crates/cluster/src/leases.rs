//! Leases: which host may translate sources to which ports of a router's address.
//!
//! Blocks of ports are given out by the writer alone, one transaction after the other, so that one
//! has one holder. A wish names the revision of the lease that its agent knows: one that was made
//! before the agent heard of a change is void, and what an agent says it does not use is not taken
//! from it after it was given to it again.

use std::collections::{BTreeMap, BTreeSet};
use sync::BlockWish;
use topology::{BLOCK_FIRST, Lease, LeaseId, ObjectId, RouterId, Snapshot};

/// Blocks of one router that a host may have: half of all.
pub const HOST_BLOCKS_MAX: usize = 128;

/// Blocks of a router that are kept for hosts that have none yet, if there are so many.
const KEPT_MAX: usize = 64;

/// What becomes of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is this from now on.
    Put(Lease),
    /// It ends.
    End(LeaseId),
}

/// Answers the wishes of a host.
pub fn answer(topology: &Snapshot, host: &str, wishes: &[BlockWish]) -> Vec<Change> {
    // one wish for each router, the last
    let wishes: BTreeMap<RouterId, &BlockWish> = wishes.iter().map(|w| (w.router, w)).collect();
    let changes = wishes.values().filter_map(|w| one(topology, host, w));
    changes.collect()
}

fn one(topology: &Snapshot, host: &str, wish: &BlockWish) -> Option<Change> {
    let id = Lease::id_of(wish.router, host);
    if topology.revision(ObjectId::Lease(id)) != wish.seen {
        return None;
    }
    let held = topology.lease(id).map(|lease| lease.blocks.clone());
    let held = held.unwrap_or_default();
    let mut blocks: BTreeSet<u8> = held.difference(&wish.unused).copied().collect();
    if topology.snat_address(wish.router).is_some() {
        let want = usize::from(wish.want).min(HOST_BLOCKS_MAX);
        let missing = want.saturating_sub(blocks.len());
        let given = free(topology, wish.router, !blocks.is_empty());
        blocks.extend(given.filter(|b| !wish.unused.contains(b)).take(missing));
    }
    if blocks == held {
        return None;
    }
    Some(match blocks.is_empty() {
        true => Change::End(id),
        false => Change::Put(Lease {
            id,
            router: wish.router,
            host: host.to_owned(),
            blocks,
        }),
    })
}

/// Blocks of a router that may be given out: to a host that has some already only those beyond what
/// is kept for others.
fn free(topology: &Snapshot, router: RouterId, has_some: bool) -> impl Iterator<Item = u8> {
    let leases: Vec<_> = topology.router_leases(router).collect();
    let taken: BTreeSet<u8> = leases.iter().flat_map(|l| &l.blocks).copied().collect();
    let without = topology.hosts().count().saturating_sub(leases.len());
    let kept = if has_some { without.min(KEPT_MAX) } else { 0 };
    let free: Vec<u8> = (BLOCK_FIRST..=u8::MAX)
        .filter(|b| !taken.contains(b))
        .collect();
    let many = free.len().saturating_sub(kept);
    free.into_iter().take(many)
}

/// The leases on these routers that have lost their ground: the router is gone, or translates no
/// sources any more.
pub fn groundless(topology: &Snapshot, routers: &BTreeSet<RouterId>) -> Vec<LeaseId> {
    let lost = routers
        .iter()
        .filter(|r| topology.snat_address(**r).is_none());
    let leases = lost.flat_map(|router| topology.router_leases(*router));
    leases.map(|lease| lease.id).collect()
}

/// The leases of a host.
pub fn of_host(topology: &Snapshot, host: &str) -> Vec<LeaseId> {
    let leases = topology.leases().filter(|lease| lease.host == host);
    leases.map(|lease| lease.id).collect()
}

#[cfg(test)]
mod tests;
