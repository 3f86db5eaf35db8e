//! What a DHCPv4 answer says beside the address: the subnet's options, and those of the port in
//! their place.

use super::{Offer, v4};
use ipnet::{IpNet, Ipv4Net};
use std::net::Ipv4Addr;
use topology::{DhcpOption, Family};
use wire::{Dhcp4Kind, Dhcp4Request, dhcp4_option as option};

/// How long an address is given for; Neutron's default.
const LEASE_SECONDS: u32 = 86_400;
/// Where VMs ask for their metadata.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

type Options = Vec<(u8, Vec<u8>)>;

impl Offer<'_> {
    /// The options of an answer, the most important ones first: what makes the lease, what the
    /// client asks for, the rest.
    pub(super) fn options(&self, ask: &Dhcp4Request, kind: Dhcp4Kind) -> Options {
        let mut options = vec![
            (option::SERVER, self.server.octets().to_vec()),
            (option::CLIENT, ask.identifier.clone()), // RFC 6842
        ];
        if kind == Dhcp4Kind::Nak {
            return options;
        }
        options.extend(self.options_of_subnet());
        self.own_options(ask)
            .for_each(|own| replace(&mut options, own));
        if ask.wanted.contains(&option::MS_ROUTES) {
            mirror(&mut options, option::ROUTES, option::MS_ROUTES);
        }
        if ask.kind == Dhcp4Kind::Inform {
            // it has its address from elsewhere (RFC 2131, 4.3.5)
            const TIMES: [u8; 3] = [option::LEASE, option::RENEWAL, option::REBINDING];
            options.retain(|(code, _)| !TIMES.contains(code));
        }
        options.sort_by_key(|(code, _)| match *code {
            option::SERVER | option::CLIENT | option::LEASE | option::MASK => 0,
            code if ask.wanted.contains(&code) => 1,
            _ => 2,
        });
        options
    }

    /// The server that the port boots from.
    pub(super) fn next_server(&self, ask: &Dhcp4Request) -> Ipv4Addr {
        let named = self.extra(ask).find(|o| o.code == DhcpOption::NEXT_SERVER);
        let octets = named.and_then(|o| o.data.first_chunk::<4>().copied());
        octets.map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from)
    }

    fn extra(&self, ask: &Dhcp4Request) -> impl Iterator<Item = &DhcpOption> {
        let own = self.port.dhcp_options.iter();
        own.filter(|o| o.is_for(Family::V4, ask.ipxe))
    }

    fn own_options(&self, ask: &Dhcp4Request) -> impl Iterator<Item = (u8, Vec<u8>)> {
        let own = self.extra(ask);
        let options = own.filter(|o| o.code != DhcpOption::NEXT_SERVER);
        options.filter_map(|o| Some((u8::try_from(o.code).ok()?, o.data.clone())))
    }

    fn options_of_subnet(&self) -> Options {
        let servers = self.subnet.dns.iter().copied().filter_map(v4);
        let servers = servers.filter(|d| !d.is_unspecified()); // Neutron's word for none
        let gateway = self.gateway().map(|g| g.octets().to_vec());
        vec![
            (option::LEASE, LEASE_SECONDS.to_be_bytes().to_vec()),
            (option::MASK, self.net.netmask().octets().to_vec()),
            (option::ROUTER, gateway.unwrap_or_default()),
            (option::DNS, servers.flat_map(|d| d.octets()).collect()),
            (option::ROUTES, self.routes()),
            (option::MTU, self.bridge.mtu.to_be_bytes().to_vec()),
            (option::BROADCAST, self.net.broadcast().octets().to_vec()),
        ]
    }

    /// The default router: the subnet's, or the next hop of a default route among its host routes.
    fn gateway(&self) -> Option<Ipv4Addr> {
        let is_default = |(net, _): &(Ipv4Net, Ipv4Addr)| net.prefix_len() == 0;
        let route = || self.host_routes().find(is_default).map(|(_, next)| next);
        self.gateway.or_else(route)
    }

    fn host_routes(&self) -> impl Iterator<Item = (Ipv4Net, Ipv4Addr)> {
        let routes = self.subnet.host_routes.iter();
        routes.filter_map(|r| match r.destination {
            IpNet::V4(net) => Some((net, v4(r.nexthop)?)),
            IpNet::V6(_) => None,
        })
    }

    /// Classless routes (RFC 3442): to the network's other subnets, which are on the same link, to
    /// metadata where no router leads there, and the host routes. A client that takes them ignores
    /// the router option, so the default route is among them; without others there is no need for
    /// it.
    fn routes(&self) -> Vec<u8> {
        let on_link = Ipv4Addr::UNSPECIFIED;
        let subnets = self.snapshot.bridge_subnets(self.bridge.id);
        let others = subnets.filter_map(|s| match s.cidr {
            IpNet::V4(net) if net != self.net => Some((net, on_link)),
            _ => None,
        });
        let metadata = (!self.routed).then_some((Ipv4Net::from(METADATA), on_link));
        let host = self.host_routes().filter(|(net, _)| net.prefix_len() > 0);
        let mut routes: Vec<(Ipv4Net, Ipv4Addr)> = others.chain(metadata).chain(host).collect();
        if !routes.is_empty() {
            routes.extend(self.gateway().map(|g| (Ipv4Net::default(), g)));
        }
        routes
            .iter()
            .flat_map(|(net, next)| encode_route(net, *next))
            .collect()
    }
}

/// Puts an option in the place of one with the same code, or at the end.
fn replace(options: &mut Options, own: (u8, Vec<u8>)) {
    match options.iter_mut().find(|(code, _)| *code == own.0) {
        Some(option) => *option = own,
        None => options.push(own),
    }
}

/// Gives an option's value under another code too, unless that has one.
fn mirror(options: &mut Options, from: u8, to: u8) {
    let value = options.iter().find(|(code, _)| *code == from).cloned();
    if let Some((_, value)) = value.filter(|_| options.iter().all(|(code, _)| *code != to)) {
        options.push((to, value));
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
