use super::*;
use crate::{Address, AddressPair, Bridge, Change, Object, ObjectId, Security, Subnet, SubnetId};
use crate::{RouterId, Versioned};
use uuid::Uuid;

const NET: BridgeId = BridgeId(Uuid::from_u128(1));
const SUBNET: SubnetId = SubnetId(Uuid::from_u128(2));

fn id(n: u128) -> PortId {
    PortId(Uuid::from_u128(n))
}

fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

/// Port `n` with MAC and address `n` on `h1`, with pairs; `None` is without port security.
fn port(n: u8, pairs: Option<&[(&str, u8)]>) -> Port {
    let pair = |(net, m): &(&str, u8)| AddressPair {
        net: net.parse().unwrap(),
        mac: mac(*m),
    };
    Port {
        id: id(u128::from(n)),
        name: String::new(),
        bridge: Some(NET),
        admin_up: true,
        mac: mac(n),
        outside: false,
        addresses: vec![Address {
            ip: ip(n),
            subnet: SUBNET,
        }],
        link: at("h1"),
        key: u32::from(n),
        security: pairs.map(|pairs| Security {
            groups: Vec::new(),
            pairs: pairs.iter().map(pair).collect(),
        }),
        policy: None,
        instance: None,
        dhcp_options: Vec::new(),
    }
}

fn at(host: &str) -> Link {
    Link::Host {
        host: host.into(),
        interface: None,
        trunk: None,
        vlan: None,
    }
}

fn snapshot(ports: impl IntoIterator<Item = Port>) -> Snapshot {
    let bridge = Bridge {
        id: NET,
        name: String::new(),
        admin_up: true,
        mtu: 1450,
        flood_key: 99,
    };
    let subnet = Subnet {
        id: SUBNET,
        bridge: NET,
        cidr: "10.0.0.0/24".parse().unwrap(),
        gateway: None,
        dhcp: false,
        dns: Vec::new(),
        host_routes: Vec::new(),
        ipv6_mode: None,
        ipv6_address_mode: None,
    };
    let fixed = [Object::Bridge(bridge), Object::Subnet(subnet)];
    Snapshot::of(fixed.into_iter().chain(ports.into_iter().map(Object::Port)))
}

/// Station with MAC `m` and address `a` behind port `n`.
fn station(n: u8, m: u8, a: Option<u8>) -> Station {
    Station {
        bridge: NET,
        port: id(u128::from(n)),
        mac: mac(m),
        ip: a.map(ip),
    }
}

fn holder(snapshot: &Snapshot, tag: &Tag) -> Option<(PortId, Mac)> {
    Some(match snapshot.holder(tag)? {
        Holder::Fixed(port) => (port.id, port.mac),
        Holder::Learned(port, mac) => (port.id, mac),
    })
}

#[test]
fn only_what_the_port_may_use_is_learned() {
    let mut snapshot = snapshot([port(1, Some(&[("10.0.0.9/32", 9)])), port(2, None)]);
    for (station, learned) in [
        (station(1, 9, None), Learned::Changed),
        (station(1, 9, Some(9)), Learned::Changed),
        (station(1, 9, Some(9)), Learned::Known),
        (station(1, 9, Some(8)), Learned::Forbidden),
        (station(1, 8, None), Learned::Forbidden),
        (station(2, 8, Some(7)), Learned::Changed),
        (station(2, 1, None), Learned::Forbidden),
        (station(2, 8, Some(1)), Learned::Forbidden),
        (station(3, 8, None), Learned::Forbidden),
        (
            Station {
                ip: Some(IpAddr::from([192, 0, 2, 1])),
                ..station(2, 8, None)
            },
            Learned::Forbidden,
        ),
    ] {
        assert_eq!(snapshot.learn(station), learned, "{station:?}");
    }
    assert_eq!(
        holder(&snapshot, &Tag::Neighbor(NET, ip(9))),
        Some((id(1), mac(9)))
    );
}

#[test]
fn a_fixed_address_is_taken_by_who_is_named_for_it_or_while_it_is_only_reserved() {
    let named = port(2, Some(&[("10.0.0.1/32", 2)]));
    let covering = port(3, Some(&[("10.0.0.0/24", 3)]));
    let tag = Tag::Neighbor(NET, ip(1));
    let mut shared = snapshot([port(1, Some(&[])), named, covering]);
    assert_eq!(shared.learn(station(3, 3, Some(1))), Learned::Forbidden);
    assert_eq!(shared.learn(station(2, 2, Some(1))), Learned::Changed);
    assert_eq!(holder(&shared, &tag), Some((id(2), mac(2))));
    // its owner speaks: it is back
    assert_eq!(shared.learn(station(1, 1, Some(1))), Learned::Changed);
    assert_eq!(holder(&shared, &tag), Some((id(1), mac(1))));

    let reserved = Port {
        link: Link::None,
        ..port(1, Some(&[]))
    };
    let mut octavia = snapshot([reserved.clone(), port(3, Some(&[("10.0.0.0/24", 3)]))]);
    assert_eq!(octavia.learn(station(3, 3, Some(1))), Learned::Changed);
    assert_eq!(holder(&octavia, &tag), Some((id(3), mac(3))));
    // a router is given the address: nobody else has it from now on
    let router = Port {
        link: Link::Router(RouterId(Uuid::from_u128(5))),
        ..reserved
    };
    let put = Change::Put(Versioned {
        revision: 2,
        object: Object::Port(router),
    });
    assert!(octavia.apply(put).contains(&tag));
    assert_eq!(holder(&octavia, &tag), Some((id(1), mac(1))));
}

#[test]
fn stations_go_with_their_port_its_host_and_its_pairs() {
    let home = port(1, Some(&[("10.0.0.9/32", 9)]));
    let other = Port {
        link: at("h2"),
        ..home.clone()
    };
    let stripped = port(1, Some(&[]));
    let renamed = Port {
        name: "new".into(),
        ..home.clone()
    };
    let put = |port: Port| {
        Change::Put(Versioned {
            revision: 2,
            object: Object::Port(port),
        })
    };
    let tags = [station(1, 9, None), station(1, 9, Some(9))].map(|s| s.tag());
    for (change, kept) in [
        (put(renamed), true),
        (put(other), false),
        (put(stripped), false),
        (Change::Delete(ObjectId::Port(id(1))), false),
    ] {
        let mut snapshot = snapshot([home.clone()]);
        snapshot.learn(station(1, 9, None));
        snapshot.learn(station(1, 9, Some(9)));
        let touched = snapshot.apply(change.clone());
        assert_eq!(snapshot.stations().count(), if kept { 2 } else { 0 });
        let told = tags.iter().all(|tag| touched.contains(tag));
        assert_eq!(told, !kept, "{change:?}");
    }
}

#[test]
fn a_port_has_no_more_than_its_share() {
    let mut snapshot = snapshot([port(1, None), port(2, None)]);
    let nth = |port, n: usize| Station {
        mac: Mac([6, 0, 0, 0, (n >> 8) as u8, n as u8]),
        ..station(port, 0, None)
    };
    for n in 0..STATIONS_PER_PORT {
        assert_eq!(snapshot.learn(nth(1, n)), Learned::Changed);
    }
    assert_eq!(snapshot.learn(nth(1, STATIONS_PER_PORT)), Learned::Full);
    assert_eq!(snapshot.learn(nth(2, STATIONS_PER_PORT)), Learned::Changed);
    // one that moves makes room
    assert_eq!(snapshot.learn(nth(2, 0)), Learned::Changed);
    assert_eq!(snapshot.learn(nth(1, STATIONS_PER_PORT)), Learned::Changed);
    assert_eq!(snapshot.stations_of(id(1)).count(), STATIONS_PER_PORT);
    for station in snapshot.stations().copied().collect::<Vec<_>>() {
        snapshot.forget_station(&station.tag());
    }
    assert_eq!(snapshot.stations, Stations::default());
}
