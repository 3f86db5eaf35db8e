//! Tunnel keys: one number for each port and one for each network, never two the same.

use crate::Refusal;
use std::collections::HashSet;
use topology::TunnelKey;

/// Largest key: the VNI has 24 bits, the upper two are flags.
pub const TUNNEL_KEY_MAX: TunnelKey = (1 << 22) - 1;

/// Which keys are taken. Keys are given out in turn, so that one that became free is given out
/// again as late as possible: frames for its former owner may still be under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    taken: HashSet<TunnelKey>,
    last: TunnelKey,
}

impl Keys {
    /// The key to give out next.
    pub fn next(&self) -> Result<TunnelKey, Refusal> {
        let after = self.last + 1..=TUNNEL_KEY_MAX;
        let before = 1..=self.last;
        after
            .chain(before)
            .find(|key| !self.taken.contains(key))
            .ok_or(Refusal::KeysExhausted)
    }

    /// A key was given out, now or, when state is loaded, before.
    pub(crate) fn set_last(&mut self, key: TunnelKey) {
        self.last = key.min(TUNNEL_KEY_MAX);
    }

    pub(crate) fn take(&mut self, key: TunnelKey) {
        self.taken.insert(key);
    }

    pub(crate) fn free(&mut self, key: TunnelKey) {
        self.taken.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_given_in_turn_and_a_free_one_comes_last() {
        let mut keys = Keys::default();
        for wanted in 1..=3 {
            let key = keys.next().unwrap();
            assert_eq!(key, wanted);
            keys.take(key);
            keys.set_last(key);
        }
        keys.free(2);
        assert_eq!(keys.next(), Ok(4));
        keys.set_last(TUNNEL_KEY_MAX);
        assert_eq!(keys.next(), Ok(2));
    }

    #[test]
    fn when_none_is_left_it_says_so() {
        let mut keys = Keys::default();
        (1..=TUNNEL_KEY_MAX).for_each(|key| keys.take(key));
        assert_eq!(keys.next(), Err(Refusal::KeysExhausted));
    }
}
