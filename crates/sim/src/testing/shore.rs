//! Random topologies with an outside, and packets and changes that are likely to matter in them.

use super::{Coast, Dice, FAR, FAR6, Frame, Payload, World, key_of, mac, random, upstream};
use crate::Ingress;
use bpf_abi::{FLAG_ICMP_ERROR, FLAG_TRANSIT_ERROR, FLAG_TRANSLATED, FlowKey, STATE_REPLY};
use std::net::IpAddr;
use topology::{
    Change, FloatingIp, Forwarded, GroupId, Link, Object, Port, PortRange, Snapshot, Versioned,
};
use wire::{Mac, protocol};

/// Addresses that mean something on a coast, and some that do not.
const V4: [&str; 19] = [
    FAR,
    FAR,
    "203.0.113.1",
    "203.0.113.10",
    "203.0.113.20",
    "203.0.113.50",
    "203.0.113.99",
    "203.0.113.101",
    "203.0.113.102",
    "203.0.113.120",
    "203.0.113.120",
    "203.0.113.120",
    "198.18.0.101",
    "198.18.0.9",
    "10.1.0.10",
    "10.1.0.11",
    "10.2.0.10",
    "172.16.1.2",
    "172.16.2.1",
];
const V6: [&str; 9] = [
    FAR6,
    "2001:db8::1",
    "2001:db8::10",
    "2001:db8::50",
    "2001:db8::6464",
    "2001:db8:1::10",
    "2001:db8:1::11",
    "2001:db8:2::10",
    "2001:db8:f001::2",
];
const PORTS: [u16; 8] = [22, 53, 80, 2222, 2202, 0x0805, 0x0905, 40_000];

/// A [`Coast`] with random groups, more floating IPs, forwardings and leases; sometimes things are
/// down, unbound or trusted.
pub fn random_coast(dice: &mut Dice) -> Coast {
    let mut world = World::new();
    let groups: Vec<GroupId> = (0..2)
        .map(|_| random::random_group(dice, &mut world))
        .collect();
    let groups = (!dice.once_in(4)).then_some(&groups[..]);
    let mut coast = Coast::new(world, groups);
    let [one, two] = coast.tenants;
    let world = &mut coast.world;
    for (router, host, blocks) in [
        (one.router, "host1", [8, 40]),
        (one.router, "host2", [9, 10]),
        (two.router, "host2", [8, 9]),
    ] {
        if !dice.once_in(3) {
            world.lease(router, host, &blocks);
        }
    }
    for vm in [coast.a, coast.b] {
        if dice.once_in(3) {
            let id = world.floating_ip(
                (coast.external, "203.0.113.120"),
                one.router,
                (vm.port, vm.v4),
            );
            world.change_floating_ip(id, |f| f.forwarded = random_forwarded(dice));
        }
    }
    if dice.once_in(2) {
        let fip = (coast.external, "2001:db8::6464");
        world.floating_ip(fip, one.router, (coast.b.port, coast.b.v4));
    }
    if dice.once_in(2) {
        let side = world.bridge();
        let subnet = world.subnet(side, "198.18.0.0/24");
        world.interface(one.router, side, &[(subnet, "198.18.0.1")]);
        world.vm(side, "host2", &[(subnet, "198.18.0.9")], groups);
        let vm = *dice.pick(&[coast.a, coast.b]);
        world.floating_ip((side, "198.18.0.101"), one.router, (vm.port, vm.v4));
    }
    if dice.once_in(3) {
        world.change_router(two.router, |r| {
            r.gateway.iter_mut().for_each(|g| g.snat = false);
        });
    }
    if dice.once_in(3) {
        let object = dice_object(dice, world);
        let change = vary(dice, object);
        world.objects.iter_mut().for_each(|o| {
            if o.id() == change.id() {
                *o = change.clone();
            }
        });
    }
    coast
}

fn dice_object(dice: &mut Dice, world: &World) -> Object {
    dice.pick(&world.objects).clone()
}

fn random_forwarded(dice: &mut Dice) -> Option<Forwarded> {
    let range = |first, last| PortRange { first, last };
    let (external, internal) = *dice.pick(&[
        (range(2222, 2222), range(22, 22)),
        (range(22, 22), range(22, 22)),
        (range(2200, 2210), range(20, 30)),
    ]);
    (!dice.once_in(4)).then_some(Forwarded {
        protocol: *dice.pick(&[protocol::TCP, protocol::TCP, protocol::UDP]),
        external,
        internal,
    })
}

/// A packet that may come in somewhere, be handed over, or be sent by a router: where, its key and
/// its frame.
pub fn random_entry(dice: &mut Dice, snapshot: &Snapshot) -> (Ingress, FlowKey, Vec<u8>) {
    let ports: Vec<_> = snapshot.ports().collect();
    let port = *dice.pick(&ports);
    let v4 = !dice.once_in(3);
    let (ingress, dmac) = match port.router() {
        Some(router) if !dice.once_in(6) => (Ingress::Router(router), port.mac),
        _ => (Ingress::Port(port.id), next_hop(dice, snapshot, port)),
    };
    let (src, dst) = (random_source(dice, port, v4), random_address(dice, v4));
    let frame = Frame {
        smac: random_smac(dice, port),
        dmac,
        src,
        dst,
        ttl: *dice.pick(&[64, 64, 64, 1, 2, 3]),
        payload: random_payload(dice),
    };
    let frame = frame.bytes();
    let mut key = key_of(&frame, u8::from(dice.once_in(3)));
    if key.state == STATE_REPLY && dice.once_in(2) {
        key.flags |= FLAG_TRANSLATED;
    }
    if dice.once_in(8) {
        key.flags |= FLAG_ICMP_ERROR;
        if dice.once_in(2) {
            key.flags |= FLAG_TRANSIT_ERROR;
        }
    }
    (ingress, key, frame)
}

fn next_hop(dice: &mut Dice, snapshot: &Snapshot, port: &Port) -> Mac {
    let Some(bridge) = port.bridge else {
        return mac(9);
    };
    let others: Vec<Mac> = snapshot
        .bridge_ports(bridge)
        .filter(|p| p.router().is_some() || dice.once_in(5))
        .map(|p| p.mac)
        .collect();
    match others.is_empty() {
        true => mac(9),
        false => *dice.pick(&others),
    }
}

fn random_smac(dice: &mut Dice, port: &Port) -> Mac {
    match port.outside && port.router().is_none() {
        true => upstream(dice.below(2)),
        false => port.mac,
    }
}

fn random_source(dice: &mut Dice, port: &Port, v4: bool) -> IpAddr {
    let own = port.addresses.iter().map(|a| a.ip);
    let own = own.into_iter().find(|ip| ip.is_ipv4() == v4);
    own.filter(|_| port.router().is_none() && !dice.once_in(4))
        .unwrap_or_else(|| random_address(dice, v4))
}

fn random_address(dice: &mut Dice, v4: bool) -> IpAddr {
    let text = if v4 { *dice.pick(&V4) } else { *dice.pick(&V6) };
    text.parse().expect("an address")
}

fn random_payload(dice: &mut Dice) -> Payload {
    let (a, b) = (*dice.pick(&PORTS), *dice.pick(&PORTS));
    match dice.below(6) {
        0..3 => Payload::Tcp(a, b, wire::tcp_flag::ACK),
        3 => Payload::Udp(a, b, vec![0; 16]),
        4 => Payload::Echo {
            reply: dice.once_in(2),
            id: a,
        },
        _ => Payload::Other(47, vec![0; 8]),
    }
}

/// A change that makes some object of a coast different, puts it anew, or takes it away.
pub fn random_tide(dice: &mut Dice, coast: &Coast, revision: u64) -> Change {
    let object = dice_object(dice, &coast.world);
    match dice.below(4) {
        0 => Change::Delete(object.id()),
        1 => Change::Put(Versioned { revision, object }),
        _ => {
            let object = vary(dice, object);
            Change::Put(Versioned { revision, object })
        }
    }
}

fn vary(dice: &mut Dice, mut object: Object) -> Object {
    match &mut object {
        Object::Bridge(o) => match dice.below(2) {
            0 => o.admin_up = false,
            _ => o.mtu = 1400,
        },
        Object::Router(o) => match dice.below(4) {
            0 => o.admin_up = false,
            1 => o.gateway.iter_mut().for_each(|g| g.snat ^= true),
            2 => o.gateway = None,
            _ => drop(o.routes.pop()),
        },
        Object::Port(o) => match dice.below(6) {
            0 => o.admin_up = false,
            1 => o.security = None,
            2 if o.router().is_none() => o.link = Link::None,
            3 => o.addresses.truncate(1),
            4 => o.outside ^= true,
            _ => o.mac = mac(dice.below(60) as u16),
        },
        Object::FloatingIp(o) => vary_floating_ip(dice, o),
        Object::Lease(o) => {
            o.blocks.pop_first();
        }
        Object::Group(o) => drop(o.rules.pop()),
        Object::Host(o) => o.tunnel = IpAddr::from([192, 0, 2, 77]),
        Object::Subnet(_) | Object::AddressGroup(_) | Object::Policy(_) => {}
    }
    object
}

fn vary_floating_ip(dice: &mut Dice, fip: &mut FloatingIp) {
    match dice.below(3) {
        0 => fip.forwarded = random_forwarded(dice),
        1 => fip.address = random_address(dice, fip.address.is_ipv4()),
        _ => fip.fixed = random_address(dice, true),
    }
}
