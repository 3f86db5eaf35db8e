//! The order in which a frame meets the topology.

use crate::{
    Ingress, Packet,
    bridge::Path,
    frame::Frame,
    group::Sender,
    look::Look,
    outside::{NAT64_GROWTH, is_nat64},
    step::Step,
};
use flow::{Decision, DropReason, Verdict};
use topology::{Bridge, BridgeId, Port, PortId, Snapshot};
use uuid::Uuid;

/// One simulation under way. Each device adds its part in a file of its own.
pub(crate) struct Sim<'a> {
    pub snapshot: &'a Snapshot,
    pub look: Look<'a>,
    pub frame: Frame<'a>,
}

/// What a stage hands on, or the verdict that ends the simulation there.
pub(crate) type Outcome<T> = Result<T, Verdict>;

pub(crate) fn run(
    snapshot: &Snapshot,
    ingress: Ingress,
    packet: &Packet<'_>,
    tracing: bool,
) -> (Decision, Vec<Step>) {
    let look = Look::new(&packet.key, tracing);
    let mut sim = Sim {
        snapshot,
        look,
        frame: Frame::of(packet),
    };
    let outcome = match ingress {
        Ingress::Port(port) => sim.frame_from_port(port),
        Ingress::Router(router) => sim.packet_at_router(router),
        Ingress::Network(bridge) => sim.copy_on_network(bridge),
    };
    sim.look.decide(outcome.unwrap_or_else(|stopped| stopped))
}

impl<'a> Sim<'a> {
    /// A frame from a VM.
    fn frame_from_port(&mut self, id: PortId) -> Outcome<Verdict> {
        let (port, bridge) = self.enter(id)?;
        if port.router().is_some() {
            return self.switch(Path::start(port, bridge, Sender::Trusted));
        }
        if self.look.family().is_none() {
            return self.arp(port, bridge);
        }
        self.check_source(port)?;
        self.check_role(port)?;
        if let Some(answer) = self.dhcp4(port, bridge)? {
            return Ok(answer);
        }
        if let Some(answer) = self.dhcp6(port, bridge)? {
            return Ok(answer);
        }
        if self.is_nd() {
            return self.nd(port, bridge);
        }
        if let Some(service) = self.metadata(port, bridge) {
            return Ok(service);
        }
        if self.look.is_translated() {
            return self.answer_from_port(port, bridge);
        }
        let sender = self.judge_sender(port)?;
        self.switch(Path::start(port, bridge, sender))
    }

    /// A packet from a VM whose source its record has made what the VM was spoken to as.
    fn answer_from_port(&mut self, port: &'a Port, bridge: &'a Bridge) -> Outcome<Verdict> {
        let sender = self.judge_translated_sender(port)?;
        let from_v4 = self.spoken_to_as(port).is_some_and(is_nat64);
        self.switch(Path {
            vouched: false,
            growth: if from_v4 { NAT64_GROWTH } else { 0 },
            ..Path::start(port, bridge, sender)
        })
    }

    /// A copy of a frame that its sender's host flooded. What is unicast here is for a station that
    /// its sender's host did not know, or ARP or neighbour discovery, which have no decisions of
    /// their own.
    fn copy_on_network(&mut self, id: BridgeId) -> Outcome<Verdict> {
        self.look.for_this_frame_alone();
        let bridge = self.bridge_up(id)?;
        let resolution = self.is_resolution();
        if !self.look.dmac().is_multicast() {
            return Ok(self.hand_over(None, bridge, !resolution));
        }
        Ok(match self.asked_address().filter(|_| resolution) {
            Some(ip) => self.ask(None, bridge, ip),
            None => self.flood(None, bridge, !resolution),
        })
    }

    /// ARP and neighbour discovery between hosts: no security group has a say in it.
    fn is_resolution(&mut self) -> bool {
        self.look.family().is_none() || (self.is_nd() && !self.is_router_solicitation())
    }

    /// A drop that holds for all packets of the class.
    pub fn drop(
        &mut self,
        reason: DropReason,
        cause: Uuid,
        step: impl FnOnce() -> Step,
    ) -> Verdict {
        self.look.step(|| step().because_of(cause));
        Verdict::Drop {
            reason,
            cause: Some(cause),
        }
    }

    /// A drop of this frame alone.
    pub fn refuse(
        &mut self,
        reason: DropReason,
        cause: Uuid,
        answer: Option<Vec<u8>>,
        step: impl FnOnce() -> Step,
    ) -> Verdict {
        self.look.for_this_frame_alone();
        self.look.step(|| step().because_of(cause));
        Verdict::Refuse {
            reason,
            cause: Some(cause),
            answer,
        }
    }

    /// Frames that go back to the sender.
    pub fn answer(
        &mut self,
        frames: impl IntoIterator<Item = Vec<u8>>,
        step: impl FnOnce() -> Step,
    ) -> Verdict {
        self.look.for_this_frame_alone();
        self.look.step(step);
        Verdict::Answer(frames.into_iter().collect())
    }
}
