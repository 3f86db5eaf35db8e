//! A VM speaks for itself only: its MACs, its addresses, and no roles that are not its.

use crate::{
    look::Side,
    pipeline::{Outcome, Sim},
    step::Step,
};
use flow::{DropReason, Verdict};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use topology::{Family, Port, Tag};
use wire::{Mac, icmp6, protocol};

impl Sim<'_> {
    /// The source MAC is one that this port may use. Port security off allows every station's.
    pub(crate) fn check_mac(&mut self, port: &Port) -> Outcome<Mac> {
        let mac = self.look.smac();
        if let Some(bridge) = port.bridge.filter(|_| mac != port.mac) {
            // a station that is heard elsewhere must be heard again when it is back
            self.look.tag(Tag::Mac(bridge, mac));
        }
        if !port.may_use_mac(mac) {
            let step = || Step::port(port, format!("{mac} is not its MAC"));
            return Err(self.drop(DropReason::SpoofedMac, port.id.0, step));
        }
        Ok(mac)
    }

    /// The sources of an IP packet are the port's own. Errors about packets to others come from
    /// routers: from ports that may use every address.
    pub(crate) fn check_source(&mut self, port: &Port) -> Outcome<()> {
        let mac = self.check_mac(port)?;
        let transit = self.look.is_transit_error();
        // what the record of a connection has translated was its own
        if port.security.is_none() || (self.look.is_translated() && !transit) {
            return Ok(());
        }
        let own = port
            .sources(mac)
            .filter(|net| !transit || net.prefix_len() == 0)
            .any(|net| self.look.address_in(Side::Src, &net));
        if own || self.has_no_address_yet() {
            return Ok(());
        }
        if transit {
            let step = || Step::port(port, "it is no router that may report others' packets");
            return Err(self.drop(DropReason::SpoofedIp, port.id.0, step));
        }
        let src = self.look.address(Side::Src);
        let step = || Step::port(port, format!("{src} from {mac} is not its address"));
        Err(self.drop(DropReason::SpoofedIp, port.id.0, step))
    }

    /// Packets that a host may send before it has an address: requests for one, and what
    /// duplicate address detection needs (RFC 4861, 4.1 and 4.3; RFC 3590, 4).
    fn has_no_address_yet(&mut self) -> bool {
        const KINDS: [u8; 5] = [
            icmp6::ROUTER_SOLICITATION,
            icmp6::NEIGHBOR_SOLICITATION,
            icmp6::MLD_REPORT,
            icmp6::MLD_DONE,
            icmp6::MLD2_REPORT,
        ];
        let (allowed, nobody) = match self.look.family() {
            Some(Family::V4) => (self.is_dhcp_request(), IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            _ => {
                let allowed = KINDS.iter().any(|kind| self.look.icmp_is(*kind, None));
                (allowed, IpAddr::V6(Ipv6Addr::UNSPECIFIED))
            }
        };
        allowed && self.look.address_is(Side::Src, nobody)
    }

    /// A DHCPv4 client's message to servers.
    pub(crate) fn is_dhcp_request(&mut self) -> bool {
        self.look.family() == Some(Family::V4) && self.is_udp(68, 67)
    }

    /// A DHCPv4 relay's message to servers.
    pub(crate) fn is_dhcp_from_relay(&mut self) -> bool {
        self.look.family() == Some(Family::V4) && self.is_udp(67, 67)
    }

    /// A DHCPv6 client's message to servers.
    pub(crate) fn is_dhcp6_request(&mut self) -> bool {
        self.look.family() == Some(Family::V6) && self.is_udp(546, 547)
    }

    /// A DHCPv6 relay's message to servers.
    pub(crate) fn is_dhcp6_from_relay(&mut self) -> bool {
        self.look.family() == Some(Family::V6) && self.is_udp(547, 547)
    }

    /// A VM does not hand out addresses.
    pub(crate) fn check_role(&mut self, port: &Port) -> Outcome<()> {
        if port.security.is_none() {
            return Ok(());
        }
        let serves = match self.look.family() {
            Some(Family::V4) => self.is_udp(67, 68),
            _ => self.is_udp(547, 546),
        };
        if serves {
            let step = || Step::port(port, "it answers DHCP requests");
            return Err(self.drop(DropReason::DhcpServer, port.id.0, step));
        }
        Ok(())
    }

    /// A UDP packet, not an ICMP error about one, between these ports.
    fn is_udp(&mut self, sport: u16, dport: u16) -> bool {
        self.look.proto() == protocol::UDP
            && !self.look.is_icmp_error()
            && self.look.port_in(Side::Src, sport, sport)
            && self.look.port_in(Side::Dst, dport, dport)
    }

    /// ARP and neighbour discovery: whether `mac` may speak for `ip` at this port.
    pub(crate) fn may_speak_for(&self, port: &Port, mac: Mac, ip: IpAddr) -> bool {
        port.may_use(mac, ip)
    }

    /// A frame that lies in its body; dropped alone.
    pub(crate) fn lie(&mut self, reason: DropReason, port: &Port, what: &'static str) -> Verdict {
        self.refuse(reason, port.id.0, None, || Step::port(port, what))
    }
}
