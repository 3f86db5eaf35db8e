//! The smallest topology with everything in it: two networks of both families and a router.

use super::{Frame, Payload, World, mac};
use std::net::IpAddr;
use topology::{BridgeId, GroupId, PortId, RouterId, Snapshot};
use wire::Mac;

/// A VM of a [`Town`]: its port, MAC, and addresses.
#[derive(Clone, Copy, Debug)]
pub struct Vm {
    /// Its port.
    pub port: PortId,
    /// Its MAC.
    pub mac: Mac,
    /// Its IPv4 address.
    pub v4: IpAddr,
    /// Its IPv6 address.
    pub v6: IpAddr,
    /// MAC of the router on its network.
    pub gateway: Mac,
}

/// Networks red and blue, joined by a router that is .1 and ::1 on both; VMs `a` and `b` on red,
/// `c` on blue. `a` is on host1, the others on host2.
#[derive(Clone, Debug)]
pub struct Town {
    /// All objects, to be changed at will.
    pub world: World,
    /// 10.0.0.0/24 and fd00:0::/64.
    pub red: BridgeId,
    /// 10.0.1.0/24 and fd00:1::/64.
    pub blue: BridgeId,
    /// Between them.
    pub router: RouterId,
    /// .10 on red, host1.
    pub a: Vm,
    /// .11 on red, host2.
    pub b: Vm,
    /// .10 on blue, host2.
    pub c: Vm,
}

impl Town {
    /// A town whose VMs are all in these groups; `None` makes them trusted.
    pub fn new(mut world: World, groups: Option<&[GroupId]>) -> Self {
        let router = world.router(Vec::new());
        let red = world.bridge();
        let red_subnets = [
            world.subnet(red, "10.0.0.0/24"),
            world.subnet(red, "fd00:0::/64"),
        ];
        let blue = world.bridge();
        let blue_subnets = [
            world.subnet(blue, "10.0.1.0/24"),
            world.subnet(blue, "fd00:1::/64"),
        ];
        let mut gateway = |bridge, [v4, v6]: [_; 2], n: u8| {
            let (a, b) = (format!("10.0.{n}.1"), format!("fd00:{n}::1"));
            mac_of(world.interface(router, bridge, &[(v4, &a), (v6, &b)]))
        };
        let red_gateway = gateway(red, red_subnets, 0);
        let blue_gateway = gateway(blue, blue_subnets, 1);
        let mut vm = |bridge, [v4, v6]: [_; 2], host, n: u8, i: u8, gateway| {
            let (a, b) = (format!("10.0.{n}.{i}"), format!("fd00:{n}::{i}"));
            let port = world.vm(bridge, host, &[(v4, &a), (v6, &b)], groups);
            let parse = |ip: String| ip.parse().expect("an address");
            Vm {
                port,
                mac: mac_of(port),
                v4: parse(a),
                v6: parse(b),
                gateway,
            }
        };
        let a = vm(red, red_subnets, "host1", 0, 10, red_gateway);
        let b = vm(red, red_subnets, "host2", 0, 11, red_gateway);
        let c = vm(blue, blue_subnets, "host2", 1, 10, blue_gateway);
        Self {
            world,
            red,
            blue,
            router,
            a,
            b,
            c,
        }
    }

    /// A town where everybody is in one default group.
    pub fn with_default_group() -> Self {
        let mut world = World::new();
        let group = world.default_group();
        Self::new(world, Some(&[group]))
    }

    /// Its snapshot.
    pub fn snapshot(&self) -> Snapshot {
        self.world.snapshot()
    }
}

/// Ports of a [`World`] have the MAC of their number, which is their id too.
fn mac_of(port: PortId) -> Mac {
    mac(port.0.as_u128() as u16)
}

impl Vm {
    /// Its address of family 4 or 6.
    pub fn ip(&self, family: u8) -> IpAddr {
        if family == 4 { self.v4 } else { self.v6 }
    }

    /// A frame to another VM of its own network.
    pub fn to(&self, other: &Vm, family: u8, payload: Payload) -> Frame {
        self.send(other.mac, other.ip(family), family, payload)
    }

    /// A frame to its router for an address.
    pub fn via_gateway(&self, dst: IpAddr, payload: Payload) -> Frame {
        self.send(
            self.gateway,
            dst,
            if dst.is_ipv4() { 4 } else { 6 },
            payload,
        )
    }

    fn send(&self, dmac: Mac, dst: IpAddr, family: u8, payload: Payload) -> Frame {
        Frame {
            smac: self.mac,
            dmac,
            src: self.ip(family),
            dst,
            ttl: 64,
            payload,
        }
    }
}
