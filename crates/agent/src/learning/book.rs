//! What is known since when: the times and versions of stations, and what is due. Pure: the caller
//! brings the clock.
//!
//! A station may be heard at two hosts within a moment, and news of both be on the way. Each time it
//! is heard at another port its version grows: it is a hybrid logical clock, the time of day or one
//! more than the last version that was seen, whichever is greater. So all hosts agree in the end on
//! the port where it was heard last, whatever the order in which they are told, and also when a host
//! starts again and remembers nothing.

use flow::Question;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};
use topology::{BridgeId, Tag};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// What is new is told at once, and again after these times, in case a datagram was lost.
const REPEATS: [u64; 2] = [100 * MS, 900 * MS];

/// A station that is still there is told of so often.
const REFRESH: u64 = 60 * SECOND;

/// A station that has been silent so long is asked for a sign of life with each refresh.
const QUIET: u64 = 100 * SECOND;

/// One that gives none is forgotten.
const SILENT: u64 = 300 * SECOND;

/// A station of another host of which that host has not told for so long is forgotten.
const UNTOLD: u64 = 200 * SECOND;

/// How long ordinary frames do not move a MAC that has just been heard elsewhere, so that two VMs
/// with one MAC do not fight over it frame by frame. Announcements always do.
const HOLD: u64 = 500 * MS;

/// An address is asked for at most this often.
const ASK_AGAIN: u64 = 500 * MS;

/// Addresses that are remembered as asked for. When there are more, new ones are not asked for.
const ASKED_MAX: usize = 1024;

/// Questions that wait to be sent; more are left to the next packet.
const QUESTIONS_MAX: usize = 64;

/// Hosts that wait for an answer; more ask again.
const ANSWERS_MAX: usize = 64;

/// Hosts of a network that is new here are asked for its stations at once, and again after these
/// times.
const ASK_HOSTS: [u64; 3] = [0, SECOND, 4 * SECOND];

/// See the module.
#[derive(Debug, Default)]
pub struct Book {
    /// Time of day when the monotonic clock was 0, ns.
    day: u64,
    known: HashMap<Tag, Entry>,
    due: BTreeSet<(u64, Tag)>,
    networks: BTreeMap<BridgeId, (u64, usize)>,
    asked: HashMap<Tag, u64>,
    /// Stations that are gone, with the last version, to be told of once.
    pub(super) parted: Vec<super::Claim>,
    /// Questions of routers to be sent.
    pub(super) questions: Vec<Question>,
    /// Hosts that asked, and for which networks.
    pub(super) answers: Vec<(IpAddr, Vec<BridgeId>)>,
    /// Something is due that was not a moment ago.
    news: bool,
    /// Stations that found no room.
    pub(super) refused: u64,
    /// Claims of other hosts that were not theirs to make.
    pub(super) ignored: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    version: u64,
    /// Behind a port of this host.
    here: bool,
    /// Since when it is where it is.
    since: u64,
    /// When it was last heard, or told of by its host.
    seen: u64,
    /// How often it has been told of.
    told: usize,
    /// Its place in `due`.
    next: u64,
}

/// What is to be done about a station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Other hosts are told where it is.
    Tell(Tag),
    /// It is asked for a sign of life.
    Wake(Tag),
    /// It is gone.
    Forget(Tag),
}

impl Book {
    /// An empty book. `day` is the time of day when the monotonic clock was 0.
    pub fn new(day: u64) -> Self {
        Self {
            day,
            ..Self::default()
        }
    }

    /// A version of what is said now.
    pub(super) fn stamp(&self, now: u64) -> u64 {
        self.day.saturating_add(now)
    }

    /// A station was heard at a port of this host where it was not before.
    pub(super) fn claim(&mut self, tag: &Tag, now: u64) {
        let last = self.known.get(tag).map_or(0, |entry| entry.version);
        let entry = Entry {
            version: self.stamp(now).max(last.saturating_add(1)),
            here: true,
            since: now,
            seen: now,
            told: 0,
            next: now,
        };
        self.put(tag, entry);
        self.news = true;
    }

    /// Another host has told where a station is, and it was believed.
    pub(super) fn heard(&mut self, tag: &Tag, version: u64, now: u64) {
        let entry = Entry {
            version,
            here: false,
            since: now,
            seen: now,
            told: 0,
            next: now + UNTOLD,
        };
        self.put(tag, entry);
    }

    /// A known station was heard, or told of, where it is known to be.
    pub(super) fn seen(&mut self, tag: &Tag, now: u64) {
        if let Some(entry) = self.known.get_mut(tag) {
            entry.seen = entry.seen.max(now);
        }
    }

    /// Other hosts are to be told of a station again: one of them has not heard.
    pub(super) fn insist(&mut self, tag: &Tag, now: u64) {
        let quiet = |e: &&Entry| e.here && e.next > now + REPEATS[0];
        if let Some(entry) = self.known.get(tag).filter(quiet) {
            let entry = Entry {
                next: now + REPEATS[0],
                ..entry.clone()
            };
            self.put(tag, entry);
        }
    }

    /// The station is gone from the snapshot. Returns its version.
    pub(super) fn forget(&mut self, tag: &Tag) -> Option<u64> {
        let entry = self.known.remove(tag)?;
        self.due.remove(&(entry.next, tag.clone()));
        Some(entry.version)
    }

    /// The version of what is known.
    pub(super) fn version(&self, tag: &Tag) -> u64 {
        self.known.get(tag).map_or(0, |entry| entry.version)
    }

    /// Whether a station is behind a port of this host.
    pub(super) fn is_here(&self, tag: &Tag) -> bool {
        self.known.get(tag).is_some_and(|entry| entry.here)
    }

    /// How long nobody has heard of a station.
    pub fn idle(&self, tag: &Tag, now: u64) -> Duration {
        let seen = self.known.get(tag).map_or(now, |entry| entry.seen);
        Duration::from_nanos(now.saturating_sub(seen))
    }

    /// Whether a station came to where it is a moment ago.
    pub(super) fn is_fresh(&self, tag: &Tag, now: u64) -> bool {
        let entry = self.known.get(tag);
        entry.is_some_and(|entry| now < entry.since.saturating_add(HOLD))
    }

    /// What is due now.
    pub(super) fn due(&mut self, now: u64) -> Vec<Due> {
        self.news = false;
        let mut due = Vec::new();
        while let Some((_, tag)) = self.due.first().filter(|(at, _)| *at <= now).cloned() {
            let Some(entry) = self.known.get(&tag).cloned() else {
                self.due.pop_first();
                continue;
            };
            let idle = now.saturating_sub(entry.seen);
            let next = match entry.here {
                _ if idle >= if entry.here { SILENT } else { UNTOLD } => {
                    self.forget(&tag);
                    due.push(Due::Forget(tag));
                    continue;
                }
                true => now + REPEATS.get(entry.told).copied().unwrap_or(REFRESH),
                false => entry.seen + UNTOLD,
            };
            if entry.here {
                due.push(Due::Tell(tag.clone()));
            }
            if entry.here && idle >= QUIET {
                due.push(Due::Wake(tag.clone()));
            }
            let told = entry.told.saturating_add(1);
            self.put(
                &tag,
                Entry {
                    next,
                    told,
                    ..entry
                },
            );
        }
        due
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<u64> {
        let station = self.due.first().map(|(at, _)| *at);
        let network = self.networks.values().map(|(at, _)| *at).min();
        station.into_iter().chain(network).min()
    }

    /// A network is new here.
    pub(super) fn enter(&mut self, network: BridgeId, now: u64) {
        self.networks.insert(network, (now, 0));
        self.news = true;
    }

    /// The networks whose hosts are to be asked now.
    pub(super) fn networks_due(&mut self, now: u64) -> Vec<BridgeId> {
        let due = self.networks.iter_mut().filter(|(_, (at, _))| *at <= now);
        let mut ask = Vec::new();
        for (network, (at, round)) in due {
            *round += 1;
            *at = now + ASK_HOSTS.get(*round).copied().unwrap_or_default();
            ask.push(*network);
        }
        self.networks
            .retain(|_, (_, round)| *round < ASK_HOSTS.len());
        ask
    }

    /// A router wants to know something, for a packet that has to wait.
    pub(crate) fn wonder(&mut self, question: Question, now: u64) {
        let tag = Tag::Neighbor(question.bridge, question.ip);
        let again = |at: &u64| now < at.saturating_add(ASK_AGAIN);
        if self.asked.get(&tag).is_some_and(again) || self.questions.len() >= QUESTIONS_MAX {
            return;
        }
        if self.asked.len() >= ASKED_MAX {
            self.asked.retain(|_, at| again(at));
        }
        if self.asked.len() < ASKED_MAX {
            self.asked.insert(tag, now);
            self.questions.push(question);
            self.news = true;
        }
    }

    /// Another host asks for the stations of networks.
    pub(super) fn asked_by(&mut self, host: IpAddr, networks: Vec<BridgeId>) {
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push((host, networks));
            self.news = true;
        }
    }

    /// A station of this host has left.
    pub(super) fn part(&mut self, claim: super::Claim) {
        self.parted.push(claim);
        self.news = true;
    }

    /// Whether something is due that was not when it was last asked what is.
    pub fn has_news(&self) -> bool {
        self.news
    }

    /// Stations that found no room so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Claims of other hosts so far that were not theirs to make.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    fn put(&mut self, tag: &Tag, entry: Entry) {
        let next = entry.next;
        if let Some(before) = self.known.insert(tag.clone(), entry) {
            self.due.remove(&(before.next, tag.clone()));
        }
        self.due.insert((next, tag.clone()));
    }
}

#[cfg(test)]
mod tests;
