//! Stations: what a frame says of who is behind its port, who may be there, and how to ask.
//!
//! A port speaks of stations with every frame from a MAC that is not its own, and with ARP and
//! neighbour discovery messages about addresses that are not. The agent hears it
//! ([`stations_of`]), tells the other hosts, and puts it into the snapshot, where the look-ups of
//! bridges and routers find it. For an address that is learned nobody answers but its station: the
//! question goes to all ports that may have it, so that one that moved in silence is found too.

use crate::{
    Packet,
    frame::Frame,
    nd::{nd_frame, read_nd},
    pipeline::Sim,
    step::Step,
};
use flow::{Question, Verdict};
use std::{net::IpAddr, sync::Arc};
use topology::{Bridge, BridgeId, Holder, Link, Port, PortId, Snapshot, Station, Tag};
use wire::{Arp, ArpOperation, Mac, ethertype, nd, nd::Nd};

/// What ARP or neighbour discovery messages are about.
enum Message {
    /// The sender has this address.
    Says(Mac, IpAddr),
    /// The sender, who may have an address too, asks who has the second one.
    Asks(Option<(Mac, IpAddr)>, IpAddr),
}

/// The stations that a frame from a port speaks of: of its sender's MAC, and of the address that an
/// ARP or neighbour discovery message says it has. Nothing of what Neutron gave to the port itself,
/// unless another has been heard to have it.
///
/// A frame that its port may not send speaks of nobody.
pub fn stations_of(snapshot: &Snapshot, port: PortId, packet: &Packet<'_>) -> Vec<Station> {
    let Some(port) = snapshot.port(port).filter(|p| p.admin_up) else {
        return Vec::new();
    };
    let (mac, frame) = (Mac(packet.key.smac), Frame::of(packet));
    let message = Message::read(packet, &frame);
    let Some(bridge) = port.bridge.filter(|_| port.may_use_mac(mac)) else {
        return Vec::new();
    };
    let own_data = message.is_none() && mac == port.mac;
    let said = match message {
        Some(Message::Says(mac, ip) | Message::Asks(Some((mac, ip)), _)) => Some((mac, ip)),
        _ => None,
    };
    let heard = |mac, ip| Station {
        bridge,
        port: port.id,
        mac,
        ip,
    };
    let speaker = (!own_data).then(|| heard(mac, None));
    let address = said
        .filter(|(said, ip)| port.may_use(*said, *ip) && (port.security.is_none() || *said == mac));
    let address = address.map(|(mac, ip)| heard(mac, Some(ip)));
    let news = |s: &Station| !is_own(port, s) || snapshot.station(&s.tag()).is_some();
    speaker.into_iter().chain(address).filter(news).collect()
}

/// Whether a frame is an ARP or neighbour discovery message: who sends one means to be heard.
pub fn is_announcement(packet: &Packet<'_>) -> bool {
    Message::read(packet, &Frame::of(packet)).is_some()
}

fn is_own(port: &Port, station: &Station) -> bool {
    let has = |ip: IpAddr| port.addresses.iter().any(|a| a.ip == ip);
    station.mac == port.mac && station.ip.is_none_or(has)
}

impl Message {
    fn read(packet: &Packet<'_>, frame: &Frame<'_>) -> Option<Self> {
        if packet.key.family == 0 {
            return Self::read_arp(frame);
        }
        let is_icmp6 = packet.key.family == 6 && packet.key.proto == wire::protocol::ICMPV6;
        if is_icmp6 { Self::read_nd(frame) } else { None }
    }

    fn read_arp(frame: &Frame<'_>) -> Option<Self> {
        if frame.ethertype() != Some(ethertype::ARP) {
            return None;
        }
        let arp = Arp::read(frame.payload())?;
        let sender = (arp.sender_mac, IpAddr::V4(arp.sender_ip));
        let asks = arp.operation == ArpOperation::Request && arp.sender_ip != arp.target_ip;
        Some(match (asks, arp.sender_ip.is_unspecified()) {
            (true, true) => Message::Asks(None, IpAddr::V4(arp.target_ip)),
            (true, false) => Message::Asks(Some(sender), IpAddr::V4(arp.target_ip)),
            (false, _) => Message::Says(sender.0, sender.1),
        })
    }

    fn read_nd(frame: &Frame<'_>) -> Option<Self> {
        let (src, message) = read_nd(frame).ok()?;
        let smac = frame.smac()?;
        match message {
            Nd::NeighborSolicitation { target, source } => {
                let sender = (source.unwrap_or(smac), IpAddr::V6(src));
                let sender = Some(sender).filter(|_| !src.is_unspecified());
                Some(Message::Asks(sender, IpAddr::V6(target)))
            }
            Nd::NeighborAdvertisement { target, mac } => {
                Some(Message::Says(mac.unwrap_or(smac), IpAddr::V6(target)))
            }
            _ => None,
        }
    }
}

/// A router's ARP request or neighbour solicitation for an address on one of its networks; `None`
/// if no port there may have it, or no router is there to ask.
pub fn question(snapshot: &Snapshot, bridge: BridgeId, ip: IpAddr) -> Option<Question> {
    let mut routers = snapshot
        .bridge_ports(bridge)
        .filter(|p| p.admin_up && p.router().is_some());
    routers.find_map(|out| question_from(snapshot, out, bridge, ip))
}

/// The question of one interface.
pub(crate) fn question_from(
    snapshot: &Snapshot,
    out: &Port,
    bridge: BridgeId,
    ip: IpAddr,
) -> Option<Question> {
    let ports: Vec<PortId> = candidates(snapshot, bridge, ip).map(|p| p.id).collect();
    if ports.is_empty() {
        return None;
    }
    let own = out.addresses.iter().find(|a| {
        let subnet = snapshot.subnet(a.subnet);
        subnet.is_some_and(|s| s.cidr.contains(&ip))
    })?;
    let frame = match (own.ip, ip) {
        (IpAddr::V4(sender_ip), IpAddr::V4(target_ip)) => Arp {
            operation: ArpOperation::Request,
            sender_mac: out.mac,
            sender_ip,
            target_mac: Mac::default(),
            target_ip,
        }
        .frame(Mac::BROADCAST),
        (_, IpAddr::V6(target)) => {
            let (src, dst) = (out.mac.link_local(), nd::solicited_node(target));
            let message = nd::neighbor_solicitation(src, out.mac, target, dst);
            nd_frame(src, dst, out.mac, Mac::for_ipv6_multicast(dst), &message)?
        }
        _ => return None,
    };
    Some(Question {
        bridge,
        ip,
        frame,
        ports,
    })
}

/// The ports of a network behind which somebody may have an address.
fn candidates(
    snapshot: &Snapshot,
    bridge: BridgeId,
    ip: IpAddr,
) -> impl Iterator<Item = &Arc<Port>> {
    let ports = snapshot.bridge_ports(bridge);
    ports.filter(move |p| p.admin_up && p.host().is_some() && p.may_hold(ip))
}

impl<'a> Sim<'a> {
    /// Who has an address on a network, by the MAC that frames for it need. A port that only
    /// reserves the address for others has it if there are no others.
    pub(crate) fn neighbor(&mut self, bridge: BridgeId, ip: IpAddr) -> Option<(&'a Port, Mac)> {
        self.look.tag(Tag::Neighbor(bridge, ip));
        match self.snapshot.holder_of_address(bridge, ip)? {
            Holder::Learned(port, mac) => Some((port, mac)),
            Holder::Fixed(port) => {
                let reserved = port.link == Link::None && self.may_be_held(bridge, ip);
                (!reserved).then_some((port, port.mac))
            }
        }
    }

    /// The port that has a fixed address on a network, or a router's that stands for a floating IP, if
    /// it is up and nobody else may have it: the one for which ARP and neighbour discovery are answered. A router's link-local address too,
    /// and any other that is made from a MAC.
    pub(crate) fn owner(&mut self, bridge: &Bridge, ip: IpAddr) -> Option<&'a Port> {
        let fixed = self.snapshot.port_with_address(bridge.id, ip);
        let owner = match (fixed, ip) {
            (Some(fixed), _) => {
                let (port, mac) = self.neighbor(bridge.id, ip)?;
                (port.id == fixed.id && mac == fixed.mac).then_some(port)
            }
            (None, IpAddr::V6(ip)) => {
                self.look.tag(Tag::Neighbor(bridge.id, IpAddr::V6(ip)));
                let mac = Mac::from_link_local(ip)?;
                self.look.tag(Tag::Mac(bridge.id, mac));
                match self.snapshot.holder_of_mac(bridge.id, mac)? {
                    Holder::Fixed(port) => Some(&**port),
                    Holder::Learned(..) => None,
                }
            }
            (None, IpAddr::V4(_)) => {
                self.look.tag(Tag::Neighbor(bridge.id, ip));
                None
            }
        };
        owner.filter(|owner| owner.admin_up)
    }

    /// Whether others may believe that somebody else has an address than who has it.
    pub(crate) fn is_contested(&self, bridge: &Bridge, ip: IpAddr) -> bool {
        let tag = Tag::Neighbor(bridge.id, ip);
        self.snapshot.station(&tag).is_some()
    }

    /// Whether it tells nobody anything to announce an address: its owner is answered for.
    pub(crate) fn tells_nothing(&mut self, bridge: &Bridge, ip: IpAddr) -> bool {
        self.owner(bridge, ip).is_some() && !self.is_contested(bridge, ip)
    }

    fn may_be_held(&mut self, bridge: BridgeId, ip: IpAddr) -> bool {
        self.look.tag(Tag::Ports(bridge));
        candidates(self.snapshot, bridge, ip).next().is_some()
    }

    /// A question about an address goes to the ports that may have it.
    pub(crate) fn ask(&mut self, from: Option<PortId>, bridge: &Bridge, ip: IpAddr) -> Verdict {
        self.look.for_this_frame_alone();
        let ports = candidates(self.snapshot, bridge.id, ip).map(|p| p.id);
        let ports: Vec<PortId> = ports.filter(|id| Some(*id) != from).collect();
        let what = || format!("the {} ports that may have {ip} are asked", ports.len());
        self.look.step(|| Step::bridge(bridge, what()));
        Verdict::Flood { ports }
    }

    /// Has a router's interface ask for an address, if anybody may answer.
    pub(crate) fn ask_for(&mut self, out: &Port, bridge: BridgeId, ip: IpAddr) -> bool {
        let question = question_from(self.snapshot, out, bridge, ip);
        let asked = question.is_some();
        self.look.ask(question);
        asked
    }

    /// The address that the frame asks for.
    pub(crate) fn asked_address(&self) -> Option<IpAddr> {
        let arp = || Message::read_arp(&self.frame);
        match arp().or_else(|| Message::read_nd(&self.frame))? {
            Message::Asks(_, ip) => Some(ip),
            Message::Says(..) => None,
        }
    }
}
