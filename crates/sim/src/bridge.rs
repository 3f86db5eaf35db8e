//! A network: delivery by MAC, floods. Where everybody is, is known; nothing is learned.

use crate::{
    group::Sender,
    pipeline::{Outcome, Sim},
    step::Step,
};
use flow::{DropReason, Rewrite, Verdict};
use std::net::IpAddr;
use topology::{Bridge, Port, PortId, Tag};
use wire::Mac;

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
}

impl<'a> Path<'a> {
    pub fn start(ingress: &'a Port, bridge: &'a Bridge, sender: Sender) -> Self {
        Self {
            ingress,
            bridge,
            sender,
            mtu: bridge.mtu,
            hops: 0,
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
        let port = self.port_with_dmac(bridge)?;
        if port.router().is_some() {
            return self.route(port, path);
        }
        self.leave(port, path, Rewrite::default())
    }

    fn port_with_dmac(&mut self, bridge: &Bridge) -> Outcome<&'a Port> {
        let dmac = self.look.dmac();
        self.look.tag(Tag::Mac(bridge.id, dmac));
        match self.snapshot.port_by_mac(bridge.id, dmac) {
            Some(port) => {
                self.look
                    .step(|| Step::bridge(bridge, format!("{dmac} is port {}", port.id)));
                Ok(port)
            }
            None => Err(self.unknown_mac(bridge)),
        }
    }

    /// The port that has an address on a network, if it is up; a router's link-local address too,
    /// and any other that is made from a MAC.
    pub(crate) fn owner(&mut self, bridge: &Bridge, ip: IpAddr) -> Option<&'a Port> {
        self.look.tag(Tag::Neighbor(bridge.id, ip));
        let fixed = self.snapshot.port_by_address(bridge.id, ip);
        let owner = fixed.or_else(|| match ip {
            IpAddr::V6(ip) => {
                let mac = Mac::from_link_local(ip)?;
                self.look.tag(Tag::Mac(bridge.id, mac));
                self.snapshot.port_by_mac(bridge.id, mac)
            }
            IpAddr::V4(_) => None,
        })?;
        owner.admin_up.then_some(owner)
    }

    pub(crate) fn unknown_mac(&mut self, bridge: &Bridge) -> Verdict {
        let dmac = self.look.dmac();
        let step = || Step::bridge(bridge, format!("no port has {dmac}"));
        self.drop(DropReason::UnknownMac, bridge.id.0, step)
    }

    /// A copy for every port but the sender's. With `policy` only for those whose groups allow
    /// it: hosts where nobody does get none.
    pub(crate) fn flood(&mut self, from: Option<PortId>, bridge: &Bridge, policy: bool) -> Verdict {
        self.look.for_this_frame_alone();
        let mut ports = Vec::new();
        for port in self.snapshot.bridge_ports(bridge.id) {
            let reachable = port.admin_up && port.host().is_some() && Some(port.id) != from;
            if reachable && (!policy || self.wants_copy(port)) {
                ports.push(port.id);
            }
        }
        self.look
            .step(|| Step::bridge(bridge, format!("flooded to {} ports", ports.len())));
        Verdict::Flood { ports }
    }

    /// A unicast ARP or neighbour discovery frame, delivered as it is. Routers know all they need.
    pub(crate) fn hand_over(&mut self, from: Option<PortId>, bridge: &Bridge) -> Outcome<Verdict> {
        let port = self.port_with_dmac(bridge)?;
        let reachable = port.admin_up && port.host().is_some() && Some(port.id) != from;
        if !reachable {
            return Ok(self.answer([], || Step::port(port, "not interested")));
        }
        self.look.for_this_frame_alone();
        Ok(Verdict::Flood {
            ports: vec![port.id],
        })
    }
}
