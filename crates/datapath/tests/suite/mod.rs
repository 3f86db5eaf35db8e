//! What the decision table must do, whatever its maps are made of: run over the fake maps and over
//! the kernel's.

use bpf_abi::{
    ACTION_DROP, Action, FROM_VM, FlowKey, Limit, LimitKey, MASKS_MAX, PORT_VIRTUAL, Subport, TO_VM,
};
use datapath::{Compiled, Maps, Pool, PoolCounts, Table};
use flow::{DropReason, Mask};
use std::collections::BTreeSet;
use topology::Tag;

/// A table together with the look-up that serves packets from it.
pub trait Twin {
    /// The maps.
    type M: Maps;
    /// The table.
    fn table(&mut self) -> &mut Table<Self::M>;
    /// Forgets the table's books, as a restart of the agent does.
    fn restart(&mut self);
    /// What happens to a UDP packet with this key: the reason it is dropped for, or a miss.
    fn look_up(&mut self, key: &FlowKey) -> Option<DropReason>;
}

/// Runs all cases.
pub fn run(twin: &mut impl Twin) {
    for case in [
        a_mask_is_a_class,
        the_last_word_counts,
        tags_take_out_what_depends_on_them,
    ] {
        case(twin);
        twin.table().clear().unwrap();
        assert!(twin.table().is_empty());
    }
    a_tag_has_one_sub_port(twin);
    limits_are_what_was_set_last(twin);
    pools_are_what_was_set_last(twin);
    more_classes_than_slots(twin);
    the_busiest_class_comes_first(twin);
    a_restart_forgets_decisions(twin);
}

fn tag(name: &str) -> Tag {
    Tag::Host(name.into())
}

fn refuse(reason: DropReason, tags: &[&str]) -> Compiled {
    let action = Action {
        kind: ACTION_DROP,
        reason: reason as u8,
        ..Action::default()
    };
    Compiled {
        action,
        tags: tags.iter().map(|t| tag(t)).collect(),
        cause: None,
    }
}

/// A UDP packet between addresses that end in these bytes.
fn packet(src: u8, dst: u8, dport: u16) -> FlowKey {
    FlowKey {
        in_port: 1001,
        family: 4,
        proto: 17,
        smac: [2, 0, 0, 0, 0, 0xa],
        dmac: [2, 0, 0, 0, 0, 0xb],
        src: flow::mapped([10, 0, 1, src].into()),
        dst: flow::mapped([10, 0, 2, dst].into()),
        sport: 4000,
        dport,
        ..FlowKey::default()
    }
}

fn on_dport(bits: u16) -> Mask {
    Mask(FlowKey {
        in_port: u32::MAX,
        dport: bits,
        ..FlowKey::default()
    })
}

fn a_mask_is_a_class<T: Twin>(twin: &mut T) {
    let decision = refuse(DropReason::NoRoute, &[]);
    twin.table()
        .install(&packet(1, 1, 0x1234), &on_dport(0xff00), decision)
        .unwrap();
    assert_eq!(
        twin.look_up(&packet(9, 9, 0x1200)),
        Some(DropReason::NoRoute)
    );
    assert_eq!(twin.look_up(&packet(1, 1, 0x1334)), None);
    let elsewhere = FlowKey {
        in_port: 1002,
        ..packet(1, 1, 0x1234)
    };
    assert_eq!(twin.look_up(&elsewhere), None);
}

fn the_last_word_counts<T: Twin>(twin: &mut T) {
    let key = packet(1, 1, 53);
    for reason in [
        DropReason::NoRoute,
        DropReason::UnknownMac,
        DropReason::NoRoute,
    ] {
        twin.table()
            .install(&key, &on_dport(0xffff), refuse(reason, &["a"]))
            .unwrap();
        assert_eq!((twin.look_up(&key), twin.table().len()), (Some(reason), 1));
    }
    // the same again with other tags: only the tags change
    twin.table()
        .install(&key, &on_dport(0xffff), refuse(DropReason::NoRoute, &["b"]))
        .unwrap();
    assert_eq!(twin.table().invalidate(&[tag("a")].into()).unwrap(), 0);
    assert_eq!(twin.table().invalidate(&[tag("b")].into()).unwrap(), 1);
    assert_eq!(twin.look_up(&key), None);
}

fn tags_take_out_what_depends_on_them<T: Twin>(twin: &mut T) {
    for (port, tags) in [(1, &["a", "b"][..]), (2, &["b", "c"]), (3, &["c"])] {
        let decision = refuse(DropReason::NoRoute, tags);
        twin.table()
            .install(&packet(1, 1, port), &on_dport(0xffff), decision)
            .unwrap();
    }
    let found = |twin: &mut T| [1, 2, 3].map(|port| twin.look_up(&packet(1, 1, port)).is_some());
    assert_eq!(found(twin), [true, true, true]);
    assert_eq!(twin.table().invalidate(&[tag("x")].into()).unwrap(), 0);
    assert_eq!(
        twin.table()
            .invalidate(&[tag("a"), tag("b")].into())
            .unwrap(),
        2
    );
    assert_eq!(found(twin), [false, false, true]);
}

fn a_tag_has_one_sub_port<T: Twin>(twin: &mut T) {
    let maps = twin.table().maps_mut();
    let at = |ifindex, vlan| Subport {
        ifindex,
        vlan,
        pad: 0,
    };
    let [one, two] = [PORT_VIRTUAL + 1, PORT_VIRTUAL + 2];
    let listed = |maps: &T::M| {
        let mut all = maps.subports().unwrap();
        all.sort();
        all
    };
    maps.set_subport(one, at(7, 5)).unwrap();
    maps.set_subport(two, at(7, 6)).unwrap();
    maps.set_subport(two, at(7, 6)).unwrap();
    assert_eq!(listed(maps), [(one, at(7, 5)), (two, at(7, 6))]);
    maps.set_subport(one, at(8, 5)).unwrap();
    assert_eq!(listed(maps), [(one, at(8, 5)), (two, at(7, 6))]);
    maps.set_subport(two, at(8, 5)).unwrap();
    assert_eq!(listed(maps), [(two, at(8, 5))]);
    for _ in 0..2 {
        maps.remove_subport(two).unwrap();
        assert_eq!(listed(maps), []);
    }
}

fn pools_are_what_was_set_last(twin: &mut impl Twin) {
    let pool = |last, blocks: &[u8]| Pool {
        address: [203, 0, 113, last].into(),
        blocks: blocks.iter().copied().collect(),
    };
    let maps = twin.table().maps_mut();
    maps.set_pool(7, &pool(7, &[4, 255])).unwrap();
    maps.set_pool(8, &pool(8, &[9])).unwrap();
    maps.set_pool(7, &pool(9, &[])).unwrap();
    let none = PoolCounts::default();
    let mut pools = maps.pools().unwrap();
    pools.sort_by_key(|(router, ..)| *router);
    assert_eq!(pools, [(7, pool(9, &[]), none), (8, pool(8, &[9]), none)]);
    assert!(maps.ports_in_use(0).unwrap().is_empty());
    for router in [7, 7, 8] {
        maps.remove_pool(router).unwrap();
    }
    assert!(maps.pools().unwrap().is_empty());
}

fn limits_are_what_was_set_last<T: Twin>(twin: &mut T) {
    let maps = twin.table().maps_mut();
    let key = |direction| LimitKey { port: 7, direction };
    for limit in [
        None,
        Some(Limit::new(100, 10)),
        Some(Limit::new(1, 1)),
        None,
    ] {
        maps.set_limit(key(TO_VM), limit).unwrap();
        assert_eq!(maps.limit(key(TO_VM)).unwrap(), limit);
        assert_eq!(maps.limit(key(FROM_VM)).unwrap(), None);
        let all: Vec<_> = limit.map(|_| key(TO_VM)).into_iter().collect();
        assert_eq!(maps.limits().unwrap(), all);
    }
    for class in [None, Some(0x1_0005), Some(0x1_0006), None] {
        maps.set_class(key(TO_VM), class).unwrap();
        assert_eq!(maps.class(key(TO_VM)).unwrap(), class);
        assert_eq!(maps.class(key(FROM_VM)).unwrap(), None);
        let all: Vec<_> = class.map(|class| (key(TO_VM), class)).into_iter().collect();
        assert_eq!(maps.classes().unwrap(), all);
    }
}

/// Judges by bits that other bits choose, as a simulation does, in far more combinations than there
/// are slots.
fn judge(key: &FlowKey) -> (Mask, DropReason) {
    let selector = key.src[15];
    let ports = [0, 0xf000, 0xff00, 0xfff0, 0xffff];
    let (dport, sport) = (
        ports[selector as usize % 5],
        ports[selector as usize / 5 % 5],
    );
    let dst = if selector & 32 == 0 {
        [0; 16]
    } else {
        [0xff; 16]
    };
    let smac = if selector & 64 == 0 {
        [0; 6]
    } else {
        [0xff; 6]
    };
    let mask = Mask(FlowKey {
        in_port: u32::MAX,
        src: [0xff; 16],
        dst,
        smac,
        sport,
        dport,
        ..FlowKey::default()
    });
    let seen = mask.apply(key);
    let sum = seen
        .src
        .iter()
        .chain(&seen.dst)
        .chain(&seen.smac)
        .map(|b| u32::from(*b))
        .sum::<u32>();
    let sum = sum + u32::from(seen.sport) + u32::from(seen.dport);
    let reason = if sum % 2 == 0 {
        DropReason::NoRoute
    } else {
        DropReason::UnknownMac
    };
    (mask, reason)
}

fn more_classes_than_slots<T: Twin>(twin: &mut T) {
    let scatter = |n: u32| n.wrapping_mul(2_654_435_761) >> 7;
    let keys = |from: u32, to: u32| {
        (from..to)
            .map(scatter)
            .map(|r| packet(r as u8, (r >> 8) as u8 % 4, (r >> 9) as u16))
    };
    for key in keys(0, 2000) {
        let (mask, reason) = judge(&key);
        twin.table()
            .install(&key, &mask, refuse(reason, &["all"]))
            .unwrap();
        assert_eq!(
            twin.look_up(&key),
            Some(reason),
            "what is installed is found: {key:?}"
        );
    }
    let used = (0..MASKS_MAX as u32).filter(|s| twin.table().maps().mask(*s).unwrap().used == 1);
    assert_eq!(used.count(), MASKS_MAX);
    for key in keys(0, 4000) {
        if let Some(found) = twin.look_up(&key) {
            assert_eq!(
                found,
                judge(&key).1,
                "a decision answers for a packet not its own: {key:?}"
            );
        }
    }
    twin.table().reorder().unwrap();
    for key in keys(0, 2000) {
        assert_eq!(
            twin.look_up(&key),
            Some(judge(&key).1),
            "reordering loses nothing: {key:?}"
        );
    }
    let all = twin.table().len();
    assert_eq!(twin.table().invalidate(&[tag("all")].into()).unwrap(), all);
    assert!(keys(0, 2000).all(|key| twin.look_up(&key).is_none()));
    twin.table().reorder().unwrap();
    assert_eq!(
        twin.table().maps().mask(0).unwrap().used,
        0,
        "empty classes go"
    );
}

fn the_busiest_class_comes_first<T: Twin>(twin: &mut T) {
    let (quiet, busy) = (packet(1, 1, 1), packet(1, 1, 0xf000));
    twin.table()
        .install(&quiet, &on_dport(0xffff), refuse(DropReason::NoRoute, &[]))
        .unwrap();
    twin.table()
        .install(&busy, &on_dport(0xf000), refuse(DropReason::NoRoute, &[]))
        .unwrap();
    let first = twin.table().maps().mask(0).unwrap();
    for _ in 0..3 {
        twin.look_up(&busy);
    }
    twin.look_up(&quiet);
    twin.table().reorder().unwrap();
    assert_eq!(
        twin.table().maps().mask(1).unwrap(),
        first,
        "the quiet class is second now"
    );
    assert!(twin.look_up(&quiet).is_some() && twin.look_up(&busy).is_some());
    let packets: BTreeSet<_> = twin
        .table()
        .decisions()
        .unwrap()
        .iter()
        .map(|d| d.action.packets)
        .collect();
    assert_eq!(packets, BTreeSet::from([2, 4]));
    twin.table().clear().unwrap();
}

fn a_restart_forgets_decisions<T: Twin>(twin: &mut T) {
    let key = packet(1, 1, 1);
    twin.table()
        .install(&key, &on_dport(0xffff), refuse(DropReason::NoRoute, &[]))
        .unwrap();
    let id = twin.table().decisions().unwrap()[0].id;
    let generation = twin.table().maps().action(id).unwrap().generation;
    twin.restart();
    assert!(twin.table().is_empty());
    assert_eq!(twin.look_up(&key), None);
    assert!(twin.table().maps().action(id).unwrap().generation > generation);
}
