//! How many blocks of one router this host wants.

use datapath::PoolCounts;
use std::collections::{BTreeMap, BTreeSet};

/// Ports of a block.
const PORTS: usize = 256;

/// Blocks of one router that are wished for at most; the cluster gives no more.
const WANT_MAX: usize = 128;

/// Ports tried for each that was claimed from which on a pool is taken for full: half of it is.
const TRIES: u64 = 2;

/// Claims since the last look that say something about the pool.
const CLAIMS: u64 = 16;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    want: usize,
    blocks: BTreeSet<u8>,
    /// Out of the pool, to see that nothing uses them any more.
    resting: BTreeSet<u8>,
    /// Given back; not used whatever the lease says, until it changes.
    returned: BTreeSet<u8>,
    counts: PoolCounts,
}

/// What there is to see of a router.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Ports of this host are behind it, and it translates sources.
    pub needed: bool,
    /// The blocks of this host's lease.
    pub blocks: Option<&'a BTreeSet<u8>>,
    /// What the pool has done.
    pub counts: PoolCounts,
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The blocks that new ports may be taken from.
    pub usable: BTreeSet<u8>,
    /// What the cluster is to be asked: how many blocks to have, and which are not used.
    pub wish: Option<(u16, BTreeSet<u8>)>,
    /// Packets since the last look that found no port.
    pub failures: u64,
    /// Blocks are gone that were in use: who has a port there needs another one.
    pub lost: bool,
}

impl Account {
    /// Takes note of what is, and says what follows.
    pub fn look(&mut self, seen: &Seen<'_>) -> Look {
        let before = self.usable();
        self.blocks = seen.blocks.cloned().unwrap_or_default();
        let lost = !before.is_subset(&self.blocks);
        self.resting.retain(|block| self.blocks.contains(block));
        self.returned.retain(|block| self.blocks.contains(block));
        let failures = seen.counts.failures.saturating_sub(self.counts.failures);
        if self.fills(seen.counts) && self.usable().len() >= self.want {
            self.resting.clear();
            self.want = (self.usable().len() * 2).clamp(1, WANT_MAX);
        }
        self.counts = seen.counts;
        self.want = self.want.max(usize::from(seen.needed));
        let usable = self.usable();
        let asks = seen.needed && usable.len() < self.want;
        let want = if asks { self.want } else { usable.len() };
        let wish = asks || !self.returned.is_empty();
        Look {
            wish: wish.then(|| (want as u16, self.returned.clone())),
            usable,
            failures,
            lost,
        }
    }

    /// Gives back what nothing has used since the last review, and lets rest what nothing uses now:
    /// all of a router that is not needed, and else what is too much.
    pub fn review(&mut self, used: &BTreeMap<u8, u32>, needed: bool) {
        let idle = |block: &u8| !used.contains_key(block);
        self.returned
            .extend(self.resting.iter().copied().filter(idle));
        self.resting.clear();
        let usable = self.usable();
        let ports: usize = used.values().map(|ports| *ports as usize).sum();
        let idle = usable.iter().copied().filter(idle);
        let spare = match needed {
            false => usable.len(),
            true if ports * 4 < usable.len() * PORTS => usable.len() / 2,
            true => 0,
        };
        self.resting = idle.rev().take(spare).collect();
        self.want = self.usable().len();
    }

    /// Whether there is nothing to give back.
    pub fn is_small(&self, needed: bool) -> bool {
        self.blocks.len() <= usize::from(needed)
    }

    fn usable(&self) -> BTreeSet<u8> {
        let out = |block: &&u8| self.resting.contains(block) || self.returned.contains(block);
        self.blocks.iter().filter(|b| !out(b)).copied().collect()
    }

    fn fills(&self, now: PoolCounts) -> bool {
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let claims = since(now.claims, self.counts.claims);
        let tries = since(now.tries, self.counts.tries);
        let failures = since(now.failures, self.counts.failures);
        failures > 0 || claims >= CLAIMS && tries > claims * TRIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(blocks: &[u8]) -> BTreeSet<u8> {
        blocks.iter().copied().collect()
    }

    fn seen(blocks: &BTreeSet<u8>) -> Seen<'_> {
        Seen {
            needed: true,
            blocks: Some(blocks),
            counts: PoolCounts::default(),
        }
    }

    #[test]
    fn the_first_block_is_asked_for_before_there_is_traffic() {
        let mut account = Account::default();
        let nothing = Seen {
            blocks: None,
            ..seen(&BTreeSet::new())
        };
        let look = account.look(&Seen {
            needed: false,
            ..nothing
        });
        assert_eq!(look.wish, None);
        assert_eq!(account.look(&nothing).wish, Some((1, blocks(&[]))));
        let look = account.look(&seen(&blocks(&[4])));
        assert_eq!((look.usable, look.wish), (blocks(&[4]), None));
    }

    #[test]
    fn a_pool_that_fills_asks_for_twice_as_many_once() {
        let (mut account, own) = (Account::default(), blocks(&[4]));
        let counts = |claims, tries, failures| PoolCounts {
            claims,
            tries,
            failures,
        };
        let mut look = |blocks, counts| {
            account.look(&Seen {
                counts,
                ..seen(blocks)
            })
        };
        assert_eq!(look(&own, counts(100, 120, 0)).wish, None);
        assert_eq!(
            look(&own, counts(110, 150, 0)).wish,
            None,
            "too few to tell"
        );
        assert_eq!(look(&own, counts(210, 380, 0)).wish.unwrap().0, 2);
        let failed = look(&own, counts(211, 412, 3));
        assert_eq!((failed.wish.unwrap().0, failed.failures), (2, 3));
        let two = blocks(&[4, 9]);
        assert_eq!(look(&two, counts(211, 412, 3)).wish, None);
        assert_eq!(look(&two, counts(211, 444, 4)).wish.unwrap().0, 4);
        let all: BTreeSet<u8> = (4..132).collect();
        look(&all, counts(211, 444, 4));
        assert_eq!(
            look(&all, counts(211, 500, 9)).wish,
            None,
            "no more than the most"
        );
    }

    #[test]
    fn what_is_not_used_rests_and_then_goes_back() {
        let (mut account, own) = (Account::default(), blocks(&[4, 5, 6, 7]));
        assert_eq!(account.look(&seen(&own)).usable, own);
        account.review(&BTreeMap::from([(4, 20), (7, 1)]), true);
        let look = account.look(&seen(&own));
        assert_eq!((look.usable, look.wish), (blocks(&[4, 7]), None));
        // one of them had a late connection; the other is not used whatever comes
        account.review(&BTreeMap::from([(4, 20), (7, 1), (6, 1)]), true);
        let look = account.look(&seen(&own));
        assert_eq!(look.wish, Some((3, blocks(&[5]))));
        assert!(!look.usable.contains(&5));
        let look = account.look(&seen(&blocks(&[4, 6, 7])));
        assert_eq!((look.usable, look.wish), (blocks(&[4, 6, 7]), None));
        // given again, it is as good as another
        assert!(account.look(&seen(&own)).usable.contains(&5));
    }

    #[test]
    fn of_a_router_that_is_needed_no_more_all_goes_back_once_it_is_free() {
        let (mut account, own) = (Account::default(), blocks(&[4, 5]));
        let idle = Seen {
            needed: false,
            ..seen(&own)
        };
        account.look(&idle);
        account.review(&BTreeMap::from([(4, 1)]), false);
        account.review(&BTreeMap::from([(4, 1)]), false);
        assert_eq!(account.look(&idle).wish, Some((1, blocks(&[5]))));
        account.review(&BTreeMap::new(), false);
        account.review(&BTreeMap::new(), false);
        assert_eq!(account.look(&idle).wish, Some((0, blocks(&[4, 5]))));
    }
}
