//! Tunnel keys: one number for each port, network and router, never two the same.

use crate::{Op, Refusal, State};
use std::collections::HashSet;
use topology::{ObjectId, TunnelKey};

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
        self.next_but(&[])
    }

    /// The same when these were given out already, in this order.
    fn next_but(&self, given: &[TunnelKey]) -> Result<TunnelKey, Refusal> {
        let last = given.last().copied().unwrap_or(self.last);
        let (after, before) = (last + 1..=TUNNEL_KEY_MAX, 1..=last);
        after
            .chain(before)
            .find(|key| !self.taken.contains(key) && !given.contains(key))
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

/// The keys of the objects of one request: those they have, or new ones.
pub(crate) struct Keying<'a> {
    state: &'a State,
    given: Vec<TunnelKey>,
}

impl<'a> Keying<'a> {
    pub fn new(state: &'a State) -> Self {
        let given = Vec::new();
        Self { state, given }
    }

    pub fn key(&mut self, id: ObjectId) -> Result<TunnelKey, Refusal> {
        if let Some(key) = self.state.key_of(id) {
            return Ok(key);
        }
        let key = self.state.keys.next_but(&self.given)?;
        self.given.push(key);
        Ok(key)
    }

    /// The step that takes note of what was given out.
    pub fn taken(self) -> Option<Op> {
        self.given.last().copied().map(Op::KeyTaken)
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
        assert_eq!(keys.next_but(&[4, 5]), Ok(6));
        keys.set_last(TUNNEL_KEY_MAX);
        assert_eq!(keys.next(), Ok(2));
        assert_eq!(keys.next_but(&[2]), Ok(4));
    }

    #[test]
    fn when_none_is_left_it_says_so() {
        let mut keys = Keys::default();
        (1..=TUNNEL_KEY_MAX).for_each(|key| keys.take(key));
        assert_eq!(keys.next(), Err(Refusal::KeysExhausted));
    }
}
