//! The DHCPv4 server of every network: it answers from the topology, whatever the VM's security
//! groups say. The answer is the same each time, so there are no leases to keep.

mod options;

use crate::{
    look::Side,
    pipeline::{Outcome, Sim},
    step::Step,
};
use flow::{DropReason, Verdict};
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr};
use topology::{Bridge, Port, Snapshot, Subnet, Tag};
use wire::{
    DHCP4_CLIENT, DHCP4_SERVER, Dhcp4Kind, Dhcp4Reply, Dhcp4Request, IpPacket, Mac, Udp, protocol,
};

/// Server identifier on a subnet without gateway.
const LINK_SERVER: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 1);
/// MAC of the server where no router has the gateway address.
const SERVER_MAC: Mac = Mac([0x02, 0x4d, 0x4e, 0, 0, 2]);

/// What a subnet gives a port.
struct Offer<'a> {
    snapshot: &'a Snapshot,
    bridge: &'a Bridge,
    port: &'a Port,
    subnet: &'a Subnet,
    net: Ipv4Net,
    address: Ipv4Addr,
    gateway: Option<Ipv4Addr>,
    /// A router has the gateway address.
    routed: bool,
    server: Ipv4Addr,
    server_mac: Mac,
}

/// What a request deserves.
enum Answer {
    Reply(Dhcp4Kind),
    Nothing(&'static str),
}

impl Sim<'_> {
    /// Answers a DHCP client. `None`: not a request, meant for another server, or the network has
    /// no DHCP for this port; the packet goes on, and a DHCP server among the VMs may see it.
    pub(crate) fn dhcp4(&mut self, port: &Port, bridge: &Bridge) -> Outcome<Option<Verdict>> {
        let from_client = self.is_dhcp_request();
        if !from_client && !self.is_dhcp_from_relay() {
            return Ok(None);
        }
        self.tag_servers(port, bridge);
        let offers: Vec<Offer<'_>> = offers(self.snapshot, port, bridge).collect();
        if !self.is_for_server(&offers) {
            return Ok(None);
        }
        let udp = self.frame.udp();
        let request = udp.and_then(|u| Dhcp4Request::read(u.payload));
        if request.as_ref().is_some_and(|r| !r.relay.is_unspecified()) {
            return Err(self.lie(DropReason::DhcpRelayed, port, "it comes through a relay"));
        }
        if !from_client {
            return Ok(None);
        }
        let Some(request) = request else {
            return Err(self.lie(DropReason::Malformed, port, "no DHCP message of a client"));
        };
        if request.mac != port.mac {
            return match port.security {
                Some(_) => Err(self.lie(DropReason::SpoofedMac, port, "it asks for another MAC")),
                None => Ok(None),
            };
        }
        let wanted = request.requested.unwrap_or(request.client);
        let offer = offers
            .iter()
            .find(|o| o.address == wanted)
            .unwrap_or(&offers[0]);
        Ok(Some(self.answer_dhcp4(bridge, &request, offer)))
    }

    /// What DHCP servers know of a port depends on its subnets and on the network's routers.
    pub(crate) fn tag_servers(&mut self, port: &Port, bridge: &Bridge) {
        self.look.tag(Tag::Ports(bridge.id));
        for address in &port.addresses {
            self.look.tag(Tag::Subnet(address.subnet));
        }
    }

    /// Sent to every server, or to this one.
    fn is_for_server(&mut self, offers: &[Offer<'_>]) -> bool {
        let IpAddr::V4(dst) = self.look.address(Side::Dst) else {
            return false;
        };
        let is_for =
            |o: &Offer<'_>| [o.server, o.net.broadcast(), Ipv4Addr::BROADCAST].contains(&dst);
        offers.iter().any(is_for)
    }

    fn answer_dhcp4(&mut self, bridge: &Bridge, ask: &Dhcp4Request, offer: &Offer<'_>) -> Verdict {
        match judge(ask, offer) {
            Answer::Nothing(why) => self.answer([], || {
                Step::bridge(bridge, format!("DHCP {:?}: {why}", ask.kind))
            }),
            Answer::Reply(kind) => {
                let what = || format!("DHCP {:?}: {kind:?} {}", ask.kind, offer.address);
                self.answer(offer.frame(ask, kind), || Step::bridge(bridge, what()))
            }
        }
    }
}

/// What the port can be given: an address in each IPv4 subnet that has DHCP.
fn offers<'a>(
    snapshot: &'a Snapshot,
    port: &'a Port,
    bridge: &'a Bridge,
) -> impl Iterator<Item = Offer<'a>> {
    port.addresses.iter().filter_map(move |a| {
        let subnet = snapshot.subnet(a.subnet).filter(|s| s.dhcp)?;
        let (IpAddr::V4(address), IpNet::V4(net)) = (a.ip, subnet.cidr) else {
            return None;
        };
        let gateway = subnet.gateway.and_then(v4).filter(|g| *g != address);
        let owner = gateway.and_then(|g| snapshot.port_by_address(bridge.id, IpAddr::V4(g)));
        let router = owner.filter(|o| o.router().is_some());
        Some(Offer {
            snapshot,
            bridge,
            port,
            subnet,
            net,
            address,
            gateway,
            routed: router.is_some(),
            server: gateway.unwrap_or(LINK_SERVER),
            server_mac: router.map_or(SERVER_MAC, |r| r.mac),
        })
    })
}

/// RFC 2131, 4.3.
fn judge(ask: &Dhcp4Request, offer: &Offer<'_>) -> Answer {
    if ask.server.is_some_and(|server| server != offer.server) {
        return Answer::Nothing("meant for another server");
    }
    match ask.kind {
        Dhcp4Kind::Discover => Answer::Reply(Dhcp4Kind::Offer),
        Dhcp4Kind::Inform => Answer::Reply(Dhcp4Kind::Ack),
        Dhcp4Kind::Request => {
            let wanted = ask.requested.unwrap_or(ask.client);
            Answer::Reply(match wanted == offer.address {
                true => Dhcp4Kind::Ack,
                false => Dhcp4Kind::Nak,
            })
        }
        Dhcp4Kind::Decline | Dhcp4Kind::Release => Answer::Nothing("nothing to do"),
        Dhcp4Kind::Offer | Dhcp4Kind::Ack | Dhcp4Kind::Nak => Answer::Nothing("not a request"),
    }
}

impl Offer<'_> {
    fn frame(&self, ask: &Dhcp4Request, kind: Dhcp4Kind) -> Option<Vec<u8>> {
        let refused = kind == Dhcp4Kind::Nak;
        let none = Ipv4Addr::UNSPECIFIED;
        let reply = Dhcp4Reply {
            kind,
            address: match refused || ask.kind == Dhcp4Kind::Inform {
                true => none,
                false => self.address,
            },
            next_server: if refused { none } else { self.next_server(ask) },
            options: self.options(ask, kind),
        };
        let message = reply.message(ask);
        let (dst, dmac) = self.receiver(ask, kind);
        let (src, dst) = (IpAddr::V4(self.server), IpAddr::V4(dst));
        let udp = Udp {
            sport: DHCP4_SERVER,
            dport: DHCP4_CLIENT,
            payload: &message,
        };
        let payload = &udp.datagram(src, dst)?;
        let packet = IpPacket {
            src,
            dst,
            proto: protocol::UDP,
            ttl: wire::DEFAULT_TTL,
            payload,
        };
        packet.frame(self.server_mac, dmac)
    }

    /// RFC 2131, 4.1: to the address the client has, else as it can receive.
    fn receiver(&self, ask: &Dhcp4Request, kind: Dhcp4Kind) -> (Ipv4Addr, Mac) {
        if kind == Dhcp4Kind::Nak || (ask.client.is_unspecified() && ask.broadcast) {
            (Ipv4Addr::BROADCAST, Mac::BROADCAST)
        } else if ask.client.is_unspecified() {
            (self.address, ask.mac)
        } else {
            (ask.client, ask.mac)
        }
    }
}

fn v4(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}
