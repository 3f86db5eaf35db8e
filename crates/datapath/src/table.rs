//! The decision table's books: classes, action slots, tags, generations.
//!
//! The kernel holds masked keys and numbered actions; what a decision depends on and why it was
//! made is only here. Order of writes: an action is written before a key leads to it, and a key is
//! removed before its action ends. A slot that ended rests at the end of the queue of free slots,
//! so that a packet in flight does not meet its next meaning.

use crate::{
    Compiled, Maps, MapsError,
    class::{covers, weight, widen, words},
};
use bpf_abi::{ACTIONS_MAX, Action, DecisionKey, MASKS_MAX};
use flow::{FlowKey, Mask};
use std::collections::{BTreeSet, HashMap, VecDeque};
use topology::Tag;
use uuid::Uuid;

/// Decisions that make room at once when the table is full.
const EVICTED_AT_ONCE: usize = 1024;

/// One decision with its counters, for the operator.
#[derive(Clone, Debug)]
pub struct DecisionInfo {
    /// Action slot.
    pub id: u32,
    /// Bits that matter.
    pub mask: Mask,
    /// Their values.
    pub key: FlowKey,
    /// What happens, with packets and bytes.
    pub action: Action,
    /// What it depends on.
    pub tags: BTreeSet<Tag>,
    /// The Neutron resource that made it a drop.
    pub cause: Option<Uuid>,
}

/// The decision table over the kernel's maps or their fake twin.
pub struct Table<M> {
    maps: M,
    classes: Vec<Class>,
    next_class: u32,
    entries: HashMap<u32, Entry>,
    by_key: HashMap<DecisionKey, u32>,
    by_tag: HashMap<Tag, BTreeSet<u32>>,
    free: VecDeque<u32>,
    /// By slot: the generation that the kernel's slot has.
    generations: Vec<u32>,
    /// Counts calls of `reorder`: the clock of "least recently hit".
    sweep: u64,
}

/// A mask in use. The kernel's slot is the position in the list.
#[derive(Clone)]
struct Class {
    id: u32,
    mask: Mask,
    decisions: usize,
    /// Packets since the last sweep.
    recent: u64,
}

struct Entry {
    filed: DecisionKey,
    mask: Mask,
    key: FlowKey,
    compiled: Compiled,
    /// Packets at the last sweep.
    packets: u64,
    /// The last sweep that saw new packets, or that it was installed after.
    hit: u64,
}

impl<M: Maps> Table<M> {
    /// A table over maps in any state, also what an earlier process left: every decision is
    /// removed and every generation raised, so that each connection is decided again with its next
    /// packet. Connection entries stay.
    ///
    /// Call it when the snapshot is there: until then the old decisions forward on.
    pub fn new(maps: M) -> Result<Self, MapsError> {
        let mut table = Self {
            maps,
            classes: Vec::new(),
            next_class: 0,
            entries: HashMap::new(),
            by_key: HashMap::new(),
            by_tag: HashMap::new(),
            free: VecDeque::new(),
            generations: vec![0; ACTIONS_MAX as usize],
            sweep: 0,
        };
        table.empty_kernel()?;
        Ok(table)
    }

    /// Installs a decision for all packets that equal `key` under `mask`, rounded up to a class.
    /// An existing decision of the same class and key is replaced. When no slot is free the least
    /// recently hit decisions make room: their packets come up again.
    pub fn install(
        &mut self,
        key: &FlowKey,
        mask: &Mask,
        compiled: Compiled,
    ) -> Result<(), MapsError> {
        let class = self.class_for(&widen(mask, key.family))?;
        let Class {
            id: class_id, mask, ..
        } = self.classes[class].clone();
        let key = mask.apply(key);
        let filed = DecisionKey {
            mask: class_id,
            pad: 0,
            masked: words(&key),
        };
        let same = |id: &&u32| self.entries[id].compiled.action == compiled.action;
        if let Some(&id) = self.by_key.get(&filed).filter(same) {
            self.retag(id, compiled);
            return Ok(());
        }
        let id = self.take_slot()?;
        let old = self.by_key.get(&filed).copied();
        self.write_slot(id, &compiled.action)?;
        self.maps.set_decision(&filed, id)?;
        if let Some(old) = old {
            self.forget(old)?;
        }
        self.classes[class].decisions += 1;
        self.by_key.insert(filed, id);
        for tag in &compiled.tags {
            self.by_tag.entry(tag.clone()).or_default().insert(id);
        }
        let entry = Entry {
            filed,
            mask,
            key,
            compiled,
            packets: 0,
            hit: self.sweep,
        };
        self.entries.insert(id, entry);
        Ok(())
    }

    /// Removes the decisions that depend on one of these tags; connections made from them are
    /// decided again. Returns how many there were.
    pub fn invalidate(&mut self, tags: &BTreeSet<Tag>) -> Result<usize, MapsError> {
        let touched = tags.iter().filter_map(|tag| self.by_tag.get(tag));
        let ids: BTreeSet<u32> = touched.flatten().copied().collect();
        ids.iter().try_for_each(|id| self.remove(*id))?;
        Ok(ids.len())
    }

    /// Removes all decisions.
    pub fn clear(&mut self) -> Result<(), MapsError> {
        let ids: Vec<u32> = self.entries.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.remove(id))
    }

    /// Orders the classes by use, the busiest first, and lets empty ones go. Call it every few
    /// seconds.
    pub fn reorder(&mut self) -> Result<(), MapsError> {
        self.sweep += 1;
        self.classes.iter_mut().for_each(|c| c.recent = 0);
        for (id, entry) in &mut self.entries {
            let packets = self.maps.action(*id)?.packets;
            if packets != entry.packets {
                entry.hit = self.sweep;
            }
            let class = self.classes.iter_mut().find(|c| c.id == entry.filed.mask);
            class
                .expect("a class lives as long as its decisions")
                .recent += packets.wrapping_sub(entry.packets);
            entry.packets = packets;
        }
        let mut order = self.classes.clone();
        order.retain(|c| c.decisions > 0);
        order.sort_by_key(|c| std::cmp::Reverse(c.recent));
        self.write_classes(order)
    }

    /// All decisions with their counters.
    pub fn decisions(&self) -> Result<Vec<DecisionInfo>, MapsError> {
        let info = |(id, entry): (&u32, &Entry)| {
            Ok(DecisionInfo {
                id: *id,
                mask: entry.mask,
                key: entry.key,
                action: self.maps.action(*id)?,
                tags: entry.compiled.tags.clone(),
                cause: entry.compiled.cause,
            })
        };
        self.entries.iter().map(info).collect()
    }

    /// The Neutron resource behind the decision in this slot, if it is a drop with a cause.
    pub fn cause(&self, id: u32) -> Option<Uuid> {
        self.entries.get(&id).and_then(|e| e.compiled.cause)
    }

    /// How many decisions there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The maps, for ports, tunnels and counters.
    pub fn maps(&self) -> &M {
        &self.maps
    }

    /// The maps, to change ports and tunnels.
    pub fn maps_mut(&mut self) -> &mut M {
        &mut self.maps
    }

    /// Position of the class to file under: the mask's own if there is room, else the coarsest
    /// one there is that covers it. The last slot is kept for the exact mask, which covers all.
    fn class_for(&mut self, mask: &Mask) -> Result<usize, MapsError> {
        if let Some(at) = self.classes.iter().position(|c| c.mask == *mask) {
            return Ok(at);
        }
        if self.classes.len() >= MASKS_MAX - 1 {
            let kept = self
                .classes
                .iter()
                .filter(|c| c.decisions > 0)
                .cloned()
                .collect();
            self.write_classes(kept)?;
        }
        let exact = Mask::exact();
        let has_exact = self.classes.iter().any(|c| c.mask == exact);
        let room = MASKS_MAX - usize::from(!has_exact && *mask != exact);
        if self.classes.len() < room {
            return self.add_class(*mask);
        }
        let fits = |(_, c): &(usize, &Class)| covers(&c.mask, mask);
        let coarsest = self.classes.iter().enumerate().filter(fits);
        match coarsest.min_by_key(|(_, c)| weight(&c.mask)) {
            Some((at, _)) => Ok(at),
            None => self.add_class(exact),
        }
    }

    fn add_class(&mut self, mask: Mask) -> Result<usize, MapsError> {
        let class = Class {
            id: self.next_class,
            mask,
            decisions: 0,
            recent: 0,
        };
        self.next_class = self.next_class.wrapping_add(1);
        let at = self.classes.len();
        self.maps.set_mask(at as u32, &kernel_mask(&class))?;
        self.classes.push(class);
        Ok(at)
    }

    /// Makes the kernel's list this one. A walk meanwhile may miss a class: its packet comes up.
    fn write_classes(&mut self, classes: Vec<Class>) -> Result<(), MapsError> {
        for (slot, class) in classes.iter().enumerate() {
            if self.classes.get(slot).map(|c| c.id) != Some(class.id) {
                self.maps.set_mask(slot as u32, &kernel_mask(class))?;
            }
        }
        for slot in (classes.len()..self.classes.len()).rev() {
            self.maps.set_mask(slot as u32, &bpf_abi::Mask::default())?;
        }
        self.classes = classes;
        Ok(())
    }

    fn take_slot(&mut self) -> Result<u32, MapsError> {
        if self.free.is_empty() {
            let mut ids: Vec<u32> = self.entries.keys().copied().collect();
            ids.sort_by_key(|id| self.entries[id].hit);
            tracing::warn!(evicted = EVICTED_AT_ONCE, "the decision table is full");
            ids.into_iter()
                .take(EVICTED_AT_ONCE)
                .try_for_each(|id| self.remove(id))?;
        }
        Ok(self.free.pop_front().expect("eviction has freed slots"))
    }

    /// Gives a slot a meaning, or none, under a new generation.
    fn write_slot(&mut self, id: u32, action: &Action) -> Result<(), MapsError> {
        let generation = &mut self.generations[id as usize];
        *generation = generation.wrapping_add(1);
        let action = Action {
            generation: *generation,
            packets: 0,
            bytes: 0,
            ..*action
        };
        self.maps.set_action(id, &action)
    }

    fn retag(&mut self, id: u32, compiled: Compiled) {
        self.untag(id);
        for tag in &compiled.tags {
            self.by_tag.entry(tag.clone()).or_default().insert(id);
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.compiled = compiled;
        }
    }

    fn untag(&mut self, id: u32) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        for tag in &entry.compiled.tags {
            let Some(ids) = self.by_tag.get_mut(tag) else {
                continue;
            };
            ids.remove(&id);
            if ids.is_empty() {
                self.by_tag.remove(tag);
            }
        }
    }

    fn remove(&mut self, id: u32) -> Result<(), MapsError> {
        let Some(entry) = self.entries.get(&id) else {
            return Ok(());
        };
        self.maps.remove_decision(&entry.filed)?;
        self.by_key.remove(&entry.filed);
        self.forget(id)
    }

    /// Ends a slot that no key leads to any more.
    fn forget(&mut self, id: u32) -> Result<(), MapsError> {
        self.write_slot(id, &Action::default())?;
        self.untag(id);
        if let Some(entry) = self.entries.remove(&id) {
            let class = self.classes.iter_mut().find(|c| c.id == entry.filed.mask);
            class
                .expect("a class lives as long as its decisions")
                .decisions -= 1;
            self.free.push_back(id);
        }
        Ok(())
    }

    /// Ends all that the kernel's maps say, and learns the generations of the slots.
    fn empty_kernel(&mut self) -> Result<(), MapsError> {
        for slot in 0..MASKS_MAX as u32 {
            self.maps.set_mask(slot, &bpf_abi::Mask::default())?;
        }
        for (key, _) in self.maps.decisions()? {
            self.maps.remove_decision(&key)?;
        }
        for id in 1..ACTIONS_MAX {
            let action = self.maps.action(id)?;
            self.generations[id as usize] = action.generation;
            if action.kind != bpf_abi::ACTION_NONE {
                self.write_slot(id, &Action::default())?;
            }
            self.free.push_back(id);
        }
        Ok(())
    }
}

fn kernel_mask(class: &Class) -> bpf_abi::Mask {
    bpf_abi::Mask {
        used: 1,
        id: class.id,
        bits: words(&class.mask.0),
    }
}
