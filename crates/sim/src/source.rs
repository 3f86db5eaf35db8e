//! The way out: what a packet's source becomes when it leaves a router by its outside.
//!
//! A sender leaves with one of its own floating IPs, and without one with the router's address. The
//! choice depends on the sender and the router only, not on whom it speaks to, so one decision holds
//! for all connections of a VM. An answer is not translated here: the record of its connection says
//! as whom the VM was spoken to, and the kernel program has written that into the key already. What
//! remains is to see that it still holds.

use crate::{
    bridge::Path,
    group::Sender,
    look::Side,
    outside::{Crossing, is_nat64},
    pipeline::{Outcome, Sim},
    router::Visit,
    step::Step,
};
use flow::DropReason;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};
use topology::{Family, FloatingIp, Forwarded, Port, Router, RouterId, Tag};
use wire::{icmp4, icmp6, protocol};

impl<'a> Sim<'a> {
    /// Out of a router that the packet came into from its inside. `floating`: it is for a floating IP
    /// of this router, whose network is outside for this packet.
    pub(crate) fn cross(
        &mut self,
        visit: &Visit<'a>,
        out: &Port,
        floating: bool,
        path: &mut Path<'a>,
    ) -> Outcome<()> {
        if path.crossing.is_some() {
            return Ok(());
        }
        let router = visit.router;
        let mut own = self.floating_ips_of_sender(router, out, path);
        if !out.outside && !floating {
            own.retain(|fip| Some(fip.bridge) == out.bridge);
        }
        let fip = own
            .into_iter()
            .find(|fip| self.look.address_is(Side::Src, fip.fixed));
        if !out.outside && !floating && fip.is_none() {
            return Ok(());
        }
        let record = match self.look.is_reply() {
            true => None,
            false => self.translate_source(router, out, fip, path)?,
        };
        path.crossing = Some(Crossing { record });
        Ok(())
    }

    /// The floating IPs that the sender may leave this router with, the preferred ones first: those
    /// of the network it leaves by, then those of the gateway's, then others; of several, the lowest
    /// id.
    fn floating_ips_of_sender(
        &mut self,
        router: &Router,
        out: &Port,
        path: &Path<'a>,
    ) -> Vec<&'a FloatingIp> {
        let sender = path.ingress;
        if sender.outside || sender.router().is_some() {
            return Vec::new();
        }
        self.look.tag(Tag::FloatingIps(sender.id));
        let family = self.look.family();
        let is_v4 = family == Some(Family::V4);
        let own = self.snapshot.floating_ips_of(sender.id);
        let own = own.filter(|fip| fip.router == router.id && fip.forwarded.is_none());
        let mut own: Vec<&FloatingIp> = own
            .filter(|fip| fip.address.is_ipv4() == is_v4 && fip.fixed.is_ipv4() == is_v4)
            .map(|fip| &**fip)
            .collect();
        let gateway = router.gateway.and_then(|g| self.snapshot.port(g.port));
        let gateway = gateway.and_then(|port| port.bridge);
        own.sort_by_key(|fip| {
            let bridge = Some(fip.bridge);
            (bridge != out.bridge, bridge != gateway, fip.id)
        });
        own
    }

    /// The source of a new packet, and whether its answers will find a record at the router.
    fn translate_source(
        &mut self,
        router: &Router,
        out: &Port,
        fip: Option<&FloatingIp>,
        path: &mut Path<'a>,
    ) -> Outcome<Option<RouterId>> {
        if let Some(fip) = fip {
            self.look.translate(Side::Src, fip.address);
            path.rewrite.src = Some(fip.address);
            self.look.step(|| {
                let what = format!("leaves as floating IP {}", fip.address);
                Step::router(router, what).because_of(fip.id.0)
            });
            return Ok(Some(router.id));
        }
        if let Some(address) = self.shared_address(router, out) {
            self.check_has_port(router)?;
            self.look.translate(Side::Src, address.into());
            path.rewrite.snat = true;
            let what = || format!("leaves as {address}, with a port of its host");
            self.look.step(|| Step::router(router, what()));
            return Ok(Some(router.id));
        }
        let tracked = path.sender == Sender::Allowed { stateful: true };
        Ok(tracked.then_some(router.id))
    }

    /// The address that sources without a floating IP become at the router's gateway.
    fn shared_address(&self, router: &Router, out: &Port) -> Option<Ipv4Addr> {
        let by_gateway = router.gateway.is_some_and(|g| g.port == out.id);
        let is_v4 = self.look.family() == Some(Family::V4);
        let address = self.snapshot.snat_address(router.id);
        address.filter(|_| by_gateway && is_v4)
    }

    /// Many share one address by their ports, or the identifiers of their echo requests.
    fn check_has_port(&mut self, router: &Router) -> Outcome<()> {
        if self.has_port() {
            return Ok(());
        }
        let what = "only TCP, UDP and echo requests can share its address";
        let step = || Step::router(router, what);
        Err(self.drop(DropReason::SnatProtocol, router.id.0, step))
    }

    /// Whether it has a source port, or an identifier, that can become another one.
    pub(crate) fn has_port(&mut self) -> bool {
        match self.look.proto() {
            protocol::TCP | protocol::UDP => true,
            protocol::ICMP => self.look.icmp_is(icmp4::ECHO_REQUEST, None),
            protocol::ICMPV6 => self.look.icmp_is(icmp6::ECHO_REQUEST, None),
            _ => false,
        }
    }

    /// The sender's groups on an answer that its record has translated: they judge it as the sender
    /// knows it, by the port it was forwarded to, and as an IPv4 packet if it is one.
    pub(crate) fn judge_translated_sender(&mut self, port: &'a Port) -> Outcome<Sender> {
        let translation = self.look.translation();
        if let Some(fip) = self.spoken_to_as(port) {
            let sport = fip.forwarded.and_then(|f| self.internal_source_port(&f));
            if is_nat64(fip) {
                self.look.become_v4();
                let pool = IpNet::V4(self.snapshot.nat64_pool());
                self.look.translate_to_pool(Side::Dst, pool);
            }
            self.look.translate(Side::Src, fip.fixed);
            if let Some(sport) = sport {
                self.look.translate_port(Side::Src, sport);
            }
        }
        let sender = self.judge_sender(port);
        self.look.set_translation(translation);
        sender
    }

    /// The floating IP of a port that an answer's record has made its source.
    pub(crate) fn spoken_to_as(&mut self, port: &Port) -> Option<&'a FloatingIp> {
        self.look.tag(Tag::FloatingIps(port.id));
        let src = self.look.address(Side::Src);
        let fips = self.snapshot.floating_ips_of(port.id);
        let mut fips = fips.filter(|fip| fip.address == src);
        let fip = fips.find(|fip| {
            fip.forwarded.is_none_or(|f| {
                let ports = f.external;
                self.look.proto() == f.protocol
                    && self.look.port_in(Side::Src, ports.first, ports.last)
            })
        });
        fip.map(|fip| &**fip)
    }

    fn internal_source_port(&mut self, forwarded: &Forwarded) -> Option<u16> {
        forwarded.internal_port(self.look.port(Side::Src))
    }

    /// Sees whether what the record of its connection made of an answer is still the sender's at this
    /// router: one of its floating IPs, or the router's address with a port that the host has given
    /// it.
    pub(crate) fn vouch(&mut self, router: &Router, path: &mut Path<'a>) {
        if path.vouched {
            return;
        }
        let src = self.look.address(Side::Src);
        let mut bridges: Vec<_> = self
            .snapshot
            .router_ports(router.id)
            .filter_map(|p| p.bridge)
            .collect();
        bridges.sort();
        bridges.dedup();
        for bridge in bridges {
            self.look.tag(Tag::Neighbor(bridge, src));
        }
        let mut fips = self.snapshot.router_floating_ips_at(router.id, src);
        let is_shared = || self.snapshot.snat_address(router.id).map(IpAddr::V4) == Some(src);
        path.vouched = fips.any(|fip| self.leads_to(fip, path.ingress)) || is_shared();
    }

    /// Whether a floating IP leads to a port, or to an address that it holds for another.
    fn leads_to(&mut self, fip: &FloatingIp, port: &Port) -> bool {
        if fip.port == port.id {
            return true;
        }
        self.look.tag(Tag::Port(fip.port));
        let bridge = self.snapshot.port(fip.port).and_then(|p| p.bridge);
        let holder = bridge.and_then(|bridge| self.neighbor(bridge, fip.fixed));
        holder.is_some_and(|(holder, _)| holder.id == port.id)
    }

    /// An answer whose translation no router stands for any more ends here.
    pub(crate) fn check_vouched(&mut self, path: &Path<'a>) -> Outcome<()> {
        if path.vouched {
            return Ok(());
        }
        let src = self.look.address(Side::Src);
        let what = format!("it is no longer {src}, as which it was spoken to");
        let step = || Step::port(path.ingress, what);
        Err(self.drop(DropReason::TranslationGone, path.ingress.id.0, step))
    }
}
