//! Random topologies, and packets and changes that are likely to matter in them.

use super::{Dice, Frame, Payload, World, mac, rule};
use bpf_abi::{STATE_FORWARD, STATE_REPLY};
use ipnet::IpNet;
use std::net::IpAddr;
use topology::{
    AddressGroupId, AddressPair, Change, Direction, Family, GroupId, Layer4, Link, Object, Port,
    PortId, Remote, Route, Rule, Snapshot, SubnetId, Versioned,
};
use wire::{Mac, protocol, tcp_flag};

const NETWORKS: u16 = 3;
/// A protocol without ports.
const GRE: u8 = 47;
const PORTS: [u16; 6] = [22, 53, 67, 68, 80, 4000];

/// A few networks of both families, routers between some of them, VMs on two hosts, groups with
/// rules of every kind; sometimes things are down, unbound or trusted.
pub fn random_world(dice: &mut Dice) -> World {
    let mut world = World::new();
    for _ in 0..2 {
        let nets = random_nets(dice);
        world.address_group(nets);
    }
    let groups: Vec<GroupId> = (0..3).map(|_| random_group(dice, &mut world)).collect();
    let routers: Vec<_> = (0..2)
        .map(|n| world.router(random_routes(dice, n)))
        .collect();
    for n in 0..NETWORKS {
        let bridge = world.bridge();
        let v4 = world.subnet(bridge, &format!("10.0.{n}.0/24"));
        let v6 = world.subnet(bridge, &format!("fd00:{n}::/64"));
        for (i, router) in routers
            .iter()
            .enumerate()
            .filter(|(i, _)| usize::from(n) != 2 - 2 * i)
        {
            let (a, b) = (
                format!("10.0.{n}.{}", i + 1),
                format!("fd00:{n}::{}", i + 1),
            );
            let port = world.interface(*router, bridge, &[(v4, &a), (v6, &b)]);
            if dice.once_in(20) {
                world.change_port(port, |p| p.admin_up = false);
            }
        }
        for i in 10..12 + dice.below(2) {
            random_vm(dice, &mut world, bridge, [v4, v6], (n, i), &groups);
        }
    }
    let down = dice.below(world.objects.len() * 8);
    if let Some(object) = world.objects.get_mut(down) {
        turn_off(object);
    }
    world
}

fn random_vm(
    dice: &mut Dice,
    world: &mut World,
    bridge: topology::BridgeId,
    [v4, v6]: [SubnetId; 2],
    (net, i): (u16, usize),
    groups: &[GroupId],
) {
    let (a, b) = (format!("10.0.{net}.{i}"), format!("fd00:{net}::{i}"));
    let own: Vec<GroupId> = groups.iter().copied().filter(|_| dice.once_in(2)).collect();
    let own = (!dice.once_in(4)).then_some(&own[..]);
    let host = if dice.once_in(2) { "host1" } else { "host2" };
    let id = world.vm(bridge, host, &[(v4, &a), (v6, &b)], own);
    let odd = dice.below(16);
    world.change_port(id, |port| match odd {
        0 => port.link = Link::None,
        1 => port.admin_up = false,
        2 | 3 => add_pair(port, "10.0.0.128/25"),
        4 => add_pair(port, "fd00:9::/64"),
        _ => {}
    });
}

fn add_pair(port: &mut Port, net: &str) {
    let mac = port.mac;
    if let (Some(security), Ok(net)) = (&mut port.security, net.parse()) {
        security.pairs.push(AddressPair { net, mac });
    }
}

fn random_routes(dice: &mut Dice, router: usize) -> Vec<Route> {
    let all = [
        ("10.9.0.0/16", "10.0.1.10"),
        ("fd00:9::/64", "fd00:1::10"),
        (
            "0.0.0.0/0",
            if router == 0 { "10.0.1.2" } else { "10.0.1.1" },
        ),
        (
            "::/0",
            if router == 0 {
                "fd00:1::2"
            } else {
                "fd00:1::1"
            },
        ),
        ("10.8.0.0/16", "10.0.1.99"),
    ];
    let route = |(net, next): (&str, &str)| Some(Route::via(net.parse().ok()?, next.parse().ok()?));
    all.into_iter()
        .filter(|_| dice.once_in(2))
        .filter_map(route)
        .collect()
}

pub(super) fn random_group(dice: &mut Dice, world: &mut World) -> GroupId {
    if dice.once_in(3) {
        return world.default_group();
    }
    let mut rules: Vec<Rule> = (0..dice.below(6)).map(|_| random_rule(dice)).collect();
    for direction in [Direction::Egress, Direction::Ingress] {
        if dice.once_in(3) {
            rules.extend([Family::V4, Family::V6].map(|family| rule(direction, family)));
        }
    }
    let stateful = !dice.once_in(4);
    world.group(stateful, rules)
}

fn random_rule(dice: &mut Dice) -> Rule {
    let direction = *dice.pick(&[Direction::Ingress, Direction::Egress]);
    let family = *dice.pick(&[Family::V4, Family::V6]);
    let icmp = if family == Family::V4 {
        protocol::ICMP
    } else {
        protocol::ICMPV6
    };
    let protocol = *dice.pick(&[
        None,
        Some(protocol::TCP),
        Some(protocol::TCP),
        Some(protocol::UDP),
        Some(icmp),
        Some(protocol::SCTP),
        Some(GRE),
    ]);
    let layer4 = match protocol {
        Some(p) if p == icmp && dice.once_in(2) => {
            let kind = *dice.pick(&[8, 0, 128, 129, 3, 1]);
            Layer4::Icmp {
                kind,
                code: dice.once_in(2).then_some(0),
            }
        }
        Some(p) if p != icmp && p != GRE && !dice.once_in(3) => {
            let (a, b) = (*dice.pick(&PORTS), *dice.pick(&PORTS));
            Layer4::Ports {
                min: a.min(b),
                max: a.max(b),
            }
        }
        _ => Layer4::Any,
    };
    let remote = match dice.below(5) {
        0 => Remote::Any,
        1 => Remote::Group(GroupId(uuid::Uuid::from_u128(3 + dice.below(12) as u128))),
        2 => Remote::Addresses(AddressGroupId(uuid::Uuid::from_u128(
            3 + dice.below(4) as u128,
        ))),
        _ => Remote::Prefix(random_prefix(dice, family)),
    };
    Rule {
        protocol,
        layer4,
        remote,
        ..rule(direction, family)
    }
}

fn random_nets(dice: &mut Dice) -> Vec<IpNet> {
    let family = |dice: &mut Dice| *dice.pick(&[Family::V4, Family::V6]);
    let mut nets: Vec<IpNet> = (0..dice.below(5))
        .map(|_| {
            let family = family(dice);
            random_prefix(dice, family)
        })
        .collect();
    nets.sort();
    nets.dedup();
    nets
}

fn random_prefix(dice: &mut Dice, family: Family) -> IpNet {
    let (ip, lens): (IpAddr, &[u8]) = match family {
        Family::V4 => (random_address(dice, true), &[0, 8, 23, 24, 31, 32]),
        Family::V6 => (random_address(dice, false), &[0, 16, 48, 64, 127, 128]),
    };
    let len = *dice.pick(lens);
    IpNet::new(ip, len)
        .map(|net| net.trunc())
        .unwrap_or_else(|_| IpNet::from(ip))
}

/// An address that may belong to somebody.
fn random_address(dice: &mut Dice, v4: bool) -> IpAddr {
    const ODD_V4: [[u8; 4]; 6] = [
        [0, 0, 0, 0],
        [255, 255, 255, 255],
        [224, 0, 0, 1],
        [127, 0, 0, 1],
        [10, 9, 1, 1],
        [192, 0, 2, 9],
    ];
    let (net, host) = (dice.below(3), *dice.pick(&[1, 2, 10, 11, 12, 99, 200]));
    match (v4, dice.once_in(6)) {
        (true, false) => IpAddr::from([10, 0, net as u8, host]),
        (true, true) => IpAddr::from(*dice.pick(&ODD_V4)),
        (false, false) => format!("fd00:{net}::{host}").parse().expect("an address"),
        (false, true) => {
            let odd = [
                "::",
                "ff02::1",
                "fe80::1",
                "fd00:9::9",
                "2001:db8::1",
                "fe80::ff:fe00:9",
            ];
            dice.pick(&odd).parse().expect("an address")
        }
    }
}

/// A frame that a port of the snapshot might send, with its state: mostly honest, mostly to
/// somebody.
pub fn random_frame(dice: &mut Dice, snapshot: &Snapshot) -> (PortId, Vec<u8>, u8) {
    let vms: Vec<_> = snapshot.ports().filter(|p| p.router().is_none()).collect();
    let port = *dice.pick(&vms);
    let v4 = dice.once_in(2);
    let own = port
        .addresses
        .iter()
        .map(|a| a.ip)
        .find(|ip| ip.is_ipv4() == v4);
    let src = own
        .filter(|_| !dice.once_in(10))
        .unwrap_or_else(|| random_address(dice, v4));
    let dst = random_address(dice, v4);
    let frame = Frame {
        smac: if dice.once_in(20) { mac(3) } else { port.mac },
        dmac: random_dmac(dice, snapshot, port, dst),
        src,
        dst,
        ttl: *dice.pick(&[64, 64, 64, 1, 2, 255]),
        payload: random_payload(dice, v4),
    };
    let state = if dice.once_in(2) {
        STATE_FORWARD
    } else {
        STATE_REPLY
    };
    (port.id, frame.bytes(), state)
}

fn random_dmac(dice: &mut Dice, snapshot: &Snapshot, port: &Port, dst: IpAddr) -> Mac {
    let Some(bridge) = port.bridge else {
        return Mac::BROADCAST;
    };
    let neighbor = snapshot.port_by_address(bridge, dst).map(|p| p.mac);
    let router = snapshot
        .bridge_ports(bridge)
        .find(|p| p.router().is_some())
        .map(|p| p.mac);
    match dice.below(10) {
        0 => Mac::BROADCAST,
        1 => mac(dice.below(40) as u16),
        2 => router.unwrap_or(Mac::BROADCAST),
        _ => neighbor.or(router).unwrap_or(mac(9)),
    }
}

fn random_payload(dice: &mut Dice, v4: bool) -> Payload {
    let (a, b) = (*dice.pick(&PORTS), *dice.pick(&PORTS));
    match dice.below(8) {
        0..3 => Payload::Tcp(a, b, *dice.pick(&[tcp_flag::SYN, tcp_flag::ACK])),
        3..5 => Payload::Udp(a, b, vec![0; 16]),
        5..7 => Payload::Echo {
            reply: dice.once_in(2),
            id: a,
        },
        _ => {
            let icmp = if v4 { protocol::ICMP } else { protocol::ICMPV6 };
            let proto = *dice.pick(&[GRE, protocol::SCTP, protocol::UDP_LITE, icmp, 2]);
            Payload::Other(proto, (0..24).map(|_| dice.any() as u8).collect())
        }
    }
}

/// A change that makes some object different, puts it anew, or takes it away.
pub fn random_change(dice: &mut Dice, world: &World, revision: u64) -> Change {
    let mut object = dice.pick(&world.objects).clone();
    match dice.below(4) {
        0 => return Change::Delete(object.id()),
        1 => {}
        2 => turn_off(&mut object),
        _ => vary(dice, &mut object),
    }
    Change::Put(Versioned { revision, object })
}

fn turn_off(object: &mut Object) {
    match object {
        Object::Bridge(o) => o.admin_up = false,
        Object::Router(o) => o.admin_up = false,
        Object::Port(o) => o.admin_up = false,
        Object::Subnet(o) => o.dhcp = false,
        Object::AddressGroup(o) => o.nets.clear(),
        Object::Policy(_) | Object::FloatingIp(_) | Object::Lease(_) => {}
        Object::Group(o) => o.stateful = false,
        Object::Host(o) => o.tunnel = IpAddr::from([192, 0, 2, 77]),
    }
}

fn vary(dice: &mut Dice, object: &mut Object) {
    match object {
        Object::Bridge(o) => o.mtu = *dice.pick(&[1280, 1400, 9000]),
        Object::Router(o) => o.routes = random_routes(dice, 0),
        Object::Subnet(o) => o.cidr = o.cidr.supernet().unwrap_or(o.cidr),
        Object::AddressGroup(o) => o.nets = random_nets(dice),
        Object::Policy(_) | Object::FloatingIp(_) | Object::Lease(_) => {}
        Object::Group(o) => o.rules = (0..dice.below(4)).map(|_| random_rule(dice)).collect(),
        Object::Host(o) => o.tunnel = IpAddr::from([192, 0, 2, 78]),
        Object::Port(o) => match dice.below(5) {
            0 => o.mac = mac(dice.below(40) as u16),
            1 => o.security = None,
            2 => o.link = Link::None,
            3 => o.addresses.truncate(1),
            _ => {
                let security = o.security.get_or_insert_default();
                security.groups.truncate(1);
            }
        },
    }
}
