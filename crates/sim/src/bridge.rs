//! A network: delivery by MAC, floods. Where ports are is known; only who is behind those that may
//! have others there is learned (`station.rs`).

use crate::{
    group::Sender,
    outside::{Crossing, Entrance},
    pipeline::{Outcome, Sim},
    step::Step,
};
use flow::{DropReason, Rewrite, Verdict};
use topology::{Bridge, Holder, Port, PortId, Tag};

/// How far a packet has come.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    /// Where it came in.
    pub ingress: &'a Port,
    /// The network it is on.
    pub bridge: &'a Bridge,
    /// What the sender's groups said.
    pub sender: Sender,
    /// The smallest MTU on the way so far.
    pub mtu: u16,
    /// Routers passed.
    pub hops: u8,
    /// What changes in it.
    pub rewrite: Rewrite,
    /// The last router that it came into from its outside and left to its inside.
    pub entrance: Option<Entrance<'a>>,
    /// The first router that it left by its outside.
    pub crossing: Option<Crossing>,
    /// How many bytes longer it becomes, or has become, on its way.
    pub growth: i16,
    /// It was handed over: its destination is translated at the router it came in at.
    pub handed_over: bool,
    /// Its source is its own, or what a translation that still holds made of it.
    pub vouched: bool,
}

impl<'a> Path<'a> {
    pub fn start(ingress: &'a Port, bridge: &'a Bridge, sender: Sender) -> Self {
        Self {
            ingress,
            bridge,
            sender,
            mtu: bridge.mtu,
            hops: 0,
            rewrite: Rewrite::default(),
            entrance: None,
            crossing: None,
            growth: 0,
            handed_over: false,
            vouched: true,
        }
    }
}

impl<'a> Sim<'a> {
    /// The network a packet came in on sends it on by destination MAC.
    pub(crate) fn switch(&mut self, path: Path<'a>) -> Outcome<Verdict> {
        let (bridge, dmac) = (path.bridge, self.look.dmac());
        if dmac.is_multicast() {
            return Ok(self.flood(Some(path.ingress.id), bridge, true));
        }
        let Some(port) = self.port_with_dmac(bridge) else {
            return Ok(self.unknown_unicast(Some(path.ingress.id), bridge, true));
        };
        if port.router().is_some() {
            return self.route(port, path);
        }
        self.leave(port, path)
    }

    fn port_with_dmac(&mut self, bridge: &Bridge) -> Option<&'a Port> {
        let dmac = self.look.dmac();
        self.look.tag(Tag::Mac(bridge.id, dmac));
        let (port, what) = match self.snapshot.holder_of_mac(bridge.id, dmac)? {
            Holder::Fixed(port) => (port, "is"),
            Holder::Learned(port, _) => (port, "is behind"),
        };
        self.look
            .step(|| Step::bridge(bridge, format!("{dmac} {what} port {}", port.id)));
        Some(port)
    }

    /// A frame for a MAC that nobody is known to have: for the ports that may have it, until its
    /// station answers. With `policy` only for those whose groups allow it.
    fn unknown_unicast(&mut self, from: Option<PortId>, bridge: &Bridge, policy: bool) -> Verdict {
        let dmac = self.look.dmac();
        self.look.tag(Tag::Ports(bridge.id));
        let may = |port: &Port| is_reachable(port, from) && port.may_hold_mac(dmac);
        if !self.snapshot.bridge_ports(bridge.id).any(|p| may(p)) {
            let step = || Step::bridge(bridge, format!("no port has {dmac}"));
            return self.drop(DropReason::UnknownMac, bridge.id.0, step);
        }
        self.copies(bridge, policy, may)
    }

    /// A copy for every port but the sender's. With `policy` only for those whose groups allow
    /// it: hosts where nobody does get none.
    pub(crate) fn flood(&mut self, from: Option<PortId>, bridge: &Bridge, policy: bool) -> Verdict {
        self.copies(bridge, policy, |port| is_reachable(port, from))
    }

    fn copies(&mut self, bridge: &Bridge, policy: bool, wanted: impl Fn(&Port) -> bool) -> Verdict {
        self.look.for_this_frame_alone();
        let mut ports = Vec::new();
        for port in self.snapshot.bridge_ports(bridge.id) {
            if wanted(port) && (!policy || self.wants_copy(port)) {
                ports.push(port.id);
            }
        }
        self.look
            .step(|| Step::bridge(bridge, format!("flooded to {} ports", ports.len())));
        Verdict::Flood { ports }
    }

    /// A unicast frame, delivered as it is: ARP, neighbour discovery, and what its sender's host
    /// flooded. Routers know all they need.
    pub(crate) fn hand_over(
        &mut self,
        from: Option<PortId>,
        bridge: &Bridge,
        policy: bool,
    ) -> Verdict {
        let Some(port) = self.port_with_dmac(bridge) else {
            return self.unknown_unicast(from, bridge, policy);
        };
        if !is_reachable(port, from) {
            return self.answer([], || Step::port(port, "not interested"));
        }
        self.copies(bridge, policy, |p| p.id == port.id)
    }
}

fn is_reachable(port: &Port, from: Option<PortId>) -> bool {
    port.admin_up && port.host().is_some() && Some(port.id) != from
}
