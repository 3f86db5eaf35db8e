//! Router advertisements: how the VMs of a network get IPv6 addresses, routes and name servers.

use crate::{nd::nd_frame, pipeline::Sim, step::Step};
use flow::Verdict;
use std::net::{IpAddr, Ipv6Addr};
use topology::{Bridge, Ipv6Mode, Port, PortId, Snapshot, Subnet};
use wire::{Mac, nd};

/// How long a default router holds: three times the longest interval between advertisements (RFC
/// 4861, 6.2.1).
const ROUTER_LIFETIME_SECONDS: u16 = 1800;
/// How long prefixes and name servers hold.
const VALID_SECONDS: u32 = 86_400;
/// Who speaks on a network without a router: the fabric itself.
pub(crate) const FABRIC: Mac = Mac([0x02, 0x4d, 0x4e, 0, 0, 1]);

/// The router advertisement that a VM's port gets unasked, as a frame to deliver there; `None` if
/// its network has no IPv6 subnet to advertise.
pub fn advertise(snapshot: &Snapshot, port: PortId) -> Option<Vec<u8>> {
    let port = snapshot
        .port(port)
        .filter(|p| p.admin_up && p.host().is_some())?;
    let bridge = snapshot.bridge(port.bridge?).filter(|b| b.admin_up)?;
    let all = Mac::for_ipv6_multicast(nd::ALL_NODES);
    advertisement(snapshot, bridge, nd::ALL_NODES, all)
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
        match advertisement(self.snapshot, bridge, dst, dmac) {
            Some(frame) => self.answer([frame], || {
                Step::bridge(bridge, "answered with an advertisement")
            }),
            None => self.flood(Some(port.id), bridge, true),
        }
    }
}

/// An advertised subnet and the interface that is its gateway, if there is one.
struct Advertised<'a> {
    subnet: &'a Subnet,
    mode: Ipv6Mode,
    gateway: Option<&'a Port>,
}

fn advertisement(
    snapshot: &Snapshot,
    bridge: &Bridge,
    dst: Ipv6Addr,
    dmac: Mac,
) -> Option<Vec<u8>> {
    let subnets: Vec<Advertised<'_>> = advertised(snapshot, bridge).collect();
    if subnets.is_empty() {
        return None;
    }
    let gateway = subnets.iter().find_map(|s| s.gateway);
    let source = gateway.map_or(FABRIC, |port| port.mac);
    let has = |mode| subnets.iter().any(|s| s.mode == mode);
    let managed = has(Ipv6Mode::Dhcpv6Stateful);
    let advertisement = nd::RouterAdvertisement {
        managed,
        other: managed || has(Ipv6Mode::Dhcpv6Stateless),
        lifetime_seconds: gateway.map_or(0, |_| ROUTER_LIFETIME_SECONDS),
        mtu: u32::from(bridge.mtu),
        source,
        prefixes: subnets.iter().filter_map(prefix).collect(),
        dns: subnets
            .iter()
            .flat_map(|s| &s.subnet.dns)
            .copied()
            .filter_map(v6)
            .collect(),
        valid_seconds: VALID_SECONDS,
    };
    let src = source.link_local();
    nd_frame(src, dst, source, dmac, &advertisement.message(src, dst))
}

/// The IPv6 subnets of a network that say how hosts get addresses.
fn advertised<'a>(
    snapshot: &'a Snapshot,
    bridge: &'a Bridge,
) -> impl Iterator<Item = Advertised<'a>> {
    let subnets = snapshot
        .bridge_subnets(bridge.id)
        .filter(|s| s.dhcp && v6(s.cidr.addr()).is_some());
    subnets.filter_map(|subnet| {
        let gateway = gateway(snapshot, bridge, subnet);
        Some(Advertised {
            subnet,
            mode: subnet.ipv6_mode?,
            gateway,
        })
    })
}

/// The interface that is up and has the subnet's gateway address; for a link-local gateway address
/// any interface in the subnet.
fn gateway<'a>(snapshot: &'a Snapshot, bridge: &Bridge, subnet: &Subnet) -> Option<&'a Port> {
    let address = subnet.gateway?;
    let by_address = snapshot.port_by_address(bridge.id, address);
    let in_subnet = || {
        v6(address).filter(Ipv6Addr::is_unicast_link_local)?;
        let ports = snapshot
            .bridge_ports(bridge.id)
            .filter(|p| p.router().is_some());
        ports
            .into_iter()
            .find(|p| p.addresses.iter().any(|a| a.subnet == subnet.id))
    };
    let port = by_address.or_else(in_subnet)?;
    let router = snapshot.router(port.router()?)?;
    (port.admin_up && router.admin_up).then_some(port)
}

fn prefix(advertised: &Advertised<'_>) -> Option<nd::Prefix> {
    let autonomous = advertised.mode != Ipv6Mode::Dhcpv6Stateful;
    let cidr = advertised.subnet.cidr;
    Some(nd::Prefix {
        net: v6(cidr.network())?,
        len: cidr.prefix_len(),
        autonomous,
    })
}

fn v6(ip: IpAddr) -> Option<Ipv6Addr> {
    match ip {
        IpAddr::V6(ip) => Some(ip),
        IpAddr::V4(_) => None,
    }
}
