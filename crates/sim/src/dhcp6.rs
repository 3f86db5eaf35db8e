//! The DHCPv6 server of networks whose subnets ask for one, stateless or stateful (RFC 8415). As
//! with DHCPv4 the answer follows from the topology, so there are no leases to keep.

use crate::{
    look::Side,
    pipeline::{Outcome, Sim},
    ra::FABRIC,
    step::Step,
};
use flow::{DropReason, Verdict};
use std::net::{IpAddr, Ipv6Addr};
use topology::{Bridge, Family, Ipv6Mode, Port, Snapshot, Subnet};
use wire::{
    DEFAULT_TTL, DHCP6_CLIENT, DHCP6_SERVER, Dhcp6Grant, Dhcp6Kind, Dhcp6Lease, Dhcp6Reply,
    Dhcp6Request, Dhcp6Status, IpPacket, Mac, Udp, dhcp6_identifier, dhcp6_is_relayed,
    dhcp6_option as option, protocol,
};

/// How long an address is given for; as with DHCPv4.
const VALID_SECONDS: u32 = 86_400;

/// What a network gives a port.
struct Offer {
    /// Those in stateful subnets.
    addresses: Vec<Ipv6Addr>,
    /// Name servers of all subnets with DHCPv6.
    dns: Vec<u8>,
}

impl Sim<'_> {
    /// Answers a DHCPv6 client. `None`: not a request, meant for another server, or the network has
    /// no DHCPv6.
    pub(crate) fn dhcp6(&mut self, port: &Port, bridge: &Bridge) -> Outcome<Option<Verdict>> {
        let from_client = self.is_dhcp6_request();
        if !from_client && !self.is_dhcp6_from_relay() {
            return Ok(None);
        }
        self.tag_servers(port, bridge);
        let Some(offer) = offer(self.snapshot, port, bridge) else {
            return Ok(None);
        };
        let IpAddr::V6(dst) = self.look.address(Side::Dst) else {
            return Ok(None);
        };
        let is_for_server = dst.is_multicast() || dst == FABRIC.link_local();
        if !is_for_server || self.look.smac() != port.mac {
            return Ok(None);
        }
        let udp = self.frame.udp();
        if udp.is_some_and(|u| dhcp6_is_relayed(u.payload)) {
            return Err(self.lie(DropReason::DhcpRelayed, port, "it comes through a relay"));
        }
        if !from_client {
            return Ok(None);
        }
        let request = udp.and_then(|u| Dhcp6Request::read(u.payload));
        let (Some(request), IpAddr::V6(client)) = (request, self.look.address(Side::Src)) else {
            return Err(self.lie(DropReason::Malformed, port, "no DHCPv6 message of a client"));
        };
        let reply = judge(&request, offer, port);
        let mac = self.look.smac();
        let answer = reply.and_then(|r| frame(&r.message(&request), client, mac));
        let answered = if answer.is_some() {
            "answered"
        } else {
            "nothing to say"
        };
        let step = || Step::bridge(bridge, format!("DHCPv6 {:?}: {answered}", request.kind));
        Ok(Some(self.answer(answer, step)))
    }
}

/// Whether hosts of a subnet are told something by DHCPv6, and whether that includes addresses. A
/// subnet without any mode is served as Neutron's DHCP agent does: hosts that ask get their
/// addresses, though nothing advertises it. An RA mode alone leaves DHCPv6 to somebody else.
fn service(subnet: &Subnet) -> Option<bool> {
    if !subnet.dhcp || subnet.cidr.addr().is_ipv4() {
        return None;
    }
    match (subnet.ipv6_mode, subnet.ipv6_address_mode) {
        (_, Some(Ipv6Mode::Dhcpv6Stateful)) | (None, None) => Some(true),
        (_, Some(Ipv6Mode::Dhcpv6Stateless)) => Some(false),
        (_, Some(Ipv6Mode::Slaac)) | (Some(_), None) => None,
    }
}

/// What the port can be told; `None` if no subnet of the network has DHCPv6.
fn offer(snapshot: &Snapshot, port: &Port, bridge: &Bridge) -> Option<Offer> {
    let subnets = snapshot.bridge_subnets(bridge.id);
    let served: Vec<&Subnet> = subnets
        .map(|s| &**s)
        .filter(|s| service(s).is_some())
        .collect();
    if served.is_empty() {
        return None;
    }
    let is_stateful = |id| {
        served
            .iter()
            .any(|s| s.id == id && service(s) == Some(true))
    };
    let addresses = port.addresses.iter().filter(|a| is_stateful(a.subnet));
    let dns = served.iter().flat_map(|s| &s.dns).filter_map(|d| v6(*d));
    let dns = dns.filter(|d| !d.is_unspecified()); // Neutron's word for none
    Some(Offer {
        addresses: addresses.filter_map(|a| v6(a.ip)).collect(),
        dns: dns.flat_map(|d| d.octets()).collect(),
    })
}

/// The name servers of the subnets and the options of the port, which replace them.
fn options(port: &Port, ipxe: bool, dns: Vec<u8>) -> Vec<(u16, Vec<u8>)> {
    let own = port.dhcp_options.iter();
    let own = own.filter(|o| o.is_for(Family::V6, ipxe));
    let own: Vec<(u16, Vec<u8>)> = own.map(|o| (o.code, o.data.clone())).collect();
    let mut options = Vec::new();
    if own.iter().all(|(code, _)| *code != option::DNS) {
        options.push((option::DNS, dns));
    }
    options.extend(own);
    options.retain(|(_, value)| !value.is_empty());
    options
}

/// RFC 8415, 16 and 18.3. `None`: the client is not answered.
fn judge(ask: &Dhcp6Request, offer: Offer, port: &Port) -> Option<Dhcp6Reply> {
    use Dhcp6Kind::{
        Advertise, Confirm, Decline, InformationRequest, Rebind, Release, Renew, Reply, Request,
        Solicit,
    };
    let server = dhcp6_identifier(FABRIC);
    let anonymous = ask.client.is_empty();
    match (ask.kind, &ask.server) {
        (Solicit | Confirm | Rebind, None) if !anonymous => {}
        (Request | Renew | Release | Decline, Some(meant)) if !anonymous && *meant == server => {}
        (InformationRequest, None) => {}
        (InformationRequest, Some(meant)) if *meant == server => {}
        _ => return None,
    }
    let asks_addresses = ask
        .associations
        .iter()
        .any(|a| a.lease == Dhcp6Lease::Addresses);
    let none_left =
        (asks_addresses && offer.addresses.is_empty()).then_some(Dhcp6Status::NoAddrsAvail);
    let confirmed = confirmation(ask, &offer);
    let (kind, status, grants) = match ask.kind {
        Solicit if ask.rapid_commit => (Reply, none_left, true),
        Solicit => (Advertise, none_left, true),
        Request | Renew | Rebind => (Reply, None, true),
        Confirm => (Reply, Some(confirmed?), false),
        Release | Decline => (Reply, Some(Dhcp6Status::Success), false),
        InformationRequest => (Reply, None, false),
        Advertise | Reply => return None,
    };
    let grant = grants.then_some(Dhcp6Grant {
        addresses: offer.addresses,
        valid_seconds: VALID_SECONDS,
    });
    Some(Dhcp6Reply {
        kind,
        server,
        status,
        grant,
        options: options(port, ask.ipxe, offer.dns),
    })
}

/// Whether the addresses that a client has are still its own; `None` if it names none.
fn confirmation(ask: &Dhcp6Request, offer: &Offer) -> Option<Dhcp6Status> {
    let named: Vec<&Ipv6Addr> = ask.associations.iter().flat_map(|a| &a.addresses).collect();
    if named.is_empty() {
        return None;
    }
    let own = named.iter().all(|a| offer.addresses.contains(a));
    Some(if own {
        Dhcp6Status::Success
    } else {
        Dhcp6Status::NotOnLink
    })
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
