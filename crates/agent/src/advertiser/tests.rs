//! Times of advertisements, and farewells.

use super::*;
use sim::testing::Town;
use std::collections::BTreeSet;
use topology::Object;

/// What the first VM of a small town is told, and what it is told when all routers are down.
fn said() -> (PortId, Vec<Advertisement>, Vec<Advertisement>) {
    let mut town = Town::with_default_group();
    let port = town.a.port;
    let told = |town: &Town| {
        let ports = BTreeSet::from([port]);
        sim::advertisements(&town.snapshot(), &ports).remove(&port)
    };
    let before = told(&town).unwrap();
    for object in &mut town.world.objects {
        if let Object::Router(router) = object {
            router.admin_up = false;
        }
    }
    let after = told(&town).unwrap();
    (port, before, after)
}

#[test]
fn a_port_starts_quickly_and_goes_on_slowly() {
    let (port, said, _) = said();
    let (mut schedule, start) = (Schedule::default(), Instant::now());
    let mut times = Vec::new();
    schedule.update(BTreeMap::from([(port, said)]), start);
    while times.len() < 6 {
        let now = schedule.next().unwrap();
        assert_eq!(schedule.due(now).len(), 1);
        times.push((now - start).as_secs());
    }
    assert_eq!(times[..3], [0, 16, 32]);
    for pair in times[2..].windows(2) {
        let pause = pair[1] - pair[0];
        assert!((SHORTEST..LONGEST).contains(&pause), "{times:?}");
    }
}

#[test]
fn a_change_starts_over_and_a_gone_port_is_forgotten() {
    let (port, said, other) = said();
    let (mut schedule, start) = (Schedule::default(), Instant::now());
    schedule.update(BTreeMap::from([(port, said.clone())]), start);
    assert_eq!(schedule.due(start).len(), 1);
    schedule.update(BTreeMap::from([(port, said)]), start);
    assert!(schedule.due(start).is_empty());
    schedule.update(BTreeMap::from([(port, other)]), start);
    assert_eq!(schedule.due(start).len(), 2, "with the router's farewell");
    schedule.update(BTreeMap::new(), start);
    assert_eq!(schedule.next(), None);
}

#[test]
fn farewells_go_with_the_first_few_and_then_it_is_quiet() {
    let (port, said, _) = said();
    let (mut schedule, start) = (Schedule::default(), Instant::now());
    schedule.update(BTreeMap::from([(port, said)]), start);
    schedule.due(start);
    schedule.update(BTreeMap::from([(port, vec![])]), start);
    for _ in 0..INITIAL {
        let now = schedule.next().unwrap();
        assert_eq!(schedule.due(now).len(), 1);
    }
    assert_eq!(schedule.next(), None);
}
