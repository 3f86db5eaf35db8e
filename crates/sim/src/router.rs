//! A router: every host has all of it, so a packet passes any number of routers where it starts.

use crate::{
    bridge::Path,
    icmp_error::Problem,
    look::Side,
    outside::Entrance,
    pipeline::{Outcome, Sim},
    route::{Hop, Way},
    step::Step,
};
use flow::{DropReason, Rewrite, Verdict};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use topology::{BridgeId, Port, Router, Tag};

/// Routers that one packet may pass.
pub const DEVICES_MAX: u8 = 16;

/// Where a packet stands: in a router, having come in at one of its interfaces.
#[derive(Clone, Copy)]
pub(crate) struct Visit<'a> {
    pub router: &'a Router,
    /// Interface it came in at.
    pub inside: &'a Port,
    /// Interface of the first router: the one the sender knows.
    pub first: &'a Port,
    /// That interface is the router's outside for this packet.
    pub from_outside: bool,
}

/// Where a router sends a packet.
struct Next<'a> {
    /// The port that has the next hop, or behind which it is.
    port: &'a Port,
    /// It stands for a floating IP, which is the destination.
    floating: bool,
}

impl Visit<'_> {
    /// The router is the one that the packet was handed over at.
    fn is_handed_over(&self, path: &Path<'_>) -> bool {
        path.handed_over && path.hops == 0
    }
}

impl<'a> Sim<'a> {
    /// From the interface whose MAC a packet was sent to, to where the routers send it.
    pub(crate) fn route(&mut self, first: &'a Port, mut path: Path<'a>) -> Outcome<Verdict> {
        let handed_over = path.handed_over;
        let (mut inside, mut floating) = (first, false);
        for n in 0..DEVICES_MAX {
            let router = self.router_up(inside)?;
            let visit = Visit {
                router,
                inside,
                first,
                from_outside: inside.outside || floating || (n == 0 && handed_over),
            };
            if n == 0 && handed_over {
                self.translate_destination(&visit, &mut path)?;
            } else if visit.from_outside {
                self.hand_over_to_owner(&visit, &path)?;
            } else {
                self.hand_over_to_block(&visit, &mut path)?;
            }
            let next = self.pass(&visit, &mut path)?;
            if next.port.router().is_none() {
                return self.leave(next.port, path);
            }
            (inside, floating) = (next.port, next.floating);
        }
        let step = || {
            Step::port(
                inside,
                format!("more than {DEVICES_MAX} routers on the way"),
            )
        };
        Err(self.drop(DropReason::TooManyDevices, inside.id.0, step))
    }

    /// The router of an interface, if both are up.
    fn router_up(&mut self, inside: &'a Port) -> Outcome<&'a Router> {
        self.look.tag(Tag::Port(inside.id));
        if !inside.admin_up {
            let step = || Step::port(inside, "the interface is administratively down");
            return Err(self.drop(DropReason::PortDown, inside.id.0, step));
        }
        let id = inside.router();
        id.into_iter().for_each(|id| self.look.tag(Tag::Router(id)));
        match id.and_then(|id| self.snapshot.router(id)) {
            Some(router) if router.admin_up => Ok(router),
            Some(router) => {
                let step = || Step::router(router, "it is administratively down");
                Err(self.drop(DropReason::RouterDown, router.id.0, step))
            }
            None => {
                let step = || Step::port(inside, "its router is not known");
                Err(self.drop(DropReason::RouterDown, inside.id.0, step))
            }
        }
    }

    /// Through one router, to the port that has the next hop.
    fn pass(&mut self, visit: &Visit<'a>, path: &mut Path<'a>) -> Outcome<Next<'a>> {
        let router = visit.router;
        self.answer_for_itself(visit, path)?;
        self.check_martians(router)?;
        if self.frame.ttl() <= path.hops.saturating_add(1) {
            let problem = Problem::TtlExpired;
            return Err(self.router_error(visit, problem, "the TTL is used up".to_owned()));
        }
        self.vouch(router, path);
        let hop = self.hop(visit)?;
        let bridge = self.bridge_up(hop.bridge)?;
        let mtu = bridge.mtu.saturating_sub_signed(path.growth);
        if self.frame.ip_len() > usize::from(mtu) && !self.frame.may_be_fragmented() {
            let what = format!("larger than the MTU of {mtu} bytes of {}", bridge.id);
            return Err(self.router_error(visit, Problem::TooBig(mtu), what));
        }
        let ip = hop.next.unwrap_or_else(|| self.look.address(Side::Dst));
        let Some((port, mac)) = self.neighbor(bridge.id, ip) else {
            return Err(self.unresolved(visit, &hop, ip));
        };
        let next = Next {
            port,
            floating: hop.next.is_none() && self.is_floating(bridge.id, ip),
        };
        let own_floating = next.floating && port.router() == Some(router.id);
        if own_floating && !visit.from_outside && port.id == visit.inside.id {
            // from the network of the floating IP, which is the router's outside then
            self.hand_over_to_owner(visit, path)?;
        }
        self.look
            .step(|| Step::router(router, format!("to {ip} via interface {}", hop.out.id)));
        let to_outside = hop.out.outside || own_floating;
        match visit.from_outside {
            true if to_outside || visit.is_handed_over(path) => {}
            true => path.entrance = Some(Entrance::of(visit, path)),
            false => self.cross(visit, hop.out, own_floating, path)?,
        }
        path.hops += 1;
        path.mtu = path.mtu.min(mtu);
        path.bridge = bridge;
        path.rewrite = Rewrite {
            hops: path.hops,
            smac: hop.out.mac,
            dmac: mac,
            ..path.rewrite
        };
        Ok(next)
    }

    /// Whether an address of a network is a floating IP, for which a router's port stands.
    fn is_floating(&self, bridge: BridgeId, ip: IpAddr) -> bool {
        self.snapshot.floating_port(bridge, ip).is_some()
    }

    /// Where the router's table sends the packet.
    fn hop(&mut self, visit: &Visit<'a>) -> Outcome<Hop<'a>> {
        let router = visit.router;
        let way = self.best_route(router);
        if let Some(Way::Hop(hop)) = way {
            return Ok(hop);
        }
        let dst = self.look.address(Side::Dst);
        Err(match way {
            Some(Way::Blackhole) => {
                let step = || Step::router(router, format!("{dst} is in a blackhole route"));
                self.drop(DropReason::BlackholeRoute, router.id.0, step)
            }
            Some(Way::Reject) => {
                let what = format!("{dst} is in a reject route");
                self.router_error(visit, Problem::Rejected, what)
            }
            _ => self.router_error(visit, Problem::NoRoute, format!("no route to {dst}")),
        })
    }

    /// Nobody is known to have the next hop: those who may have it are asked, if there are any.
    fn unresolved(&mut self, visit: &Visit<'a>, hop: &Hop<'a>, next: IpAddr) -> Verdict {
        if !self.ask_for(hop.out, hop.bridge, next) {
            let what = format!("no port of network {} has {next}", hop.bridge);
            return self.router_error(visit, Problem::NoNeighbor, what);
        }
        let router = visit.router;
        let step = || Step::router(router, format!("who has {next} is being asked"));
        self.refuse(DropReason::NeighborUnresolved, router.id.0, None, step)
    }

    /// Addresses that mean something on one link or one host only are not routed (RFC 1812, 5.3.7
    /// and RFC 4291, 2.5).
    fn check_martians(&mut self, router: &Router) -> Outcome<()> {
        for side in [Side::Src, Side::Dst] {
            if MARTIANS.iter().any(|net| self.look.address_in(side, net)) {
                let ip = self.look.address(side);
                let step = || Step::router(router, format!("{ip} is not to be routed"));
                return Err(self.drop(DropReason::MartianAddress, router.id.0, step));
            }
        }
        Ok(())
    }
}

const fn v4(a: u8, b: u8, len: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), len))
}

const fn v6(a: u16, f: u16, len: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(a, 0, 0, 0, 0, f, 0, 0),
        len,
    ))
}

const MARTIANS: [IpNet; 10] = [
    v4(0, 0, 8),
    v4(127, 0, 8),
    v4(169, 254, 16),
    v4(224, 0, 4),
    v4(240, 0, 4),
    v6(0, 0, 96),
    v6(0, 0xffff, 96),
    v6(0xfe80, 0, 10),
    v6(0xfec0, 0, 10),
    v6(0xff00, 0, 8),
];
