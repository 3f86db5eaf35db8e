//! Whether plugs, the interfaces that lead to the outside, are alive: gateways say so. Pure: the
//! caller brings the clock.
//!
//! A gateway tells the hosts of its networks when a plug goes up or down, at once and every [`BEAT`].
//! One that is silent for [`SILENCE`] is not used while there is another way out of the same router.
//! If all are silent the last that was heard stays in use: an agent that died says nothing, but its
//! kernel forwards on.

use std::collections::BTreeMap;
use topology::{PortId, RouterId};

const MS: u64 = 1_000_000;

/// Time between two messages about a plug that does not change, ns.
pub const BEAT: u64 = 100 * MS;

/// Time without a message after which a plug is taken for dead, ns. TCP repeats what was lost 0.2 s
/// and 0.6 s after it was first sent, so the second repetition must go another way. One that is taken
/// for dead by mistake costs nothing: any other gateway does as well.
pub const SILENCE: u64 = 400 * MS;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Carriers {
    own: BTreeMap<PortId, Plug>,
    others: BTreeMap<PortId, Plug>,
    /// When the own ones were last told of.
    told: Option<u64>,
}

/// What is known of a plug.
#[derive(Clone, Copy, Debug)]
struct Plug {
    /// The router whose way out it is.
    router: Option<RouterId>,
    up: bool,
    /// The greater, the newer the word.
    version: u64,
    heard: u64,
}

/// A plug as the topology has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The port.
    pub port: PortId,
    /// It is an interface of this host.
    pub own: bool,
    /// The router whose way out it is.
    pub router: Option<RouterId>,
}

impl Carriers {
    /// Takes over the plugs that there are. A new one of another host is taken for alive until it has
    /// had time to say so, one of this host for dead until it is attached.
    pub fn follow(&mut self, plugs: impl IntoIterator<Item = Known>, now: u64) {
        let (own, others) = (
            std::mem::take(&mut self.own),
            std::mem::take(&mut self.others),
        );
        for known in plugs {
            let (before, after) = match known.own {
                true => (&own, &mut self.own),
                false => (&others, &mut self.others),
            };
            let new = Plug {
                router: known.router,
                up: !known.own,
                version: 0,
                heard: now,
            };
            let plug = before.get(&known.port).copied().unwrap_or(new);
            let router = known.router;
            after.insert(known.port, Plug { router, ..plug });
        }
    }

    /// The plugs of this host.
    pub fn own(&self) -> Vec<(PortId, bool)> {
        self.own
            .iter()
            .map(|(port, plug)| (*port, plug.up))
            .collect()
    }

    /// Whether there is such a plug.
    pub fn knows(&self, port: PortId) -> bool {
        self.own.contains_key(&port) || self.others.contains_key(&port)
    }

    /// A plug of this host is up, or not. A change is to be told at once.
    pub fn set_own(&mut self, port: PortId, up: bool) {
        if let Some(plug) = self.own.get_mut(&port).filter(|plug| plug.up != up) {
            plug.up = up;
            self.told = None;
        }
    }

    /// A host says of its plug whether it is up. An older word than the last one is void, unless
    /// nothing has been heard since: then the other side's clock has changed.
    pub fn hear(&mut self, port: PortId, up: bool, version: u64, now: u64) {
        let Some(plug) = self.others.get_mut(&port) else {
            return;
        };
        if version > plug.version || now >= plug.heard.saturating_add(SILENCE) {
            (plug.up, plug.version, plug.heard) = (up, version, now);
        }
    }

    /// The own plugs and whether they are up, if it is time to tell.
    pub fn tell(&mut self, now: u64) -> Vec<(PortId, bool)> {
        if self
            .told
            .is_some_and(|told| now < told.saturating_add(BEAT))
        {
            return Vec::new();
        }
        self.told = Some(now);
        self.own()
    }

    /// Whether something is to be told at once.
    pub fn has_news(&self) -> bool {
        !self.own.is_empty() && self.told.is_none()
    }

    /// Every plug and whether it is to be used.
    pub fn alive(&self, now: u64) -> Vec<(PortId, bool)> {
        let own = self.own.iter().map(|(port, plug)| (*port, plug.up));
        let others = self.others.iter();
        let others =
            others.map(|(port, plug)| (*port, plug.up && plug.heard >= self.limit(plug, now)));
        own.chain(others).collect()
    }

    /// When a plug may turn silent, or it is time to tell of the own ones.
    pub fn next(&self, now: u64) -> Option<u64> {
        let silent = self.others.values().map(|plug| plug.heard + SILENCE + 1);
        let silent = silent.filter(|at| *at > now);
        let beat = (!self.own.is_empty()).then(|| self.told.map_or(now, |told| told + BEAT));
        silent.chain(beat).min()
    }

    /// Since when a plug must have been heard to be alive. If no plug of its router has been heard
    /// for so long, time stands still.
    fn limit(&self, plug: &Plug, now: u64) -> u64 {
        let of_router = |p: &&Plug| p.up && p.router == plug.router;
        let own = self.own.values().filter(of_router).map(|_| now);
        let others = self.others.values().filter(of_router).map(|p| p.heard);
        let newest = own.chain(others).max().unwrap_or(now);
        let now = now.min(newest.saturating_add(SILENCE - BEAT));
        now.saturating_sub(SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const ROUTER: RouterId = RouterId(Uuid::from_u128(1));

    fn plug(n: u128, own: bool) -> Known {
        Known {
            port: PortId(Uuid::from_u128(n)),
            own,
            router: Some(ROUTER),
        }
    }

    fn alive(carriers: &Carriers, now: u64) -> Vec<bool> {
        carriers
            .alive(now * MS)
            .into_iter()
            .map(|(_, up)| up)
            .collect()
    }

    fn two() -> (Carriers, [PortId; 2]) {
        let plugs = [plug(1, false), plug(2, false)];
        let mut carriers = Carriers::default();
        carriers.follow(plugs, 0);
        (carriers, plugs.map(|plug| plug.port))
    }

    #[test]
    fn a_change_is_told_at_once_and_then_in_beats() {
        let (own, mut carriers) = (plug(1, true), Carriers::default());
        carriers.follow([own], 0);
        assert_eq!(carriers.tell(0), [(own.port, false)]);
        assert_eq!(
            (carriers.tell(BEAT - 1), carriers.has_news()),
            (vec![], false)
        );
        carriers.set_own(own.port, true);
        assert!(carriers.has_news());
        assert_eq!(carriers.tell(BEAT), [(own.port, true)]);
        assert_eq!(carriers.next(BEAT), Some(2 * BEAT));
        assert_eq!(carriers.tell(2 * BEAT), [(own.port, true)]);
    }

    #[test]
    fn one_that_is_down_or_silent_is_not_used_while_another_is_there() {
        let (mut carriers, [a, b]) = two();
        assert_eq!(alive(&carriers, 0), [true, true]);
        carriers.hear(a, false, 1, 100 * MS);
        carriers.hear(b, true, 1, 100 * MS);
        assert_eq!(alive(&carriers, 100), [false, true]);
        carriers.hear(a, true, 2, 200 * MS);
        for beat in [300, 400, 500] {
            carriers.hear(b, true, 1 + beat, beat * MS);
        }
        assert_eq!(alive(&carriers, 600), [true, true]);
        assert_eq!(alive(&carriers, 601), [false, true]);
        assert_eq!(carriers.next(600 * MS), Some(600 * MS + 1));
    }

    #[test]
    fn when_all_are_silent_the_last_that_was_heard_stays() {
        let (mut carriers, [a, b]) = two();
        carriers.hear(a, true, 1, 100 * MS);
        carriers.hear(b, true, 1, 600 * MS);
        assert_eq!(alive(&carriers, 60_000), [false, true]);
        // both went within a moment
        carriers.hear(a, true, 1, 60_000 * MS);
        carriers.hear(b, true, 1, 60_100 * MS);
        assert_eq!(alive(&carriers, 90_000), [true, true]);
        // one that says it is down is down
        carriers.hear(b, false, 2, 90_000 * MS);
        assert_eq!(alive(&carriers, 99_000), [true, false]);
    }

    #[test]
    fn an_own_one_counts_and_other_routers_do_not() {
        let (mut carriers, own) = (Carriers::default(), plug(1, true));
        let stranger = Known {
            router: None,
            ..plug(3, false)
        };
        carriers.follow([own, plug(2, false), stranger], 0);
        assert_eq!(alive(&carriers, 5_000), [false, true, true]);
        carriers.set_own(own.port, true);
        assert_eq!(alive(&carriers, 5_000), [true, false, true]);
    }

    #[test]
    fn a_late_datagram_changes_nothing_and_a_clock_that_was_set_back_does_not_matter() {
        let (mut carriers, [a, b]) = two();
        carriers.hear(b, true, 9, 100 * MS);
        carriers.hear(a, false, 9, 100 * MS);
        carriers.hear(a, true, 8, 101 * MS);
        assert_eq!(alive(&carriers, 101), [false, true]);
        carriers.hear(b, true, 10, 1_100 * MS);
        carriers.hear(a, true, 3, 1_100 * MS);
        assert_eq!(alive(&carriers, 1_100), [true, true]);
    }
}
