//! The way in: who is spoken to from a router's outside, and the hand-over to its host.
//!
//! Outside of a router nobody knows connections. So what comes into one from there goes to the host
//! of the VM that it is for, and goes on there: at that router, as if the router were a port, where
//! the kernel program finds the connection's record. Two stages, each a simulation of its own: the
//! first ends with the hand-over, the second begins with it.

use crate::{
    bridge::Path,
    group::Sender,
    look::Side,
    pipeline::{Outcome, Sim},
    router::Visit,
    step::Step,
};
use flow::{Destination, DropReason, Nat64, Rewrite, Verdict};
use ipnet::IpNet;
use std::net::IpAddr;
use topology::{BLOCK_FIRST, FloatingIp, Forwarded, Port, Router, RouterId, Tag};
use wire::{IPV4_HEADER, IPV6_HEADER, icmp4, protocol};

/// Where a packet came into a router from its outside, and as what.
#[derive(Clone, Copy)]
pub(crate) struct Entrance<'a> {
    router: &'a Router,
    mtu: u16,
    rewrite: Rewrite,
}

/// How a packet left a router by its outside.
#[derive(Clone, Copy)]
pub(crate) struct Crossing {
    /// The router, if it is to know the connection.
    pub record: Option<RouterId>,
}

/// How many bytes longer an IPv4 packet becomes as an IPv6 one.
pub(crate) const NAT64_GROWTH: i16 = (IPV6_HEADER - IPV4_HEADER) as i16;

/// Whether an IPv6 floating IP stands for an IPv4 address.
pub(crate) fn is_nat64(fip: &FloatingIp) -> bool {
    fip.address.is_ipv6() && fip.fixed.is_ipv4()
}

impl<'a> Entrance<'a> {
    pub fn of(visit: &Visit<'a>, path: &Path<'a>) -> Self {
        Self {
            router: visit.router,
            mtu: path.mtu,
            rewrite: path.rewrite,
        }
    }
}

impl<'a> Sim<'a> {
    /// A packet that was handed over, addressed to one of the router's ports.
    pub(crate) fn packet_at_router(&mut self, id: RouterId) -> Outcome<Verdict> {
        self.look.tag(Tag::Router(id));
        let dmac = self.look.dmac();
        let Some(inside) = self.snapshot.router_ports(id).find(|p| p.mac == dmac) else {
            return Err(Verdict::Drop {
                reason: DropReason::UnknownMac,
                cause: Some(id.0),
            });
        };
        let (inside, bridge) = self.enter(inside.id)?;
        let path = Path {
            handed_over: true,
            ..Path::start(inside, bridge, Sender::Trusted)
        };
        self.route(inside, path)
    }

    /// Ends the first stage if somebody behind the router is spoken to by an address of the router's
    /// outside.
    pub(crate) fn hand_over_to_owner(&mut self, visit: &Visit<'a>, path: &Path<'a>) -> Outcome<()> {
        let host = match self.spoken_to(visit)? {
            Some(fip) => Some(self.host_of(fip)?),
            None => self.host_of_block(visit.router),
        };
        match host {
            Some(host) => Err(self.go_on_at(&Entrance::of(visit, path), host, path)?),
            None => Ok(()),
        }
    }

    /// From inside to a port of the router's own address: as if it had left by the gateway and come
    /// back (RFC 4787, 6).
    pub(crate) fn hand_over_to_block(
        &mut self,
        visit: &Visit<'a>,
        path: &mut Path<'a>,
    ) -> Outcome<()> {
        let Some(host) = self.host_of_block(visit.router) else {
            return Ok(());
        };
        let gateway = visit
            .router
            .gateway
            .and_then(|g| self.snapshot.port(g.port));
        if let Some(gateway) = gateway {
            self.vouch(visit.router, path);
            self.cross(visit, gateway, false, path)?;
        }
        Err(self.go_on_at(&Entrance::of(visit, path), host, path)?)
    }

    /// The end of the first stage: it goes on at the router, on the host that knows its connection.
    pub(crate) fn go_on_at(
        &mut self,
        entrance: &Entrance<'a>,
        host: &str,
        path: &Path<'a>,
    ) -> Outcome<Verdict> {
        self.look.tag(Tag::Host(host.to_owned()));
        let router = entrance.router;
        self.check_vouched(path)?;
        self.check_size(router.id.0, entrance.mtu, entrance.rewrite.hops, |what| {
            Step::router(router, what)
        })?;
        let reply = match path.sender {
            Sender::Reply => true,
            Sender::Trusted => self.look.is_reply(),
            Sender::Allowed { .. } => self.look.is_translated(),
        };
        let rewrite = self.marked(path.ingress, entrance.rewrite);
        self.look
            .step(|| Step::router(router, format!("it goes on here, on host {host}")));
        Ok(Verdict::Forward {
            to: Destination::Router {
                router: router.id,
                host: host.into(),
            },
            rewrite,
            mtu: entrance.mtu,
            track: false,
            record: path.crossing.and_then(|c| c.record),
            reply,
        })
    }

    /// The second stage: what is for a floating IP is for the port that it leads to. What a record
    /// answers for has been translated by that, or was not translated when it was opened.
    pub(crate) fn translate_destination(
        &mut self,
        visit: &Visit<'a>,
        path: &mut Path<'a>,
    ) -> Outcome<()> {
        if self.look.is_reply() {
            return Ok(());
        }
        if self.look.is_translated() {
            // somebody new, taken in by a mapping: the answer has to find that again
            path.rewrite.dst = Some(self.look.address(Side::Dst));
            return Ok(());
        }
        let Some(fip) = self.spoken_to(visit)? else {
            return Ok(());
        };
        let dst_port = fip.forwarded.and_then(|f| self.internal_port(&f));
        match fip.fixed {
            IpAddr::V4(dst) if is_nat64(fip) => {
                self.check_becomes_v4(visit.router)?;
                let pool = IpNet::V4(self.snapshot.nat64_pool());
                self.look.become_v4();
                self.look.translate_to_pool(Side::Src, pool);
                path.rewrite.nat64 = Some(Nat64 { dst });
                path.growth = -NAT64_GROWTH;
            }
            fixed => path.rewrite.dst = Some(fixed),
        }
        self.look.translate(Side::Dst, fip.fixed);
        if let Some(port) = dst_port {
            self.look.translate_port(Side::Dst, port);
        }
        path.rewrite.dst_port = dst_port;
        self.look.step(|| {
            let port = dst_port.map(|port| format!(", port {port}"));
            let to = format!("{}{}", fip.fixed, port.unwrap_or_default());
            let what = format!("floating IP {} leads to {to}", fip.address);
            Step::router(visit.router, what).because_of(fip.id.0)
        });
        Ok(())
    }

    /// The floating IP or forwarding of the router that a packet is for.
    fn spoken_to(&mut self, visit: &Visit<'a>) -> Outcome<Option<&'a FloatingIp>> {
        let Some(bridge) = visit.inside.bridge else {
            return Ok(None);
        };
        let (router, dst) = (visit.router, self.look.address(Side::Dst));
        self.look.tag(Tag::Neighbor(bridge, dst));
        let here = self.snapshot.floating_ips_at(bridge, dst);
        let here: Vec<_> = here.filter(|fip| fip.router == router.id).collect();
        if here.is_empty() {
            return Ok(None);
        }
        if let Some(fip) = here.into_iter().find(|fip| self.leads_on_to(fip)) {
            return Ok(Some(fip));
        }
        let step = || Step::router(router, format!("nothing of {dst} forwards it"));
        Err(self.drop(DropReason::NotForwarded, router.id.0, step))
    }

    fn leads_on_to(&mut self, fip: &FloatingIp) -> bool {
        fip.forwarded.is_none_or(|forwarded| {
            let ports = forwarded.external;
            self.look.proto() == forwarded.protocol
                && self.look.port_in(Side::Dst, ports.first, ports.last)
        })
    }

    fn check_becomes_v4(&mut self, router: &Router) -> Outcome<()> {
        if self.has_port() {
            return Ok(());
        }
        let step = || Step::router(router, "only TCP, UDP and echoes become IPv4 packets");
        Err(self.drop(DropReason::Nat64Protocol, router.id.0, step))
    }

    /// What the destination port becomes; `None` if it stays.
    fn internal_port(&mut self, forwarded: &Forwarded) -> Option<u16> {
        if forwarded.external == forwarded.internal {
            return None;
        }
        if forwarded.internal.first == forwarded.internal.last {
            return Some(forwarded.internal.first);
        }
        forwarded.internal_port(self.look.port(Side::Dst))
    }

    /// The host of the VM that a floating IP leads to: of the port, or of the one that holds an
    /// address which the port reserves.
    fn host_of(&mut self, fip: &'a FloatingIp) -> Outcome<&'a str> {
        self.look.tag(Tag::Port(fip.port));
        let bridge = self.snapshot.port(fip.port).and_then(|p| p.bridge);
        let Some(bridge) = bridge else {
            return Err(Verdict::Drop {
                reason: DropReason::PortUnbound,
                cause: Some(fip.port.0),
            });
        };
        match self.neighbor(bridge, fip.fixed) {
            Some((port, _)) => {
                self.look.tag(Tag::Port(port.id));
                port.host().ok_or_else(|| self.unbound(port))
            }
            None => Err(self.unheard(fip, bridge)),
        }
    }

    /// Nobody is known to hold the address that a floating IP leads to: who may hold it is asked.
    fn unheard(&mut self, fip: &FloatingIp, bridge: topology::BridgeId) -> Verdict {
        let interface = self.snapshot.router_port_on(fip.router, bridge);
        let asked = interface.is_some_and(|out| self.ask_for(out, bridge, fip.fixed));
        let (reason, cause) = match asked {
            true => (DropReason::NeighborUnresolved, Some(fip.id.0)),
            false => (DropReason::UnknownNeighbor, Some(fip.id.0)),
        };
        self.look.for_this_frame_alone();
        Verdict::Refuse {
            reason,
            cause,
            answer: None,
        }
    }

    pub(crate) fn unbound(&mut self, port: &Port) -> Verdict {
        let step = || Step::port(port, "it is not bound to a host");
        self.drop(DropReason::PortUnbound, port.id.0, step)
    }

    /// The host that translates sources to the port, or the identifier of an echo, that a packet for
    /// the router's own address has.
    fn host_of_block(&mut self, router: &Router) -> Option<&'a str> {
        let address = self.snapshot.snat_address(router.id)?;
        if !self.look.address_is(Side::Dst, address.into()) {
            return None;
        }
        let block = match self.look.proto() {
            protocol::TCP | protocol::UDP => self.look.block(Side::Dst),
            // echo requests are the router's own
            protocol::ICMP if self.look.icmp_is(icmp4::ECHO_REPLY, None) => {
                self.look.block(Side::Src)
            }
            _ => return None,
        };
        if block < BLOCK_FIRST {
            return None;
        }
        self.look.tag(Tag::Block(router.id, block));
        self.snapshot.block_holder(router.id, block)
    }
}
