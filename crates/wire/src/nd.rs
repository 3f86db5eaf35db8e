//! Neighbour discovery (RFC 4861) and the options of router advertisements (RFC 8106).

use crate::{Icmp, Mac, bytes, icmp_checksum, icmp6};
use std::net::{IpAddr, Ipv6Addr};

/// Hop limit of every neighbour discovery message: proof that no router forwarded it.
pub const ND_HOP_LIMIT: u8 = 255;
/// Options that are read in one message; more make it unreadable.
const OPTIONS_MAX: usize = 16;

const OPTION_SOURCE_MAC: u8 = 1;
const OPTION_TARGET_MAC: u8 = 2;
const OPTION_PREFIX: u8 = 3;
const OPTION_MTU: u8 = 5;
const OPTION_RDNSS: u8 = 25;
const OPTION_DNSSL: u8 = 31;
/// Smallest MTU of an IPv6 link (RFC 8200, 5).
const MTU_MIN: u32 = 1280;

/// All nodes on the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers on the link.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// The group that a neighbour solicitation for an address is sent to (RFC 4291, 2.7.1).
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    let low = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low)
}

/// A neighbour discovery message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nd {
    /// Asks routers for advertisements.
    RouterSolicitation {
        /// MAC of the sender if it says so.
        source: Option<Mac>,
    },
    /// A router's advertisement.
    RouterAdvertisement,
    /// Asks who has an address.
    NeighborSolicitation {
        /// The address.
        target: Ipv6Addr,
        /// MAC of the sender if it says so.
        source: Option<Mac>,
    },
    /// Says who has an address.
    NeighborAdvertisement {
        /// The address.
        target: Ipv6Addr,
        /// Its MAC if it says so.
        mac: Option<Mac>,
    },
    /// A router's hint at a better next hop.
    Redirect,
}

impl Nd {
    /// Reads an ICMPv6 message that passed the checks of the IP header; `None` if it is no
    /// neighbour discovery message or not a valid one (RFC 4861, 6.1 and 7.1).
    pub fn read(icmp: &Icmp<'_>) -> Option<Self> {
        if icmp.code != 0 {
            return None;
        }
        match icmp.kind {
            icmp6::ROUTER_SOLICITATION => {
                let source = options(icmp.body)?.source;
                Some(Nd::RouterSolicitation { source })
            }
            icmp6::ROUTER_ADVERTISEMENT => Some(Nd::RouterAdvertisement),
            icmp6::NEIGHBOR_SOLICITATION => {
                let (target, options) = target_and_options(icmp.body)?;
                Some(Nd::NeighborSolicitation {
                    target,
                    source: options.source,
                })
            }
            icmp6::NEIGHBOR_ADVERTISEMENT => {
                let (target, options) = target_and_options(icmp.body)?;
                Some(Nd::NeighborAdvertisement {
                    target,
                    mac: options.target,
                })
            }
            icmp6::REDIRECT => Some(Nd::Redirect),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Options {
    source: Option<Mac>,
    target: Option<Mac>,
}

fn target_and_options(body: &[u8]) -> Option<(Ipv6Addr, Options)> {
    let target = bytes::ipv6(body, 0).filter(|t| !t.is_multicast())?;
    Some((target, options(&body[16..])?))
}

fn options(mut rest: &[u8]) -> Option<Options> {
    let mut found = Options::default();
    for _ in 0..OPTIONS_MAX {
        if rest.is_empty() {
            return Some(found);
        }
        let len = usize::from(*rest.get(1)?) * 8;
        let option = rest.get(..len).filter(|o| !o.is_empty())?;
        match option[0] {
            OPTION_SOURCE_MAC => found.source = bytes::array(option, 2).map(Mac),
            OPTION_TARGET_MAC => found.target = bytes::array(option, 2).map(Mac),
            _ => {}
        }
        rest = &rest[len..];
    }
    rest.is_empty().then_some(found)
}

/// The neighbour advertisement that says `mac` has `target`, as an ICMPv6 message.
pub fn neighbor_advertisement(target: Ipv6Addr, mac: Mac, router: bool, to: Ipv6Addr) -> Vec<u8> {
    const ROUTER: u8 = 0x80;
    const SOLICITED: u8 = 0x40;
    const OVERRIDE: u8 = 0x20;
    let mut flags = OVERRIDE;
    if router {
        flags |= ROUTER;
    }
    if !to.is_multicast() {
        flags |= SOLICITED;
    }
    let mut body = Vec::with_capacity(24);
    body.extend(target.octets());
    body.extend([OPTION_TARGET_MAC, 1]);
    body.extend(mac.0);
    let kind = icmp6::NEIGHBOR_ADVERTISEMENT;
    let icmp = Icmp {
        kind,
        code: 0,
        rest: [flags, 0, 0, 0],
        body: &body,
    };
    icmp.message(IpAddr::V6(target), IpAddr::V6(to))
}

/// The neighbour solicitation that asks for `target`, as an ICMPv6 message.
pub fn neighbor_solicitation(
    source: Ipv6Addr,
    mac: Mac,
    target: Ipv6Addr,
    to: Ipv6Addr,
) -> Vec<u8> {
    let mut body = Vec::with_capacity(24);
    body.extend(target.octets());
    if !source.is_unspecified() {
        body.extend([OPTION_SOURCE_MAC, 1]);
        body.extend(mac.0);
    }
    let icmp = Icmp {
        kind: icmp6::NEIGHBOR_SOLICITATION,
        code: 0,
        rest: [0; 4],
        body: &body,
    };
    icmp.message(IpAddr::V6(source), IpAddr::V6(to))
}

/// The router solicitation of a host, as an ICMPv6 message.
pub fn router_solicitation(source: Ipv6Addr, mac: Mac) -> Vec<u8> {
    let mut body = Vec::with_capacity(8);
    if !source.is_unspecified() {
        body.extend([OPTION_SOURCE_MAC, 1]);
        body.extend(mac.0);
    }
    let icmp = Icmp {
        kind: icmp6::ROUTER_SOLICITATION,
        code: 0,
        rest: [0; 4],
        body: &body,
    };
    icmp.message(IpAddr::V6(source), IpAddr::V6(ALL_ROUTERS))
}

/// What a router advertisement says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterAdvertisement {
    /// Addresses are to be had by DHCPv6 (M).
    pub managed: bool,
    /// Other configuration is to be had by DHCPv6 (O).
    pub other: bool,
    /// How long the sender is a default router; 0 = it is none.
    pub lifetime_seconds: u16,
    /// Other default routers are to be preferred (RFC 4191).
    pub fallback: bool,
    /// MTU of the link; not told if IPv6 cannot work with it.
    pub mtu: u32,
    /// MAC of the sender.
    pub source: Mac,
    /// Prefixes of the link.
    pub prefixes: Vec<Prefix>,
    /// Name servers.
    pub dns: Vec<Ipv6Addr>,
    /// Domains to search, in the encoding of the DNS (RFC 1035, 3.1); empty = none.
    pub search: Vec<u8>,
    /// How long name servers and domains hold.
    pub valid_seconds: u32,
}

/// A prefix of a router advertisement. It is always on-link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Its address.
    pub net: Ipv6Addr,
    /// Its length in bits.
    pub len: u8,
    /// Hosts may form addresses in it (A).
    pub autonomous: bool,
    /// How long it holds; 0 = no longer.
    pub valid_seconds: u32,
}

impl RouterAdvertisement {
    /// The advertisement as an ICMPv6 message.
    pub fn message(&self, from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
        const LOW: u8 = 0b11 << 3;
        let preference = if self.fallback { LOW } else { 0 };
        let flags = u8::from(self.managed) << 7 | u8::from(self.other) << 6 | preference;
        let [life_high, life_low] = self.lifetime_seconds.to_be_bytes();
        let rest = [crate::DEFAULT_TTL, flags, life_high, life_low];
        let mut body = vec![0; 8]; // reachable time and retransmission timer: not given
        body.extend([OPTION_SOURCE_MAC, 1]);
        body.extend(self.source.0);
        if self.mtu >= MTU_MIN {
            body.extend([OPTION_MTU, 1, 0, 0]);
            body.extend(self.mtu.to_be_bytes());
        }
        self.prefixes.iter().for_each(|p| p.write(&mut body));
        self.write_dns(&mut body);
        self.write_search(&mut body);
        let icmp = Icmp {
            kind: icmp6::ROUTER_ADVERTISEMENT,
            code: 0,
            rest,
            body: &body,
        };
        icmp.message(IpAddr::V6(from), IpAddr::V6(to))
    }

    fn write_dns(&self, body: &mut Vec<u8>) {
        /// As many as the option's length field can count.
        const SERVERS_MAX: usize = 127;
        let servers = &self.dns[..self.dns.len().min(SERVERS_MAX)];
        if !servers.is_empty() {
            body.extend([OPTION_RDNSS, 1 + 2 * servers.len() as u8, 0, 0]);
            body.extend(self.valid_seconds.to_be_bytes());
            servers.iter().for_each(|s| body.extend(s.octets()));
        }
    }

    fn write_search(&self, body: &mut Vec<u8>) {
        /// As long as the option's length field can count.
        const SEARCH_MAX: usize = 255 * 8 - 8;
        if (1..=SEARCH_MAX).contains(&self.search.len()) {
            let padded = self.search.len().next_multiple_of(8);
            body.extend([OPTION_DNSSL, 1 + (padded / 8) as u8, 0, 0]);
            body.extend(self.valid_seconds.to_be_bytes());
            body.extend(&self.search);
            body.resize(body.len() + padded - self.search.len(), 0);
        }
    }
}

impl Prefix {
    fn write(&self, body: &mut Vec<u8>) {
        const ON_LINK: u8 = 0x80;
        let flags = ON_LINK | u8::from(self.autonomous) << 6;
        body.extend([OPTION_PREFIX, 4, self.len, flags]);
        body.extend(self.valid_seconds.to_be_bytes());
        body.extend(self.valid_seconds.to_be_bytes()); // preferred as long as valid
        body.extend([0; 4]);
        body.extend(self.net.octets());
    }
}

/// Whether an ICMPv6 message's checksum is right.
pub fn icmp6_checksum_ok(src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> bool {
    icmp_checksum(IpAddr::V6(src), IpAddr::V6(dst), message) == 0
}

#[cfg(test)]
mod tests;
