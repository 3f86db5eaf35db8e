//! Properties of `apply`: any order of changes gives what a fresh snapshot would be.

use super::*;
use crate::{Address, AddressPair, HostId, Link, Security, View};
use proptest::prelude::*;
use uuid::Uuid;

/// Few ids, so that objects are replaced, name each other, and go away while named.
fn id() -> impl Strategy<Value = Uuid> {
    (1..5_u128).prop_map(Uuid::from_u128)
}

fn ip() -> impl Strategy<Value = IpAddr> {
    (any::<bool>(), 1..4_u8).prop_map(|(v4, n)| match v4 {
        true => IpAddr::from([10, 0, 0, n]),
        false => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(n)]),
    })
}

fn net() -> impl Strategy<Value = IpNet> {
    let lens = prop_oneof![Just(None), Just(Some(24))];
    (ip(), lens).prop_map(|(ip, len)| {
        let len = len.unwrap_or(if ip.is_ipv4() { 32 } else { 128 });
        IpNet::new(ip, len)
            .map(|n| n.trunc())
            .unwrap_or_else(|_| IpNet::from(ip))
    })
}

fn nets() -> impl Strategy<Value = Vec<IpNet>> {
    proptest::collection::btree_set(net(), 0..4).prop_map(Vec::from_iter)
}

fn mac() -> impl Strategy<Value = Mac> {
    (1..4_u8).prop_map(|n| Mac([2, 0, 0, 0, 0, n]))
}

fn link() -> impl Strategy<Value = Link> {
    prop_oneof![
        Just(Link::None),
        id().prop_map(|id| Link::Router(RouterId(id))),
        (1..3_u8).prop_map(|n| Link::Host {
            host: format!("host{n}"),
            interface: None,
            trunk: None,
            vlan: None,
        }),
    ]
}

fn security() -> impl Strategy<Value = Option<Security>> {
    let groups = proptest::collection::vec(id().prop_map(GroupId), 0..3);
    let pair = (net(), mac()).prop_map(|(net, mac)| AddressPair { net, mac });
    let security = (groups, proptest::collection::vec(pair, 0..3));
    proptest::option::of(security.prop_map(|(groups, pairs)| Security { groups, pairs }))
}

fn port() -> impl Strategy<Value = Object> {
    let address = (ip(), id()).prop_map(|(ip, id)| Address {
        ip,
        subnet: SubnetId(id),
    });
    let addresses = proptest::collection::vec(address, 0..3);
    let bridge = proptest::option::of(id().prop_map(BridgeId));
    (id(), bridge, mac(), addresses, link(), security()).prop_map(
        |(id, bridge, mac, addresses, link, security)| {
            let (name, admin_up, key) = (String::new(), true, 1);
            let id = PortId(id);
            Object::Port(Port {
                id,
                name,
                bridge,
                admin_up,
                mac,
                outside: false,
                addresses,
                link,
                key,
                security,
                policy: None,
                instance: None,
                dhcp_options: vec![],
            })
        },
    )
}

fn subnet() -> impl Strategy<Value = Object> {
    (id(), id(), net()).prop_map(|(id, bridge, cidr)| {
        Object::Subnet(Subnet {
            id: SubnetId(id),
            bridge: BridgeId(bridge),
            cidr,
            gateway: None,
            dhcp: true,
            dns: vec![],
            host_routes: vec![],
            ipv6_mode: None,
            ipv6_address_mode: None,
        })
    })
}

fn object() -> impl Strategy<Value = Object> {
    let bridge = |(id, admin_up)| {
        let (id, name, mtu, flood_key) = (BridgeId(id), String::new(), 1450, 9);
        Object::Bridge(Bridge {
            id,
            name,
            admin_up,
            mtu,
            flood_key,
        })
    };
    let router = |(id, admin_up)| {
        let (id, name, routes) = (RouterId(id), String::new(), vec![]);
        Object::Router(Router {
            id,
            name,
            admin_up,
            routes,
            key: 0,
            gateway: None,
        })
    };
    let group = |(id, stateful)| {
        let (id, name, rules) = (GroupId(id), String::new(), vec![]);
        Object::Group(Group {
            id,
            name,
            stateful,
            rules,
        })
    };
    let host = |(id, tunnel)| {
        // the name goes with the id, as the cluster sees to it that names are unique
        Object::Host(Host {
            id: HostId(id),
            name: format!("host {id}"),
            tunnel,
            draining: false,
        })
    };
    let addresses = (id(), nets()).prop_map(|(id, nets)| {
        let (id, name) = (AddressGroupId(id), String::new());
        Object::AddressGroup(AddressGroup { id, name, nets })
    });
    prop_oneof![
        addresses,
        (id(), any::<bool>()).prop_map(bridge),
        (id(), any::<bool>()).prop_map(router),
        (id(), any::<bool>()).prop_map(group),
        (id(), ip()).prop_map(host),
        subnet(),
        port(),
        port(),
        port(),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let put = (object(), 1..9_u64).prop_map(|(object, r)| Versioned {
        revision: r,
        object,
    });
    prop_oneof![
        4 => put.prop_map(Change::Put),
        1 => object().prop_map(|o| Change::Delete(o.id())),
    ]
}

fn put(revision: u64, object: Object) -> Change {
    Change::Put(Versioned { revision, object })
}

/// A snapshot built from what another holds.
fn fresh(snapshot: &Snapshot) -> Snapshot {
    let mut fresh = Snapshot::default();
    for versioned in snapshot.objects() {
        fresh.apply(Change::Put(versioned));
    }
    fresh
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn deltas_equal_a_fresh_start(changes in proptest::collection::vec(change(), 0..60)) {
        let mut snapshot = Snapshot::default();
        for change in changes {
            snapshot.apply(change);
            // every index is part of the comparison
            prop_assert_eq!(&snapshot, &fresh(&snapshot));
        }
    }

    #[test]
    fn an_address_is_in_a_set_as_its_prefixes_say(
        before in nets(), after in nets(), asked in ip(),
    ) {
        let id = AddressGroupId(Uuid::from_u128(1));
        let group = |nets: &[IpNet]| {
            let (nets, name) = (nets.to_vec(), String::new());
            Object::AddressGroup(AddressGroup { id, name, nets })
        };
        let is_in = |snapshot: &Snapshot| {
            let mut tags = BTreeSet::new();
            let found = snapshot.is_in(SetId::Addresses(id), asked, |tag| {
                tags.insert(tag);
            });
            (found, tags)
        };
        let covers = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&asked));
        let mut snapshot = Snapshot::of([group(&before)]);
        let (found, tags) = is_in(&snapshot);
        prop_assert_eq!(found, covers(&before));
        let touched = snapshot.apply(put(2, group(&after)));
        let now = is_in(&snapshot).0;
        prop_assert_eq!(now, covers(&after));
        prop_assert!(now == found || !tags.is_disjoint(&touched));
    }

    #[test]
    fn the_same_again_touches_nothing(changes in proptest::collection::vec(change(), 0..30)) {
        let mut snapshot = Snapshot::default();
        for change in changes {
            snapshot.apply(change.clone());
            let mut again = snapshot.clone();
            prop_assert_eq!(again.apply(change), BTreeSet::new());
            prop_assert_eq!(&again, &snapshot);
        }
    }

    #[test]
    fn what_is_deleted_is_gone(changes in proptest::collection::vec(change(), 0..60)) {
        let mut snapshot = Snapshot::default();
        changes.into_iter().for_each(|c| drop(snapshot.apply(c)));
        let ids: Vec<ObjectId> = snapshot.objects().map(|v| v.object.id()).collect();
        for id in ids {
            snapshot.apply(Change::Delete(id));
            prop_assert_eq!(snapshot.get(id), None);
        }
        prop_assert_eq!(snapshot, Snapshot::default());
    }

    #[test]
    fn a_view_brings_a_host_to_what_it_needs(
        changes in proptest::collection::vec(change(), 0..40),
        at in 0..40_usize,
    ) {
        // a host that follows step by step, and one that joins at the end, hold the same
        let (mut all, mut near, mut view) = (Snapshot::default(), Snapshot::default(), View::default());
        for (i, mut change) in changes.into_iter().enumerate() {
            if let Change::Put(versioned) = &mut change {
                versioned.revision = i as u64; // a store never writes the same one twice
            }
            all.apply(change);
            if i >= at {
                view.advance(&all, "host1").into_iter().for_each(|c| drop(near.apply(c)));
            }
        }
        view.advance(&all, "host1").into_iter().for_each(|c| drop(near.apply(c)));
        let mut late = Snapshot::default();
        View::default().advance(&all, "host1").into_iter().for_each(|c| drop(late.apply(c)));
        prop_assert_eq!(near, late);
    }
}

/// A member of group 1 with a fixed address and an allowed pair.
fn member() -> Port {
    let (group, id) = (GroupId(Uuid::from_u128(1)), PortId(Uuid::from_u128(2)));
    let subnet = SubnetId(Uuid::from_u128(3));
    let own: IpAddr = "10.0.0.5".parse().unwrap();
    let pair = AddressPair {
        net: "10.1.0.0/24".parse().unwrap(),
        mac: Mac::default(),
    };
    Port {
        id,
        name: String::new(),
        bridge: None,
        admin_up: true,
        mac: Mac::default(),
        outside: false,
        addresses: vec![Address { ip: own, subnet }],
        link: Link::None,
        key: 1,
        security: Some(Security {
            groups: vec![group],
            pairs: vec![pair],
        }),
        policy: None,
        instance: None,
        dhcp_options: vec![],
    }
}

#[test]
fn members_are_fixed_addresses_and_allowed_pairs() {
    let (group, id) = (GroupId(Uuid::from_u128(1)), PortId(Uuid::from_u128(2)));
    let own: IpAddr = "10.0.0.5".parse().unwrap();
    let mut snapshot = Snapshot::of([Object::Port(member())]);
    let set = SetId::Members(group);
    let is_in = |snapshot: &Snapshot, ip: IpAddr| snapshot.is_in(set, ip, drop);
    assert!(is_in(&snapshot, own));
    assert!(is_in(&snapshot, "10.1.0.77".parse().unwrap()));
    assert!(!is_in(&snapshot, "10.1.1.77".parse().unwrap()));
    let touched = snapshot.apply(Change::Delete(ObjectId::Port(id)));
    let covered = |net: &str| Tag::Covered(set, net.parse().unwrap());
    let wanted = [
        Tag::Port(id),
        covered("10.0.0.5/32"),
        covered("10.1.0.0/24"),
    ];
    assert_eq!(touched, BTreeSet::from(wanted));
    assert!(!is_in(&snapshot, own));
}

#[test]
fn a_port_that_stays_a_member_touches_no_membership() {
    let mut snapshot = Snapshot::of([Object::Port(member())]);
    let renamed = Port {
        name: "new".to_owned(),
        ..member()
    };
    let touched = snapshot.apply(put(2, Object::Port(renamed)));
    assert_eq!(
        touched,
        BTreeSet::from([Tag::Port(PortId(Uuid::from_u128(2)))])
    );
}

#[test]
fn one_address_more_touches_that_address_only() {
    let id = AddressGroupId(Uuid::from_u128(1));
    let group = |nets: &[&str]| {
        Object::AddressGroup(AddressGroup {
            id,
            name: String::new(),
            nets: nets.iter().map(|net| net.parse().unwrap()).collect(),
        })
    };
    let set = SetId::Addresses(id);
    let covered = |net: &str| Tag::Covered(set, net.parse().unwrap());
    let mut snapshot = Snapshot::of([group(&["10.0.0.0/24", "10.0.1.1/32", "fd00::/64"])]);
    let more = ["10.0.0.0/24", "10.0.1.1/32", "fd00::/64", "fd00:1::5/128"];
    let touched = snapshot.apply(put(2, group(&more)));
    assert_eq!(touched, BTreeSet::from([covered("fd00:1::5/128")]));
    // a length that nobody has asked for yet concerns all who asked
    let touched = snapshot.apply(put(3, group(&["10.0.0.0/24", "10.0.0.0/8"])));
    let gone = ["10.0.1.1/32", "fd00::/64", "fd00:1::5/128"].map(covered);
    let mut wanted = BTreeSet::from(gone);
    wanted.extend([Tag::Lengths(set), covered("10.0.0.0/8")]);
    assert_eq!(touched, wanted);
}
