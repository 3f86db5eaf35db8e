//! The decision table over the fake maps.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod suite;

use bpf_abi::{ACTIONS_MAX, FlowKey};
use datapath::{Compiled, FakeMaps, Maps, Table};
use flow::{DropReason, Mask};
use std::collections::{BTreeSet, HashSet};
use suite::Twin;

struct Fake(Table<FakeMaps>);

impl Twin for Fake {
    type M = FakeMaps;

    fn table(&mut self) -> &mut Table<FakeMaps> {
        &mut self.0
    }

    fn restart(&mut self) {
        let maps = std::mem::take(self.0.maps_mut());
        self.0 = Table::new(maps).unwrap();
    }

    fn look_up(&mut self, key: &FlowKey) -> Option<DropReason> {
        let (_, action) = self.0.maps_mut().look_up(key)?;
        DropReason::from_number(action.reason.into())
    }
}

fn fake() -> Fake {
    Fake(Table::new(FakeMaps::default()).unwrap())
}

#[test]
fn the_fake_maps_pass_the_suite() {
    suite::run(&mut fake());
}

fn numbered(number: u32) -> FlowKey {
    let mut key = FlowKey {
        family: 4,
        ..FlowKey::default()
    };
    key.src[12..].copy_from_slice(&number.to_be_bytes());
    key
}

fn plain() -> Compiled {
    let action = bpf_abi::Action {
        kind: bpf_abi::ACTION_DROP,
        reason: 1,
        ..Default::default()
    };
    Compiled {
        action,
        tags: BTreeSet::new(),
        cause: None,
    }
}

#[test]
fn a_full_table_lets_the_least_recently_hit_go() {
    let Fake(mut table) = fake();
    let mask = Mask(FlowKey {
        src: [0xff; 16],
        ..FlowKey::default()
    });
    for number in 0..ACTIONS_MAX - 1 {
        table.install(&numbered(number), &mask, plain()).unwrap();
    }
    assert_eq!(table.len() as u32, ACTIONS_MAX - 1);
    let used: Vec<FlowKey> = (0..100).map(numbered).collect();
    for key in &used {
        assert!(table.maps_mut().look_up(key).is_some());
    }
    table.reorder().unwrap();
    for number in 100_000..102_000 {
        table.install(&numbered(number), &mask, plain()).unwrap();
        assert!(table.maps_mut().look_up(&numbered(number)).is_some());
    }
    assert!(table.len() < ACTIONS_MAX as usize);
    assert!(
        used.iter()
            .all(|key| table.maps_mut().look_up(key).is_some()),
        "the used ones stay"
    );
    assert_eq!(table.maps().decisions().unwrap().len(), table.len());
}

#[test]
fn a_slot_never_has_the_same_generation_twice() {
    let Fake(mut table) = fake();
    let mask = Mask(FlowKey {
        src: [0xff; 16],
        ..FlowKey::default()
    });
    let mut seen = HashSet::new();
    for round in 0..3 {
        for number in 0..200 {
            let reason = round as u8 + 1;
            let compiled = Compiled {
                action: bpf_abi::Action {
                    reason,
                    ..plain().action
                },
                ..plain()
            };
            table.install(&numbered(number), &mask, compiled).unwrap();
        }
        for decision in table.decisions().unwrap() {
            assert!(seen.insert((decision.id, decision.action.generation)));
        }
        table.clear().unwrap();
    }
}
