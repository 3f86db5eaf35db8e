//! A topology with an outside: two tenants behind their routers, and an edge router with two uplinks.

use super::{Frame, Payload, Uplink, World, mac};
use std::net::IpAddr;
use topology::{
    BridgeId, FloatingIpId, GroupId, PortId, Route, RouterId, Snapshot, Station, SubnetId,
};
use wire::Mac;

/// A tenant: a network behind a router that has its gateway on the external network.
#[derive(Clone, Copy, Debug)]
pub struct Tenant {
    /// Its network: 10.N.0.0/24 and 2001:db8:N::/64.
    pub net: BridgeId,
    /// Subnets of the network, IPv4 and IPv6.
    pub subnets: [SubnetId; 2],
    /// Its router: .1 and ::1 on the network, 203.0.113.N0 and 2001:db8::N0 outside.
    pub router: RouterId,
    /// The router's port on the network.
    pub inside: PortId,
    /// The router's port on the external network.
    pub gateway: PortId,
}

/// Somebody with addresses on one network.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The port.
    pub port: PortId,
    /// The MAC.
    pub mac: Mac,
    /// IPv4 address.
    pub v4: IpAddr,
    /// IPv6 address.
    pub v6: IpAddr,
    /// MAC of the router that it sends to.
    pub gateway: Mac,
}

/// The external network is 203.0.113.0/24 and 2001:db8::/64. The edge router is .1 there, and has
/// uplinks at host3 (172.16.1.0/30) and host4 (172.16.2.0/30), whose upstream routers are .2.
#[derive(Clone, Debug)]
pub struct Coast {
    /// All objects, to be changed at will.
    pub world: World,
    /// The external network.
    pub external: BridgeId,
    /// Its subnets.
    pub external_subnets: [SubnetId; 2],
    /// The edge router.
    pub edge: RouterId,
    /// The edge router's port on the external network.
    pub edge_port: PortId,
    /// Its uplinks.
    pub uplinks: [Uplink; 2],
    /// The tenants' networks and routers; both translate sources.
    pub tenants: [Tenant; 2],
    /// Of tenant 1, on host1: 10.1.0.10, with floating IP 203.0.113.101.
    pub a: Peer,
    /// Of tenant 1, on host2: 10.1.0.11, without a floating IP.
    pub b: Peer,
    /// Of tenant 2, on host2: 10.2.0.10, with floating IP 203.0.113.102.
    pub c: Peer,
    /// On the external network itself, on host1: 203.0.113.50.
    pub x: Peer,
    /// That of `a`.
    pub fip_a: FloatingIpId,
    /// That of `c`.
    pub fip_c: FloatingIpId,
}

/// MAC of the upstream router of an uplink, 0 or 1.
pub fn upstream(n: usize) -> Mac {
    Mac([2, 0xee, 0, 0, 0, n as u8])
}

/// An address far outside.
pub const FAR: &str = "198.51.100.7";
/// Another one.
pub const FAR6: &str = "2001:db8:ffff::7";

impl Coast {
    /// A coast whose VMs are all in these groups; `None` makes them trusted.
    pub fn new(mut world: World, groups: Option<&[GroupId]>) -> Self {
        for n in 3..=4 {
            world.host(n);
        }
        let external = world.bridge();
        let external_subnets = [
            world.subnet(external, "203.0.113.0/24"),
            world.subnet(external, "2001:db8::/64"),
        ];
        let [ext4, ext6] = external_subnets;
        let edge = world.router(Vec::new());
        let edge_addresses = [(ext4, "203.0.113.1"), (ext6, "2001:db8::1")];
        let edge_port = world.interface(edge, external, &edge_addresses);
        let uplinks = [1, 2].map(|n| {
            let nets = [format!("172.16.{n}.0/30"), format!("2001:db8:f00{n}::/64")];
            let own = [format!("172.16.{n}.1"), format!("2001:db8:f00{n}::1")];
            let host = format!("host{}", n + 2);
            world.uplink(edge, &host, [(&nets[0], &own[0]), (&nets[1], &own[1])])
        });
        let tenants = [1, 2].map(|n| tenant(&mut world, n, external, external_subnets));
        let mut routes = vec![
            via("0.0.0.0/0", "172.16.1.2"),
            via("0.0.0.0/0", "172.16.2.2"),
            via("::/0", "2001:db8:f001::2"),
            via("::/0", "2001:db8:f002::2"),
        ];
        for n in 1..=2 {
            routes.push(via(
                &format!("2001:db8:{n}::/64"),
                &format!("2001:db8::{n}0"),
            ));
        }
        world.change_router(edge, |r| r.routes = routes);
        let mut vm = |n: usize, host: &str, i: u8| {
            let Tenant {
                net,
                subnets,
                inside,
                ..
            } = tenants[n - 1];
            let ips = [format!("10.{n}.0.{i}"), format!("2001:db8:{n}::{i}")];
            peer(&mut world, host, (net, subnets), ips, inside, groups)
        };
        let (a, b, c) = (vm(1, "host1", 10), vm(1, "host2", 11), vm(2, "host2", 10));
        let ips = ["203.0.113.50".to_owned(), "2001:db8::50".to_owned()];
        let x = peer(
            &mut world,
            "host1",
            (external, external_subnets),
            ips,
            edge_port,
            groups,
        );
        let mut fip = |address, n: usize, vm: Peer| {
            world.floating_ip((external, address), tenants[n - 1].router, (vm.port, vm.v4))
        };
        let fip_a = fip("203.0.113.101", 1, a);
        let fip_c = fip("203.0.113.102", 2, c);
        Self {
            world,
            external,
            external_subnets,
            edge,
            edge_port,
            uplinks,
            tenants,
            a,
            b,
            c,
            x,
            fip_a,
            fip_c,
        }
    }

    /// Its snapshot, in which the upstream routers are known.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.world.snapshot();
        for (n, uplink) in self.uplinks.iter().enumerate() {
            let (v4, v6) = (
                format!("172.16.{}.2", n + 1),
                format!("2001:db8:f00{}::2", n + 1),
            );
            let ips = [v4, v6].map(|ip| ip.parse().ok());
            for ip in ips.into_iter().chain([None]) {
                snapshot.learn(Station {
                    bridge: uplink.bridge,
                    port: uplink.plug,
                    mac: upstream(n),
                    ip,
                });
            }
        }
        snapshot
    }

    /// A frame that the upstream router of an uplink, 0 or 1, passes on from afar.
    pub fn from_upstream(&self, n: usize, dst: IpAddr, payload: Payload) -> Frame {
        let far = if dst.is_ipv4() { FAR } else { FAR6 };
        Frame {
            smac: upstream(n),
            dmac: mac_of(self.uplinks[n].port),
            src: far.parse().expect("an address"),
            dst,
            ttl: 60,
            payload,
        }
    }
}

fn via(net: &str, next: &str) -> Route {
    let parse = net.parse().ok().zip(next.parse().ok());
    let (net, next) = parse.expect("a route");
    Route::via(net, next)
}

fn tenant(world: &mut World, n: usize, external: BridgeId, [ext4, ext6]: [SubnetId; 2]) -> Tenant {
    let router = world.router(vec![
        via("0.0.0.0/0", "203.0.113.1"),
        via("::/0", "2001:db8::1"),
    ]);
    let net = world.bridge();
    let subnets = [
        world.subnet(net, &format!("10.{n}.0.0/24")),
        world.subnet(net, &format!("2001:db8:{n}::/64")),
    ];
    let own = [format!("10.{n}.0.1"), format!("2001:db8:{n}::1")];
    let inside = world.interface(router, net, &[(subnets[0], &own[0]), (subnets[1], &own[1])]);
    let out = [format!("203.0.113.{n}0"), format!("2001:db8::{n}0")];
    let gateway = world.gateway(router, external, &[(ext4, &out[0]), (ext6, &out[1])], true);
    Tenant {
        net,
        subnets,
        router,
        inside,
        gateway,
    }
}

fn peer(
    world: &mut World,
    host: &str,
    (net, subnets): (BridgeId, [SubnetId; 2]),
    ips: [String; 2],
    gateway: PortId,
    groups: Option<&[GroupId]>,
) -> Peer {
    let port = world.vm(
        net,
        host,
        &[(subnets[0], &ips[0]), (subnets[1], &ips[1])],
        groups,
    );
    let [v4, v6] = ips.map(|ip| ip.parse().expect("an address"));
    Peer {
        port,
        mac: mac_of(port),
        v4,
        v6,
        gateway: mac_of(gateway),
    }
}

/// Ports of a [`World`] have the MAC of their number, which is their id too.
pub fn mac_of(port: PortId) -> Mac {
    mac(port.0.as_u128() as u16)
}

impl Peer {
    /// A frame to its router for an address.
    pub fn to(&self, dst: IpAddr, payload: Payload) -> Frame {
        Frame {
            smac: self.mac,
            dmac: self.gateway,
            src: if dst.is_ipv4() { self.v4 } else { self.v6 },
            dst,
            ttl: 64,
            payload,
        }
    }
}
