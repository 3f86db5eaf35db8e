//! What routers answer themselves: echo requests to any of their addresses.

use crate::{
    bridge::Path,
    look::Side,
    pipeline::{Outcome, Sim},
    router::Visit,
    step::Step,
};
use flow::DropReason;
use std::net::IpAddr;
use topology::Family;
use wire::{DEFAULT_TTL, Icmp, IpPacket, icmp_checksum, icmp4, icmp6, protocol};

impl<'a> Sim<'a> {
    /// Ends the simulation if the packet is for the router itself.
    pub(crate) fn answer_for_itself(&mut self, at: &Visit<'a>, path: &Path<'a>) -> Outcome<()> {
        if !self.is_for(at, path) {
            return Ok(());
        }
        let router = at.router;
        let request = match self.look.family() {
            Some(Family::V4) => icmp4::ECHO_REQUEST,
            _ => icmp6::ECHO_REQUEST,
        };
        if self.look.is_icmp_error() || !self.look.icmp_is(request, Some(0)) {
            let step = || Step::router(router, "routers answer nothing but echo requests");
            return Err(self.drop(DropReason::RouterAddress, router.id.0, step));
        }
        if self.frame.is_fragment() {
            let step = || Step::router(router, "an echo request in fragments");
            return Err(self.refuse(DropReason::RouterFragment, router.id.0, None, step));
        }
        Err(match self.echo_reply(at, path.mtu) {
            Some(frames) => self.answer(frames, || Step::router(router, "echo answered")),
            None => self.refuse(DropReason::RouterAddress, router.id.0, None, || {
                Step::router(router, "an echo request that is cut short or wrong")
            }),
        })
    }

    /// Whether the destination is an address of the router: of any interface that is up, or the
    /// link-local one of the interface on the sender's own link.
    fn is_for(&mut self, at: &Visit<'a>, path: &Path<'a>) -> bool {
        let interfaces = self
            .snapshot
            .router_ports(at.router.id)
            .filter(|p| p.admin_up);
        let mut fixed = interfaces.flat_map(|p| p.addresses.iter().map(|a| a.ip));
        if fixed.any(|ip| self.look.address_is(Side::Dst, ip)) {
            return true;
        }
        let link_local = IpAddr::V6(at.inside.mac.link_local());
        path.hops == 0 && self.look.address_is(Side::Dst, link_local)
    }

    /// The answer, in fragments if it is larger than the way back allows.
    fn echo_reply(&mut self, at: &Visit<'a>, mtu: u16) -> Option<Vec<Vec<u8>>> {
        let (src, dst) = (self.look.address(Side::Dst), self.look.address(Side::Src));
        let (proto, kind) = match src {
            IpAddr::V4(_) => (protocol::ICMP, icmp4::ECHO_REPLY),
            IpAddr::V6(_) => (protocol::ICMPV6, icmp6::ECHO_REPLY),
        };
        let message = self.frame.transport(proto)?;
        // wrong too if the frame was cut on its way here
        if icmp_checksum(dst, src, message) != 0 {
            return None;
        }
        let request = Icmp::read(message)?;
        let payload = &Icmp {
            kind,
            code: 0,
            ..request
        }
        .message(src, dst);
        let reply = IpPacket {
            src,
            dst,
            proto,
            ttl: DEFAULT_TTL,
            payload,
        };
        // identifier and sequence number tell the requests of a sender apart
        let id = u32::from_be_bytes(request.rest);
        reply.frames(at.first.mac, self.look.smac(), usize::from(mtu), id)
    }
}
