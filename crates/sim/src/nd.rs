//! Neighbour discovery: solicitations are answered from the topology, as ARP requests are.

use crate::{
    frame::Frame,
    metadata::service_mac,
    pipeline::{Outcome, Sim},
    step::Step,
};
use flow::{DropReason, Verdict};
use std::net::{IpAddr, Ipv6Addr};
use topology::{Bridge, Port};
use wire::{Ip, IpPacket, Mac, icmp6, nd, nd::Nd, protocol};

impl Sim<'_> {
    /// A neighbour discovery message, by its type.
    pub(crate) fn is_nd(&mut self) -> bool {
        self.look.proto() == protocol::ICMPV6
            && !self.look.is_icmp_error()
            && self
                .look
                .icmp_type_in(icmp6::ROUTER_SOLICITATION, icmp6::REDIRECT)
    }

    pub(crate) fn is_router_solicitation(&mut self) -> bool {
        self.look.icmp_is(icmp6::ROUTER_SOLICITATION, None)
    }

    /// A neighbour discovery message from a VM.
    pub(crate) fn nd(&mut self, port: &Port, bridge: &Bridge) -> Outcome<Verdict> {
        self.look.for_this_frame_alone();
        let read = read_nd(&self.frame);
        let (src, message) = read.map_err(|(reason, what)| self.lie(reason, port, what))?;
        self.check_nd(port, &message)?;
        match message {
            Nd::RouterSolicitation { .. } => Ok(self.router_solicitation(port, bridge, src)),
            Nd::NeighborSolicitation { target, .. } => self.solicitation(port, bridge, src, target),
            Nd::NeighborAdvertisement { target, .. } => {
                let known = self.tells_nothing(bridge, IpAddr::V6(target));
                if known && self.look.dmac().is_multicast() {
                    let step = || Step::bridge(bridge, "it announces what is known");
                    return Ok(self.answer([], step));
                }
                Ok(self.spread_nd(port, bridge))
            }
            Nd::RouterAdvertisement | Nd::Redirect => Ok(self.spread_nd(port, bridge)),
        }
    }

    /// A VM speaks for its own addresses and MACs, and is no router.
    fn check_nd(&mut self, port: &Port, message: &Nd) -> Outcome<()> {
        let mac = self.look.smac();
        let honest = match *message {
            Nd::RouterSolicitation { source } | Nd::NeighborSolicitation { source, .. } => {
                source.is_none_or(|s| s == mac)
            }
            Nd::NeighborAdvertisement { target, mac: said } => {
                said.is_none_or(|s| s == mac) && self.may_speak_for(port, mac, IpAddr::V6(target))
            }
            Nd::RouterAdvertisement | Nd::Redirect => false,
        };
        if honest || port.security.is_none() {
            return Ok(());
        }
        let what = "its neighbour discovery message speaks for another";
        Err(self.lie(DropReason::SpoofedNd, port, what))
    }

    fn solicitation(
        &mut self,
        port: &Port,
        bridge: &Bridge,
        src: Ipv6Addr,
        target: Ipv6Addr,
    ) -> Outcome<Verdict> {
        let owner = self.owner(bridge, IpAddr::V6(target));
        if owner.is_some_and(|owner| owner.id == port.id) {
            return Ok(self.answer([], || Step::bridge(bridge, "it asks for its own address")));
        }
        let is_router = owner.is_some_and(|owner| owner.router().is_some());
        let service = service_mac(port, IpAddr::V6(target));
        match owner.map(|owner| owner.mac).or(service) {
            Some(mac) => {
                let asker = (src, self.look.smac());
                let answer = advertisement((target, mac), is_router, asker);
                let what = || format!("{target} is at {mac}: answered");
                Ok(self.answer(answer, || Step::bridge(bridge, what())))
            }
            None => Ok(self.spread_nd(port, bridge)),
        }
    }

    fn spread_nd(&mut self, port: &Port, bridge: &Bridge) -> Verdict {
        if !self.look.dmac().is_multicast() {
            return self.hand_over(Some(port.id), bridge, false);
        }
        match self.asked_address() {
            Some(ip) => self.ask(Some(port.id), bridge, ip),
            None => self.flood(Some(port.id), bridge, false),
        }
    }
}

/// The source and the message of a frame, if it is valid (RFC 4861, 6.1 and 7.1); otherwise why
/// not.
pub(crate) fn read_nd(frame: &Frame<'_>) -> Result<(Ipv6Addr, Nd), (DropReason, &'static str)> {
    let (Some(Ip::V6(ip)), Some((message, icmp))) = (frame.ip(), frame.icmp6()) else {
        return Err((DropReason::Malformed, "no neighbour discovery message"));
    };
    if !nd::icmp6_checksum_ok(ip.src, ip.dst, message) {
        return Err((DropReason::BadChecksum, "its ICMPv6 checksum is wrong"));
    }
    match Nd::read(&icmp).filter(|_| ip.hop_limit == nd::ND_HOP_LIMIT) {
        Some(read) => Ok((ip.src, read)),
        None => Err((DropReason::Malformed, "bad neighbour discovery message")),
    }
}

/// The frame that tells `asker` where `target` is. One without an address yet is told as all nodes
/// would be (RFC 4861, 7.2.4).
fn advertisement(
    (target, mac): (Ipv6Addr, Mac),
    is_router: bool,
    (asker, asker_mac): (Ipv6Addr, Mac),
) -> Option<Vec<u8>> {
    let (dst, dmac) = match asker.is_unspecified() {
        true => (nd::ALL_NODES, Mac::for_ipv6_multicast(nd::ALL_NODES)),
        false => (asker, asker_mac),
    };
    let message = nd::neighbor_advertisement(target, mac, is_router, dst);
    nd_frame(target, dst, mac, dmac, &message)
}

/// A neighbour discovery message in its frame.
pub(crate) fn nd_frame(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    smac: Mac,
    dmac: Mac,
    message: &[u8],
) -> Option<Vec<u8>> {
    let packet = IpPacket {
        src: IpAddr::V6(src),
        dst: IpAddr::V6(dst),
        proto: protocol::ICMPV6,
        ttl: nd::ND_HOP_LIMIT,
        payload: message,
    };
    packet.frame(smac, dmac)
}
