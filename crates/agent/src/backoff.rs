//! Time between attempts: doubles up to a bound, and differs from host to host so that a cluster
//! that comes back is not stormed.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    random: u64,
}

impl Backoff {
    /// `seed` is different on each host.
    pub fn new(seed: u64) -> Self {
        Self {
            next: FIRST,
            random: seed | 1,
        }
    }

    /// How long to wait now: between half and the whole of a time that doubles.
    pub fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        // xorshift64 (Marsaglia 2003): spreads hosts, guards nothing.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        whole / 2 + whole.mul_f64((self.random % 1024) as f64 / 2048.0)
    }

    /// It worked: start over.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_start_over() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<Duration> = (0..20).map(|_| backoff.pause()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST);
        assert!(waits[19] >= LONGEST / 2 && waits.iter().all(|w| *w <= LONGEST));
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }

    #[test]
    fn hosts_differ() {
        assert_ne!(Backoff::new(2).pause(), Backoff::new(4).pause());
    }
}
