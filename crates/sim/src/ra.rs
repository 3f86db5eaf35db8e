//! Router advertisements: how the VMs of a network get IPv6 addresses, routes and name servers.
//!
//! Each router that is up and has an interface on an advertised subnet speaks for itself. Subnets
//! that no router speaks for are advertised by the fabric, which is no default router: Neutron
//! counts on VMs to form their addresses whether there is a router or not.

use crate::{nd::nd_frame, pipeline::Sim, step::Step};
use flow::Verdict;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
};
use topology::{Bridge, BridgeId, Family, Ipv6Mode, Port, PortId, Snapshot, Subnet};
use wire::{
    Mac, bytes, dhcp6_option as option,
    nd::{self, RouterAdvertisement},
};

/// How long a default router holds: three times the longest interval between advertisements (RFC
/// 4861, 6.2.1).
const ROUTER_LIFETIME_SECONDS: u16 = 1800;
/// How long prefixes and name servers hold.
const VALID_SECONDS: u32 = 86_400;
/// Routers that advertise on one network; more are not heard.
pub const ADVERTISERS_MAX: usize = 16;
/// Who speaks where no router does: the fabric itself.
pub(crate) const FABRIC: Mac = Mac([0x02, 0x4d, 0x4e, 0, 0, 1]);

/// What one router says to one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement(RouterAdvertisement);

impl Advertisement {
    /// The frame for a port that did not ask.
    pub fn unasked(&self) -> Option<Vec<u8>> {
        self.frame(nd::ALL_NODES, Mac::for_ipv6_multicast(nd::ALL_NODES))
    }

    fn frame(&self, dst: Ipv6Addr, dmac: Mac) -> Option<Vec<u8>> {
        let src = self.0.source.link_local();
        nd_frame(src, dst, self.0.source, dmac, &self.0.message(src, dst))
    }
}

/// What there is to say to each of these ports, without being asked; nothing to a port that is not
/// a VM's or is down.
pub fn advertisements(
    snapshot: &Snapshot,
    ports: &BTreeSet<PortId>,
) -> BTreeMap<PortId, Vec<Advertisement>> {
    let mut networks: BTreeMap<BridgeId, Vec<Advertisement>> = BTreeMap::new();
    let mut of_port = |id: &PortId| {
        let Some((port, bridge)) = listener(snapshot, *id) else {
            return Vec::new();
        };
        let said = networks
            .entry(bridge.id)
            .or_insert_with(|| on_network(snapshot, bridge));
        said.iter().map(|a| to_port(a.clone(), port)).collect()
    };
    ports.iter().map(|id| (*id, of_port(id))).collect()
}

/// A VM's port that is up, and its network.
fn listener(snapshot: &Snapshot, id: PortId) -> Option<(&Port, &Bridge)> {
    let port = snapshot.port(id)?;
    let bridge = snapshot.bridge(port.bridge?)?;
    let up = port.admin_up && bridge.admin_up && port.host().is_some();
    up.then_some((port, bridge))
}

/// What is to be said to take back what was said before and is not said any more: a router that is
/// gone is no default router (RFC 4861, 6.2.5), a prefix that nobody has any more does not hold.
pub fn farewells(before: &[Advertisement], now: &[Advertisement]) -> Vec<Advertisement> {
    let holds = |p: &nd::Prefix| {
        now.iter()
            .flat_map(|a| &a.0.prefixes)
            .any(|q| q.net == p.net)
    };
    let farewell = |old: &Advertisement| {
        let gone = old.0.prefixes.iter().filter(|p| !holds(p));
        let gone: Vec<nd::Prefix> = gone
            .map(|p| nd::Prefix {
                valid_seconds: 0,
                ..*p
            })
            .collect();
        let still = now.iter().find(|a| a.0.source == old.0.source);
        let was_router = old.0.lifetime_seconds > 0;
        if gone.is_empty() && (still.is_some() || !was_router) {
            return None;
        }
        let mut said = still.map_or_else(
            || RouterAdvertisement {
                lifetime_seconds: 0,
                fallback: false,
                prefixes: vec![],
                dns: vec![],
                search: vec![],
                ..old.0.clone()
            },
            |a| a.0.clone(),
        );
        said.prefixes.extend(gone);
        Some(Advertisement(said))
    };
    before.iter().filter_map(farewell).collect()
}

impl Sim<'_> {
    /// Answers a router solicitation; on a network with nothing to advertise it goes to whoever
    /// wants it, as any multicast.
    pub(crate) fn router_solicitation(
        &mut self,
        port: &Port,
        bridge: &Bridge,
        src: Ipv6Addr,
    ) -> Verdict {
        let (dst, dmac) = match src.is_unspecified() {
            true => (nd::ALL_NODES, Mac::for_ipv6_multicast(nd::ALL_NODES)),
            false => (src, self.look.smac()),
        };
        let said = on_network(self.snapshot, bridge);
        if said.is_empty() {
            return self.flood(Some(port.id), bridge, true);
        }
        let frames = said
            .into_iter()
            .filter_map(|a| to_port(a, port).frame(dst, dmac));
        self.answer(frames, || {
            Step::bridge(bridge, "answered with an advertisement")
        })
    }
}

/// What is advertised on a network.
fn on_network(snapshot: &Snapshot, bridge: &Bridge) -> Vec<Advertisement> {
    let subnets = snapshot.bridge_subnets(bridge.id);
    let mut left: Vec<(&Subnet, Ipv6Mode)> = subnets
        .filter(|s| s.dhcp && s.cidr.addr().is_ipv6())
        .filter_map(|s| Some((&**s, s.ipv6_mode?)))
        .collect();
    if left.is_empty() {
        return Vec::new();
    }
    let has = |port: &Port, subnet: &Subnet| port.addresses.iter().any(|a| a.subnet == subnet.id);
    let routers = snapshot
        .bridge_ports(bridge.id)
        .filter(|p| is_router_up(snapshot, p));
    let mut said = Vec::new();
    let all = left.clone();
    for port in routers {
        let own: Vec<_> = all.iter().copied().filter(|s| has(port, s.0)).collect();
        if own.is_empty() || said.len() == ADVERTISERS_MAX {
            continue;
        }
        left.retain(|s| !has(port, s.0));
        said.push(advertisement(bridge, Some(port), &own));
    }
    if !left.is_empty() {
        said.push(advertisement(bridge, None, &left));
    }
    said
}

fn is_router_up(snapshot: &Snapshot, port: &Port) -> bool {
    let router = port.router().and_then(|id| snapshot.router(id));
    port.admin_up && router.is_some_and(|r| r.admin_up)
}

/// What a router, or the fabric, says about subnets.
fn advertisement(
    bridge: &Bridge,
    router: Option<&Port>,
    subnets: &[(&Subnet, Ipv6Mode)],
) -> Advertisement {
    let has = |mode| subnets.iter().any(|(_, m)| *m == mode);
    let managed = has(Ipv6Mode::Dhcpv6Stateful);
    let gateways = || subnets.iter().filter_map(|(s, _)| s.gateway);
    let is_default = router.is_some() && gateways().next().is_some();
    let is_gateway = |port: &Port| gateways().any(|g| is_at(port, g));
    Advertisement(RouterAdvertisement {
        managed,
        other: managed || has(Ipv6Mode::Dhcpv6Stateless),
        lifetime_seconds: if is_default {
            ROUTER_LIFETIME_SECONDS
        } else {
            0
        },
        fallback: is_default && !router.is_some_and(is_gateway),
        mtu: u32::from(bridge.mtu),
        source: router.map_or(FABRIC, |port| port.mac),
        prefixes: subnets.iter().filter_map(prefix).collect(),
        dns: subnets
            .iter()
            .flat_map(|(s, _)| &s.dns)
            .filter_map(|d| v6(*d))
            .filter(|d| !d.is_unspecified()) // Neutron's word for none
            .collect(),
        search: vec![],
        valid_seconds: VALID_SECONDS,
    })
}

/// Whether a subnet's gateway address is this interface; a link-local one is any router's.
fn is_at(port: &Port, gateway: IpAddr) -> bool {
    let link_local = v6(gateway).is_some_and(|g| g.is_unicast_link_local());
    link_local || port.addresses.iter().any(|a| a.ip == gateway)
}

/// A port's own DHCPv6 options hold for what advertisements say as well. Who solicits does not say
/// that it is iPXE.
fn to_port(mut said: Advertisement, port: &Port) -> Advertisement {
    let own = port.dhcp_options.iter();
    for own in own.filter(|o| o.is_for(Family::V6, false)) {
        match own.code {
            option::DNS => {
                let chunks = own.data.chunks_exact(16);
                said.0.dns = chunks.filter_map(|c| bytes::ipv6(c, 0)).collect();
            }
            option::SEARCH => said.0.search.clone_from(&own.data),
            _ => {}
        }
    }
    said
}

fn prefix((subnet, mode): &(&Subnet, Ipv6Mode)) -> Option<nd::Prefix> {
    Some(nd::Prefix {
        net: v6(subnet.cidr.network())?,
        len: subnet.cidr.prefix_len(),
        autonomous: *mode != Ipv6Mode::Dhcpv6Stateful,
        valid_seconds: VALID_SECONDS,
    })
}

fn v6(ip: IpAddr) -> Option<Ipv6Addr> {
    match ip {
        IpAddr::V6(ip) => Some(ip),
        IpAddr::V4(_) => None,
    }
}
