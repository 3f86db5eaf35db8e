//! The metadata service: every server asks it at the same two addresses, on whatever network it is.
//!
//! The packets go no further than the server's host, which knows by the port they came in at who
//! asks; so networks may overlap, and no router and no security group has a part in it.

use crate::{look::Side, pipeline::Sim, step::Step};
use flow::Verdict;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use topology::{Bridge, Port, Tag};
use wire::{Mac, protocol};

/// Where servers ask over IPv4.
pub const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Where they ask over IPv6, on any of their links.
pub const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe);
/// TCP port of both.
pub const METADATA_PORT: u16 = 80;
/// MAC of the service on every network.
pub const METADATA_MAC: Mac = Mac([0x02, 0x4d, 0x4e, 0, 0, 3]);

impl Sim<'_> {
    /// Whether a packet is for the service. One that is sent to a station of the server's own
    /// network is for that station: Neutron's DHCP agent may serve metadata there.
    pub(crate) fn metadata(&mut self, port: &Port, bridge: &Bridge) -> Option<Verdict> {
        let asks = port.instance.is_some()
            && self.look.proto() == protocol::TCP
            && !self.look.is_icmp_error()
            && self.is_to_service()
            && self.look.port_in(Side::Dst, METADATA_PORT, METADATA_PORT);
        if !asks || self.is_to_station(bridge) {
            return None;
        }
        // the host gives this source a number of its own
        let src = self.look.address(Side::Src);
        let step = || Step::port(port, format!("{src} asks for the metadata of its server"));
        self.look.step(step);
        Some(Verdict::Metadata)
    }

    fn is_to_service(&mut self) -> bool {
        let services = [IpAddr::V4(METADATA_V4), IpAddr::V6(METADATA_V6)];
        services
            .iter()
            .any(|ip| self.look.address_is(Side::Dst, *ip))
    }

    fn is_to_station(&mut self, bridge: &Bridge) -> bool {
        let dmac = self.look.dmac();
        self.look.tag(Tag::Mac(bridge.id, dmac));
        let station = self.snapshot.port_by_mac(bridge.id, dmac);
        dmac.is_multicast() || station.is_some_and(|port| port.router().is_none())
    }
}

/// The MAC that `port` is told when it asks where `ip` is and no port of its network has it.
pub(crate) fn service_mac(port: &Port, ip: IpAddr) -> Option<Mac> {
    let is_service = ip == METADATA_V4 || ip == METADATA_V6;
    (is_service && port.instance.is_some()).then_some(METADATA_MAC)
}
