//! What is to be done so that the kernel has the limits that are wanted. Pure.

use super::{Held, Owner, Wanted};
use datapath::{Direction, PacketLimit, Way};
use linux::tc::{Class, Queue, Shape, minor_of};
use std::collections::{BTreeMap, BTreeSet};

/// Class of a tap for the port that the tap itself is.
const OF_TAP: u16 = 1;
/// Class of a tap for a sub-port: this and its VLAN.
const OF_VLAN: u16 = 0x1000;
/// Last minor number that a class may have.
const MINOR_LAST: u16 = 0xfffe;

/// What a class gets that nobody needs any more: what waits comes out at once.
const OPEN: Shape = Shape {
    rate: 12_500_000_000,
    burst: 125_000_000,
    queue: 4 * 1024 * 1024,
};

/// What the kernel has.
#[derive(Debug, Default)]
pub struct Seen {
    /// The shaper and the taps, if they have an HTB of ours.
    pub links: BTreeSet<u32>,
    /// The classes, on taps and on the shaper.
    pub queues: BTreeMap<Class, Queue>,
    /// The class that the program uses, as the priority it gives.
    pub classes: BTreeMap<Way, u32>,
    /// Where the program limits packets.
    pub packets: BTreeSet<Way>,
}

impl Seen {
    /// Whether there is nothing, and the shaper at most.
    pub fn is_empty(&self, shaper: u32) -> bool {
        self.links.iter().all(|link| *link == shaper)
            && self.queues.is_empty()
            && self.classes.is_empty()
            && self.packets.is_empty()
    }
}

/// One thing to do. Those that are refused do not keep the others from being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Put an HTB on a link.
    AddShaper(u32),
    /// Take it off.
    RemoveShaper(u32),
    /// Make a class, or change its rate.
    SetShape(Class, Shape),
    /// Remove a class.
    RemoveClass(Class),
    /// Let the program use the class of this minor number, or none.
    SetClass(Way, Option<u16>),
    /// Let the program limit packets, or not.
    SetPackets(Way, Option<PacketLimit>),
}

/// Steps, and whose classes they lead to.
#[derive(Debug, Default)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// The classes in use.
    pub owners: BTreeMap<Class, Owner>,
}

/// A class is there before the program uses it, and is not used any more when it goes.
pub fn plan(seen: &Seen, held: &Held, wanted: &BTreeMap<Way, Wanted>, shaper: u32) -> Plan {
    let mut plan = Plan::default();
    plan.end_what_is_not_wanted(seen, wanted);
    let shaped = wanted
        .iter()
        .filter_map(|(way, w)| Some((way, w, w.shape?)));
    let mut numbers = Numbers::new(seen, wanted, shaper);
    for (way, wanted, shape) in shaped {
        let class = match way.1 {
            Direction::FromVm => numbers.of(*way),
            Direction::ToVm => at_tap(wanted),
        };
        plan.shape(seen, held, *way, class, shape);
        plan.owners.insert(class, wanted.owner);
    }
    for (way, wanted) in wanted {
        if let Some(limit) = wanted.packets
            && !(seen.packets.contains(way) && held.packets.get(way) == Some(&limit))
        {
            plan.steps.push(Step::SetPackets(*way, Some(limit)));
        }
    }
    plan.let_go(seen, held, shaper);
    plan
}

impl Plan {
    fn end_what_is_not_wanted(&mut self, seen: &Seen, wanted: &BTreeMap<Way, Wanted>) {
        let shape = |way| wanted.get(way).and_then(|w| w.shape);
        let shaped = seen.classes.keys().filter(|way| shape(way).is_none());
        let packets = |way| wanted.get(way).and_then(|w| w.packets);
        let limited = seen.packets.iter().filter(|way| packets(way).is_none());
        self.steps
            .extend(shaped.map(|way| Step::SetClass(*way, None)));
        self.steps
            .extend(limited.map(|way| Step::SetPackets(*way, None)));
    }

    fn shape(&mut self, seen: &Seen, held: &Held, way: Way, class: Class, shape: Shape) {
        let add = Step::AddShaper(class.link);
        if !seen.links.contains(&class.link) && !self.steps.contains(&add) {
            self.steps.push(add);
        }
        if !(seen.queues.contains_key(&class) && held.shapes.get(&class) == Some(&shape)) {
            self.steps.push(Step::SetShape(class, shape));
        }
        let used = seen.classes.get(&way).copied().and_then(minor_of);
        if used != Some(class.minor) {
            self.steps.push(Step::SetClass(way, Some(class.minor)));
        }
    }

    /// What nobody uses is opened up first, and goes at a later look that finds it empty.
    fn let_go(&mut self, seen: &Seen, held: &Held, shaper: u32) {
        let left = |class: &&Class| !self.owners.contains_key(class);
        let mut staying: BTreeSet<u32> = self.owners.keys().map(|class| class.link).collect();
        let mut steps = Vec::new();
        for class in seen.queues.keys().filter(left) {
            let open = held.shapes.get(class) == Some(&OPEN);
            if open && seen.queues[class].waiting == 0 {
                steps.push(Step::RemoveClass(*class));
                continue;
            }
            staying.insert(class.link);
            if !open {
                steps.push(Step::SetShape(*class, OPEN));
            }
        }
        staying.insert(shaper);
        let gone = seen.links.difference(&staying);
        steps.extend(gone.map(|tap| Step::RemoveShaper(*tap)));
        self.steps.extend(steps);
    }
}

fn at_tap(wanted: &Wanted) -> Class {
    Class {
        link: wanted.tap,
        minor: wanted.vlan.map_or(OF_TAP, |vlan| OF_VLAN | vlan),
    }
}

/// Numbers of the shaper's classes: a port keeps the one that the program knows it by.
struct Numbers {
    shaper: u32,
    kept: BTreeMap<Way, u16>,
    taken: BTreeSet<u16>,
}

impl Numbers {
    fn new(seen: &Seen, wanted: &BTreeMap<Way, Wanted>, shaper: u32) -> Self {
        let mut numbers = Self {
            shaper,
            kept: BTreeMap::new(),
            taken: seen
                .queues
                .keys()
                .filter(|class| class.link == shaper)
                .map(|class| class.minor)
                .collect(),
        };
        let mut given = BTreeSet::new();
        for (way, priority) in &seen.classes {
            let shaped = wanted.get(way).is_some_and(|w| w.shape.is_some());
            if let Some(minor) = minor_of(*priority)
                && shaped
                && way.1 == Direction::FromVm
                && given.insert(minor)
            {
                numbers.kept.insert(*way, minor);
            }
        }
        numbers.taken.extend(given);
        numbers
    }

    fn of(&mut self, way: Way) -> Class {
        let minor = self.kept.get(&way).copied().unwrap_or_else(|| {
            // the program's map of classes is full before there is no number
            let free = (1..=MINOR_LAST).find(|minor| !self.taken.contains(minor));
            free.unwrap_or(MINOR_LAST)
        });
        self.taken.insert(minor);
        Class {
            link: self.shaper,
            minor,
        }
    }
}

#[cfg(test)]
mod tests;
