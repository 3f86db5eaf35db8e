//! ARP: requests are answered from the topology, and only what it does not know is flooded.

use crate::{
    metadata::service_mac,
    pipeline::{Outcome, Sim},
    step::Step,
};
use flow::{DropReason, Verdict};
use std::net::IpAddr;
use topology::{Bridge, Port};
use wire::{Arp, ArpOperation};

impl Sim<'_> {
    /// An ARP frame from a VM.
    pub(crate) fn arp(&mut self, port: &Port, bridge: &Bridge) -> Outcome<Verdict> {
        self.look.for_this_frame_alone();
        let Some(arp) = Arp::read(self.frame.payload()) else {
            return Err(self.lie(
                DropReason::Malformed,
                port,
                "not ARP for IPv4 over Ethernet",
            ));
        };
        self.check_arp(port, &arp)?;
        let owner = self.owner(bridge, IpAddr::V4(arp.target_ip));
        let told =
            arp.sender_ip == arp.target_ip && self.is_contested(bridge, arp.sender_ip.into());
        let asks = arp.operation == ArpOperation::Request && !told;
        if asks && owner.is_some_and(|owner| owner.id == port.id) {
            return Ok(self.answer([], || Step::bridge(bridge, "it asks for its own address")));
        }
        let service = service_mac(port, IpAddr::V4(arp.target_ip));
        match owner.map(|owner| owner.mac).or(service).filter(|_| asks) {
            Some(mac) => {
                let what = || format!("{} is at {mac}: answered", arp.target_ip);
                Ok(self.answer([arp.reply(mac)], || Step::bridge(bridge, what())))
            }
            None => Ok(self.spread(port, bridge, &arp)),
        }
    }

    fn check_arp(&mut self, port: &Port, arp: &Arp) -> Outcome<()> {
        let mac = self.check_mac(port)?;
        let (sender, ip) = (arp.sender_mac, arp.sender_ip);
        let honest = port.security.is_none()
            || sender == mac
                && (ip.is_unspecified() || self.may_speak_for(port, mac, IpAddr::V4(ip)));
        if !honest {
            let what = "its ARP message speaks for another";
            return Err(self.lie(DropReason::SpoofedArp, port, what));
        }
        Ok(())
    }

    /// What the topology has no answer for goes to those that may have one, and announcements to
    /// everybody, except what tells them nothing: the topology knows it.
    fn spread(&mut self, port: &Port, bridge: &Bridge, arp: &Arp) -> Verdict {
        if !self.look.dmac().is_multicast() {
            return self.hand_over(Some(port.id), bridge, false);
        }
        if let Some(ip) = self.asked_address() {
            return self.ask(Some(port.id), bridge, ip);
        }
        if self.tells_nothing(bridge, arp.sender_ip.into()) {
            return self.answer([], || Step::bridge(bridge, "it announces what is known"));
        }
        self.flood(Some(port.id), bridge, false)
    }
}
