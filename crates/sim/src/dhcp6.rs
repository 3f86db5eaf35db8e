//! The DHCPv6 server of networks whose subnets ask for one, stateless or stateful (RFC 8415). As
//! with DHCPv4 the answer follows from the topology, so there are no leases to keep.

use crate::{
    pipeline::{Outcome, Sim},
    ra::FABRIC,
    step::Step,
};
use flow::{DropReason, Verdict};
use std::net::{IpAddr, Ipv6Addr};
use topology::{Bridge, Ipv6Mode, Port, Snapshot, Subnet};
use wire::{
    DEFAULT_TTL, DHCP6_CLIENT, DHCP6_SERVER, Dhcp6Kind, Dhcp6Reply, Dhcp6Request, Dhcp6Status, Ip,
    IpPacket, Mac, Udp, dhcp6_identifier, protocol,
};

/// How long an address is given for; as with DHCPv4.
const VALID_SECONDS: u32 = 86_400;

/// What a network gives a port.
struct Offer {
    /// Of the first stateful subnet.
    address: Option<Ipv6Addr>,
    /// Of all subnets with DHCPv6.
    dns: Vec<Ipv6Addr>,
}

impl Sim<'_> {
    /// Answers a DHCPv6 client. `None`: not a request, or the network has no DHCPv6.
    pub(crate) fn dhcp6(&mut self, port: &Port, bridge: &Bridge) -> Outcome<Option<Verdict>> {
        if !self.is_dhcp6_request() {
            return Ok(None);
        }
        self.look.for_this_frame_alone();
        let Some(offer) = offer(self.snapshot, port, bridge) else {
            return Ok(None);
        };
        let request = self.frame.udp().and_then(|u| Dhcp6Request::read(u.payload));
        let (Some(request), Some(Ip::V6(ip))) = (request, self.frame.ip()) else {
            return Err(self.lie(DropReason::Malformed, port, "no DHCPv6 message of a client"));
        };
        let reply = judge(&request, offer);
        let mac = self.look.smac();
        let answer = reply.and_then(|r| frame(&r.message(&request), ip.src, mac));
        let answered = if answer.is_some() {
            "answered"
        } else {
            "nothing to do"
        };
        let step = || Step::bridge(bridge, format!("DHCPv6 {:?}: {answered}", request.kind));
        Ok(Some(self.answer(answer, step)))
    }
}

/// What the port can be told; `None` if no subnet of the network has DHCPv6.
fn offer(snapshot: &Snapshot, port: &Port, bridge: &Bridge) -> Option<Offer> {
    let has_dhcp = |s: &&Subnet| {
        let modes = [
            Some(Ipv6Mode::Dhcpv6Stateful),
            Some(Ipv6Mode::Dhcpv6Stateless),
        ];
        s.dhcp && s.cidr.addr().is_ipv6() && modes.contains(&s.ipv6_mode)
    };
    let subnets: Vec<&Subnet> = snapshot
        .bridge_subnets(bridge.id)
        .map(|s| &**s)
        .filter(has_dhcp)
        .collect();
    if subnets.is_empty() {
        return None;
    }
    let is_stateful = |a: &&topology::Address| {
        let subnet = subnets.iter().find(|s| s.id == a.subnet);
        subnet.is_some_and(|s| s.ipv6_mode == Some(Ipv6Mode::Dhcpv6Stateful))
    };
    let address = port
        .addresses
        .iter()
        .find(is_stateful)
        .and_then(|a| v6(a.ip));
    let dns = subnets
        .iter()
        .flat_map(|s| &s.dns)
        .filter_map(|d| v6(*d))
        .collect();
    Some(Offer { address, dns })
}

/// RFC 8415, 18.3. `None`: the client is not answered.
fn judge(ask: &Dhcp6Request, offer: Offer) -> Option<Dhcp6Reply> {
    let server = dhcp6_identifier(FABRIC);
    if ask.server.as_ref().is_some_and(|meant| *meant != server) {
        return None;
    }
    let reply = Dhcp6Reply {
        kind: Dhcp6Kind::Reply,
        server,
        address: offer.address,
        valid_seconds: VALID_SECONDS,
        status: None,
        dns: offer.dns,
    };
    let wants_address = ask.association.is_some();
    let status = (wants_address && offer.address.is_none()).then_some(Dhcp6Status::NoAddrsAvail);
    match ask.kind {
        Dhcp6Kind::Solicit if ask.rapid_commit => Some(Dhcp6Reply { status, ..reply }),
        Dhcp6Kind::Solicit => Some(Dhcp6Reply {
            kind: Dhcp6Kind::Advertise,
            status,
            ..reply
        }),
        Dhcp6Kind::Request | Dhcp6Kind::Renew if ask.server.is_none() => None,
        Dhcp6Kind::Request | Dhcp6Kind::Renew | Dhcp6Kind::Rebind => Some(reply),
        Dhcp6Kind::Confirm => {
            let right = ask.address.is_some() && ask.address == offer.address;
            let status = if right {
                Dhcp6Status::Success
            } else {
                Dhcp6Status::NotOnLink
            };
            Some(Dhcp6Reply {
                status: Some(status),
                ..reply
            })
        }
        Dhcp6Kind::Release | Dhcp6Kind::Decline => Some(Dhcp6Reply {
            status: Some(Dhcp6Status::Success),
            ..reply
        }),
        Dhcp6Kind::InformationRequest => Some(reply),
        Dhcp6Kind::Advertise | Dhcp6Kind::Reply => None,
    }
}

fn frame(message: &[u8], client: Ipv6Addr, mac: Mac) -> Option<Vec<u8>> {
    let (src, dst) = (IpAddr::V6(FABRIC.link_local()), IpAddr::V6(client));
    let udp = Udp {
        sport: DHCP6_SERVER,
        dport: DHCP6_CLIENT,
        payload: message,
    };
    let payload = &udp.datagram(src, dst)?;
    let packet = IpPacket {
        src,
        dst,
        proto: protocol::UDP,
        ttl: DEFAULT_TTL,
        payload,
    };
    packet.frame(FABRIC, mac)
}

fn v6(ip: IpAddr) -> Option<Ipv6Addr> {
    match ip {
        IpAddr::V6(ip) => Some(ip),
        IpAddr::V4(_) => None,
    }
}
