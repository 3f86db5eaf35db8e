//! Plugging over the fake maps and a device that only remembers.

use super::*;
use crate::{
    bindings,
    fixture::{bridge, link, port},
    state::{Bindings, StateDir},
    world::World,
};
use datapath::FakeMaps;
use topology::{Change, Object, Port, Versioned};
use uuid::Uuid;

#[derive(Default)]
struct Remembers {
    attached: BTreeMap<u32, Option<Vlan>>,
    refuses: BTreeSet<u32>,
}

impl Attach for Remembers {
    fn attach(&mut self, ifindex: u32, vlan: Option<Vlan>) -> Result<(), AttachError> {
        if self.refuses.contains(&ifindex) {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(AttachError::NoDevice { ifindex, source });
        }
        self.attached.insert(ifindex, vlan);
        Ok(())
    }

    fn detach(&mut self, ifindex: u32) -> Result<(), AttachError> {
        self.attached.remove(&ifindex);
        Ok(())
    }
}

struct Bench {
    plugger: Plugger<Remembers, FakeMaps>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(left: impl IntoIterator<Item = u32>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let world = World::new("h1".into(), FakeMaps::default());
        let shared = Arc::new(Shared::new(world, state).unwrap());
        Self {
            plugger: Plugger::new(Remembers::default(), shared, left),
            _dir: dir,
        }
    }

    fn put(&self, objects: impl IntoIterator<Item = Object>) {
        let put = |object| {
            Change::Put(Versioned {
                revision: 1,
                object,
            })
        };
        let changes = objects.into_iter().map(put).collect();
        self.plugger
            .shared
            .world()
            .apply(Uuid::nil(), 1, changes)
            .unwrap();
    }

    fn settle(&mut self, links: &[Link]) {
        let links = links.iter().map(|l| (l.index, l.clone())).collect();
        let snapshot = self.plugger.shared.world().snapshot().clone();
        let (explicit, none) = (Bindings::new(), BTreeSet::new());
        let wanted = bindings::wanted(&snapshot, "h1", &explicit, &links, &none);
        self.plugger.reconcile(&wanted.plugs).unwrap();
    }

    fn tunnels(&self) -> Vec<(TunnelKey, u32)> {
        self.plugger
            .shared
            .world()
            .table()
            .unwrap()
            .maps()
            .tunnels()
            .unwrap()
    }

    fn attached(&self) -> Vec<u32> {
        self.plugger.device.attached.keys().copied().collect()
    }
}

#[test]
fn a_tap_comes_and_goes_with_its_tunnel_key_and_the_flood_key_of_its_network() {
    let mut bench = Bench::new([]);
    let port = port(1, "h1");
    let tap = link(5, &port.tap_name());
    bench.put([Object::Bridge(bridge()), Object::Port(port.clone())]);
    bench.settle(&[]);
    assert_eq!((bench.attached(), bench.tunnels()), (vec![], vec![]));
    bench.settle(std::slice::from_ref(&tap));
    assert_eq!(
        (bench.attached(), bench.tunnels()),
        (vec![5], vec![(1, 5), (1000, 0)])
    );
    bench.settle(&[link(9, &port.tap_name())]);
    assert_eq!(
        (bench.attached(), bench.tunnels()),
        (vec![9], vec![(1, 9), (1000, 0)])
    );
    bench.settle(&[]);
    assert_eq!((bench.attached(), bench.tunnels()), (vec![], vec![]));
}

#[test]
fn a_changed_key_is_announced_without_attaching_again() {
    let mut bench = Bench::new([]);
    let mut port = port(1, "h1");
    let tap = [link(5, &port.tap_name())];
    bench.put([Object::Bridge(bridge()), Object::Port(port.clone())]);
    bench.settle(&tap);
    port.key = 77;
    bench.put([Object::Port(port)]);
    bench.plugger.device.refuses.insert(5);
    bench.settle(&tap);
    assert_eq!(
        (bench.attached(), bench.tunnels()),
        (vec![5], vec![(77, 5), (1000, 0)])
    );
}

#[test]
fn what_an_earlier_process_left_is_taken_over_or_let_go() {
    let mut bench = Bench::new([5, 6]);
    bench.plugger.device.attached.extend([(5, None), (6, None)]);
    let port = port(1, "h1");
    bench.put([Object::Bridge(bridge()), Object::Port(port.clone())]);
    bench.settle(&[link(5, &port.tap_name()), link(6, "tap-other")]);
    assert_eq!(bench.attached(), [5]);
}

#[test]
fn a_tap_that_refuses_is_tried_again_and_not_up_before() {
    let mut bench = Bench::new([]);
    let port = port(1, "h1");
    let tap = link(5, &port.tap_name());
    let links = BTreeMap::from([(5, tap.clone())]);
    bench.put([Object::Bridge(bridge()), Object::Port(port.clone())]);
    bench.plugger.device.refuses.insert(5);
    bench.settle(std::slice::from_ref(&tap));
    let up = |bench: &Bench, links: &_| {
        let world = bench.plugger.shared.world();
        ports_up(world.snapshot(), "h1", world.taps(), links)
    };
    assert!(up(&bench, &links).is_empty());
    bench.plugger.device.refuses.clear();
    bench.settle(std::slice::from_ref(&tap));
    assert_eq!(up(&bench, &links), BTreeSet::from([port.id]));
    let down = BTreeMap::from([(5, Link { up: false, ..tap })]);
    assert!(up(&bench, &down).is_empty());
}

#[test]
fn a_sub_port_comes_and_goes_without_its_parent_and_follows_its_tap() {
    let mut bench = Bench::new([]);
    let (parent, mut sub) = (port(1, "h1"), port(2, "h1"));
    let number = bpf_abi::PORT_VIRTUAL | sub.key;
    let trunk = |vlan| topology::Link::Host {
        host: "h1".into(),
        interface: None,
        trunk: Some(topology::Trunk {
            parent: parent.id,
            vlan,
        }),
        vlan: None,
    };
    sub.link = trunk(100);
    bench.put([
        Object::Bridge(bridge()),
        Object::Port(parent.clone()),
        Object::Port(sub.clone()),
    ]);
    let tap = link(5, &parent.tap_name());
    bench.settle(std::slice::from_ref(&tap));
    let on = |tap, id| BTreeMap::from([(tap, None), (number, Some(Vlan { tap, id }))]);
    assert_eq!(bench.plugger.device.attached, on(5, 100));
    assert_eq!(bench.tunnels(), [(1, 5), (2, number), (1000, 0)]);

    // its state is that of the interface it is on
    let up = |bench: &Bench, tap: &Link| {
        let world = bench.plugger.shared.world();
        let links = BTreeMap::from([(tap.index, tap.clone())]);
        ports_up(world.snapshot(), "h1", world.taps(), &links)
    };
    assert_eq!(up(&bench, &tap), BTreeSet::from([parent.id, sub.id]));
    let down = Link {
        up: false,
        ..tap.clone()
    };
    assert!(up(&bench, &down).is_empty());

    // another VLAN, another tap
    sub.link = trunk(101);
    bench.put([Object::Port(sub.clone())]);
    bench.settle(&[tap]);
    assert_eq!(bench.plugger.device.attached, on(5, 101));
    bench.settle(&[link(6, &parent.tap_name())]);
    assert_eq!(bench.plugger.device.attached, on(6, 101));

    // out of the trunk
    sub.link = topology::Link::None;
    bench.put([Object::Port(sub)]);
    bench.settle(&[link(6, &parent.tap_name())]);
    assert_eq!(bench.attached(), [6]);
    assert_eq!(bench.tunnels(), [(1, 6), (1000, 0)]);
}

#[test]
fn vlans_of_an_uplink_need_no_port_for_the_interface_itself() {
    let mut bench = Bench::new([4]);
    bench.plugger.device.attached.insert(4, None);
    let uplink = |number, vlan| Port {
        outside: true,
        link: topology::Link::Host {
            host: "h1".into(),
            interface: Some("eth1".into()),
            trunk: None,
            vlan,
        },
        ..port(number, "h1")
    };
    let (tagged, plain) = (uplink(1, Some(7)), uplink(2, None));
    let number = bpf_abi::PORT_VIRTUAL | tagged.key;
    let eth1 = link(4, "eth1");
    bench.put([Object::Bridge(bridge()), Object::Port(tagged.clone())]);
    bench.settle(std::slice::from_ref(&eth1));
    let on = |tap| BTreeMap::from([(tap, None), (number, Some(Vlan { tap, id: 7 }))]);
    assert_eq!(bench.plugger.device.attached, on(4));
    assert_eq!(bench.tunnels(), [(tagged.key, number), (1000, 0)]);

    // the untagged frames become a port's, and are nobody's again
    bench.put([Object::Port(plain.clone())]);
    bench.settle(std::slice::from_ref(&eth1));
    assert_eq!(
        bench.tunnels(),
        [(tagged.key, number), (plain.key, 4), (1000, 0)]
    );
    bench.put([Object::Port(Port {
        link: topology::Link::None,
        ..plain
    })]);
    bench.settle(std::slice::from_ref(&eth1));
    assert_eq!(bench.plugger.device.attached, on(4));
    assert_eq!(bench.tunnels(), [(tagged.key, number), (1000, 0)]);

    // an uplink is up when there is somebody at the other end
    let up = |bench: &Bench, carrier| {
        let world = bench.plugger.shared.world();
        let eth1 = Link {
            carrier,
            ..eth1.clone()
        };
        let links = BTreeMap::from([(4, eth1)]);
        ports_up(world.snapshot(), "h1", world.taps(), &links)
    };
    assert_eq!(up(&bench, true), BTreeSet::from([tagged.id]));
    assert!(up(&bench, false).is_empty());

    // another interface has the name, then none
    bench.settle(&[link(9, "eth1")]);
    assert_eq!(bench.plugger.device.attached, on(9));
    bench.settle(&[]);
    assert!(bench.attached().is_empty());
}
