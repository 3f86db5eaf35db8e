//! Plans carried out on a kernel that is only maps.

use super::*;
use linux::tc::priority;
use topology::{PolicyId, PortId};
use uuid::Uuid;

const SHAPER: u32 = 3;
const TAP: u32 = 5;
const SUB_PORT: u32 = 900;
const SENT: Way = (TAP, Direction::FromVm);
const GOT: Way = (TAP, Direction::ToVm);

#[derive(Default)]
struct Kernel {
    seen: Seen,
    held: Held,
    /// Frames that wait in a class when it is made.
    waiting: u32,
    /// Limits of packets as the program has them.
    packets: BTreeMap<Way, PacketLimit>,
}

type Ways = BTreeMap<Way, Wanted>;

fn wanted(number: u32, vlan: Option<u16>, rate: u64) -> Wanted {
    Wanted {
        tap: TAP,
        vlan,
        shape: Some(Shape {
            rate,
            burst: 1,
            queue: 1,
        }),
        packets: None,
        owner: Owner {
            number,
            port: PortId(Uuid::nil()),
            policy: PolicyId(Uuid::nil()),
        },
    }
}

fn own(rate: u64) -> Wanted {
    wanted(TAP, None, rate)
}

impl Kernel {
    /// Plans and does it; answers with what was done.
    fn pass(&mut self, wanted: &Ways) -> Vec<Step> {
        let plan = plan(&self.seen, &self.held, wanted, SHAPER);
        for step in &plan.steps {
            self.carry_out(*step);
        }
        plan.steps
    }

    /// As the real one would, with what it would refuse.
    fn carry_out(&mut self, step: Step) {
        match step {
            Step::AddShaper(link) => assert!(self.seen.links.insert(link)),
            Step::RemoveShaper(link) => {
                assert!(self.seen.queues.keys().all(|class| class.link != link));
                assert!(self.seen.links.remove(&link));
            }
            Step::SetShape(class, shape) => {
                assert!(self.seen.links.contains(&class.link));
                let queue = Queue {
                    waiting: self.waiting,
                    drops: 0,
                };
                self.seen.queues.entry(class).or_insert(queue);
                self.held.shapes.insert(class, shape);
            }
            Step::RemoveClass(class) => {
                assert_eq!(self.seen.queues.remove(&class).unwrap().waiting, 0);
                self.held.shapes.remove(&class);
                let unused = |way| self.class(way) != Some(class);
                assert!(self.seen.classes.keys().all(|way| unused(*way)));
            }
            Step::SetClass(way, None) => drop(self.seen.classes.remove(&way)),
            Step::SetClass(way, Some(minor)) => {
                self.seen.classes.insert(way, priority(minor));
                let class = self.class(way).unwrap();
                assert!(self.seen.queues.contains_key(&class), "not there yet");
            }
            Step::SetPackets(way, limit) => {
                self.seen.packets.remove(&way);
                self.held.packets.remove(&way);
                self.packets.remove(&way);
                if let Some(limit) = limit {
                    self.seen.packets.insert(way);
                    self.held.packets.insert(way, limit);
                    self.packets.insert(way, limit);
                }
            }
        }
    }

    /// The class in which frames wait that go this way.
    fn class(&self, way: Way) -> Option<Class> {
        let minor = minor_of(*self.seen.classes.get(&way)?)?;
        let link = match way.1 {
            Direction::FromVm => SHAPER,
            Direction::ToVm => TAP,
        };
        Some(Class { link, minor })
    }

    fn drain(&mut self) {
        self.seen.queues.values_mut().for_each(|q| q.waiting = 0);
    }

    /// What frames that go this way may do.
    fn shape(&self, way: Way) -> Option<Shape> {
        self.held.shapes.get(&self.class(way)?).copied()
    }
}

#[test]
fn a_limit_comes_changes_in_place_and_goes_when_nothing_waits() {
    let mut kernel = Kernel {
        waiting: 3,
        ..Kernel::default()
    };
    kernel.seen.links.insert(SHAPER);
    for way in [SENT, GOT] {
        let slow = Ways::from([(way, own(1000))]);
        kernel.pass(&slow);
        assert_eq!(kernel.shape(way), slow[&way].shape);
        assert_eq!(kernel.pass(&slow), [], "nothing more to do");
        let class = kernel.class(way).unwrap();
        let fast = Ways::from([(way, own(2000))]);
        let change = Step::SetShape(class, fast[&way].shape.unwrap());
        assert_eq!(kernel.pass(&fast), [change]);

        let none = Ways::new();
        let end = [Step::SetClass(way, None), Step::SetShape(class, OPEN)];
        assert_eq!(kernel.pass(&none), end);
        assert_eq!(kernel.pass(&none), [], "frames wait");
        kernel.drain();
        kernel.pass(&none);
        assert!(kernel.seen.is_empty(SHAPER));
    }
    assert!(kernel.seen.links.contains(&SHAPER), "it is the agent's own");
}

#[test]
fn a_limit_that_comes_back_meanwhile_keeps_its_class() {
    let mut kernel = Kernel {
        waiting: 3,
        ..Kernel::default()
    };
    let wanted = Ways::from([(GOT, own(1000))]);
    kernel.pass(&wanted);
    let class = kernel.class(GOT).unwrap();
    kernel.pass(&Ways::new());
    kernel.pass(&wanted);
    assert_eq!(kernel.class(GOT), Some(class));
    assert_eq!(kernel.shape(GOT), wanted[&GOT].shape);
    kernel.drain();
    assert_eq!(kernel.pass(&wanted), []);
}

#[test]
fn the_next_process_sets_the_rates_again_and_keeps_the_classes() {
    let mut kernel = Kernel::default();
    let other = (7, Direction::FromVm);
    let both = Ways::from([(SENT, own(1000)), (other, wanted(7, None, 2000))]);
    kernel.pass(&both);
    let class = kernel.class(other).unwrap();
    assert_ne!(kernel.class(SENT), Some(class));
    kernel.held = Held::default();
    let one = Ways::from([(other, both[&other])]);
    kernel.pass(&one);
    assert_eq!(kernel.class(other), Some(class));
    assert_eq!(kernel.shape(other), both[&other].shape);
    kernel.pass(&one);
    assert_eq!(kernel.seen.queues.len(), 1, "and what is not wanted goes");
    kernel.seen.queues.clear(); // somebody removed it by hand
    kernel.pass(&one);
    assert!(kernel.seen.queues.contains_key(&class));
}

#[test]
fn sub_ports_have_classes_of_their_own_on_the_tap() {
    let mut kernel = Kernel::default();
    let sub_port = (SUB_PORT, Direction::ToVm);
    let mut ways = Ways::from([
        (GOT, own(1000)),
        (sub_port, wanted(SUB_PORT, Some(100), 2000)),
    ]);
    kernel.pass(&ways);
    assert_ne!(kernel.class(GOT), kernel.class(sub_port));
    ways.insert(sub_port, wanted(SUB_PORT, Some(101), 2000));
    let before = kernel.class(sub_port);
    kernel.pass(&ways);
    assert_ne!(kernel.class(sub_port), before, "another VLAN");
    kernel.pass(&ways);
    assert_eq!(kernel.seen.queues.len(), 2);
    ways.remove(&sub_port);
    kernel.pass(&ways);
    kernel.pass(&ways);
    assert_eq!(kernel.seen.queues.len(), 1);
    assert!(kernel.seen.links.contains(&TAP));
}

#[test]
fn packet_limits_are_set_once_and_taken_back() {
    let limit = |pps| PacketLimit { pps, burst: 1 };
    let with = |pps| Wanted {
        shape: None,
        packets: Some(limit(pps)),
        ..own(1)
    };
    let mut kernel = Kernel::default();
    for pps in [10, 20] {
        let ways = Ways::from([(SENT, with(pps))]);
        assert_eq!(
            kernel.pass(&ways),
            [Step::SetPackets(SENT, Some(limit(pps)))]
        );
        assert_eq!(kernel.pass(&ways), []);
        kernel.held = Held::default();
        assert_eq!(kernel.pass(&ways).len(), 1, "another process");
    }
    kernel.pass(&Ways::new());
    assert!(kernel.packets.is_empty() && kernel.seen.is_empty(SHAPER));
}

/// Whatever is wanted one after another, with agents that die in between: a few looks later the
/// kernel has what was wanted last.
#[test]
fn any_history_leads_to_what_is_wanted_last() {
    let mut kernel = Kernel::default();
    let mut dice = 1_u64;
    let mut roll = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (dice >> 33) % sides
    };
    for _ in 0..2000 {
        let mut ways = Ways::new();
        for (number, vlan) in [(TAP, None), (SUB_PORT, Some(7)), (SUB_PORT + 1, Some(8))] {
            for direction in [Direction::FromVm, Direction::ToVm] {
                let mut one = wanted(number, vlan, 1 + roll(3));
                let vary = roll(4);
                if vary == 0 {
                    continue;
                }
                one.packets = (vary == 1).then_some(PacketLimit {
                    pps: 1,
                    burst: 1 + u32::try_from(roll(2)).unwrap(),
                });
                one.shape = one.shape.filter(|_| vary > 1 || roll(2) == 0);
                ways.insert((number, direction), one);
            }
        }
        kernel.waiting = u32::try_from(roll(2)).unwrap();
        if roll(5) == 0 {
            kernel.held = Held::default();
        }
        kernel.pass(&ways);
        if roll(2) == 0 {
            continue;
        }
        kernel.drain();
        kernel.pass(&ways);
        kernel.drain();
        kernel.pass(&ways);
        assert_eq!(kernel.pass(&ways), []);
        let shaped = ways.iter().filter(|(_, w)| w.shape.is_some());
        assert_eq!(kernel.seen.queues.len(), shaped.count());
        for (way, wanted) in &ways {
            assert_eq!(kernel.shape(*way), wanted.shape);
            assert_eq!(kernel.packets.get(way), wanted.packets.as_ref());
        }
    }
}
