//! The DHCPv4 server of every network: it answers from the topology, whatever the VM's security
//! groups say. The answer is the same each time, so there are no leases to keep.

use crate::{
    pipeline::{Outcome, Sim},
    step::Step,
};
use flow::{DropReason, Verdict};
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr};
use topology::{Bridge, Port, Snapshot, Subnet};
use wire::{
    DHCP4_CLIENT, DHCP4_SERVER, Dhcp4Kind, Dhcp4Reply, Dhcp4Request, IpPacket, Mac, Udp,
    dhcp4_option as option, protocol,
};

/// How long an address is given for; Neutron's default.
const LEASE_SECONDS: u32 = 86_400;
/// Server identifier on a subnet without gateway.
const LINK_SERVER: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 1);
/// MAC of the server where no router has the gateway address.
const SERVER_MAC: Mac = Mac([0x02, 0x4d, 0x4e, 0, 0, 2]);

/// What a subnet gives a port.
struct Offer<'a> {
    subnet: &'a Subnet,
    net: Ipv4Net,
    address: Ipv4Addr,
    server: Ipv4Addr,
    server_mac: Mac,
    mtu: u16,
}

/// What a request deserves.
enum Answer {
    Reply(Dhcp4Kind),
    Nothing(&'static str),
}

impl Sim<'_> {
    /// Answers a DHCP client. `None`: not a request, or the network has no DHCP for this port; the
    /// packet goes on, and a DHCP server among the VMs may see it.
    pub(crate) fn dhcp4(&mut self, port: &Port, bridge: &Bridge) -> Outcome<Option<Verdict>> {
        if !self.is_dhcp_request() {
            return Ok(None);
        }
        self.look.for_this_frame_alone();
        let offers: Vec<Offer<'_>> = offers(self.snapshot, port, bridge).collect();
        if offers.is_empty() {
            return Ok(None);
        }
        let udp = self.frame.udp();
        let Some(request) = udp.and_then(|u| Dhcp4Request::read(u.payload)) else {
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
            subnet,
            net,
            address,
            server: gateway.unwrap_or(LINK_SERVER),
            server_mac: router.map_or(SERVER_MAC, |r| r.mac),
            mtu: bridge.mtu,
        })
    })
}

/// RFC 2131, 4.3.
fn judge(ask: &Dhcp4Request, offer: &Offer<'_>) -> Answer {
    if !ask.relay.is_unspecified() {
        return Answer::Nothing("relays are not served");
    }
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
        let given = match (kind, ask.kind) {
            (Dhcp4Kind::Nak, _) | (_, Dhcp4Kind::Inform) => Ipv4Addr::UNSPECIFIED,
            _ => self.address,
        };
        let reply = Dhcp4Reply {
            kind,
            address: given,
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

    fn options(&self, ask: &Dhcp4Request, kind: Dhcp4Kind) -> Vec<(u8, Vec<u8>)> {
        let mut options = vec![(option::SERVER, self.server.octets().to_vec())];
        if kind == Dhcp4Kind::Nak {
            return options;
        }
        if ask.kind != Dhcp4Kind::Inform {
            options.push((option::LEASE, LEASE_SECONDS.to_be_bytes().to_vec()));
        }
        options.push((option::MASK, self.net.netmask().octets().to_vec()));
        options.push((option::BROADCAST, self.net.broadcast().octets().to_vec()));
        options.push((option::MTU, self.mtu.to_be_bytes().to_vec()));
        let gateway = self.subnet.gateway.and_then(v4);
        options.extend(gateway.map(|g| (option::ROUTER, g.octets().to_vec())));
        let dns = self.subnet.dns.iter().copied().filter_map(v4);
        options.push((option::DNS, dns.flat_map(|d| d.octets()).collect()));
        options.push((option::ROUTES, self.routes(gateway)));
        options.retain(|(_, value)| !value.is_empty());
        options
    }

    /// Classless routes (RFC 3442). A client that takes them ignores the router option, so the
    /// default route is among them; without host routes there is no need for any.
    fn routes(&self, gateway: Option<Ipv4Addr>) -> Vec<u8> {
        let host_routes = self.subnet.host_routes.iter();
        let mut routes: Vec<(Ipv4Net, Ipv4Addr)> = host_routes
            .filter_map(|r| match (r.destination, r.nexthop) {
                (IpNet::V4(net), IpAddr::V4(next)) => Some((net, next)),
                _ => None,
            })
            .collect();
        let has_default = routes.iter().any(|(net, _)| net.prefix_len() == 0);
        if !routes.is_empty() && !has_default {
            routes.extend(gateway.map(|g| (Ipv4Net::default(), g)));
        }
        routes
            .iter()
            .flat_map(|(net, next)| encode_route(net, *next))
            .collect()
    }
}

/// Prefix length, the bytes of the prefix that it covers, next hop.
fn encode_route(net: &Ipv4Net, next: Ipv4Addr) -> Vec<u8> {
    let covered = usize::from(net.prefix_len()).div_ceil(8);
    let mut out = vec![net.prefix_len()];
    out.extend(&net.network().octets()[..covered]);
    out.extend(next.octets());
    out
}

fn v4(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}
