//! The recorder: the simulation reads packets through it, and what it reads becomes the mask.
//!
//! Reading is bit-precise. A prefix that does not match costs the bits up to the first that
//! differs, a port outside a range the leading bits it shares with no port of the range. So a
//! decision made for one packet holds for as many others as possible.
//!
//! What has been translated on the way is read as it is now, and reading it costs nothing: it
//! follows from what was read to translate it.

use crate::step::Step;
use bpf_abi::{
    FLAG_ICMP_ERROR, FLAG_TRANSIT_ERROR, FLAG_TRANSLATED, FlowKey, STATE_REPLY, reverse_ports,
};
use flow::{Decision, Mask, Question, Verdict, unmapped};
use ipnet::IpNet;
use std::net::IpAddr;
use topology::{Family, Tag};
use wire::{Mac, icmp4, protocol};

/// Which end of the packet a field speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Src,
    Dst,
}

pub(crate) struct Look<'a> {
    key: &'a FlowKey,
    now: Translated,
    mask: FlowKey,
    tags: Vec<Tag>,
    cacheable: bool,
    question: Option<Question>,
    steps: Option<Vec<Step>>,
}

/// What is no longer as the key says.
#[derive(Clone, Copy, Default)]
pub(crate) struct Translated {
    family: Option<Family>,
    src: Option<Address>,
    dst: Option<Address>,
    sport: Option<u16>,
    dport: Option<u16>,
}

/// What is known of a translated address.
#[derive(Clone, Copy)]
enum Address {
    Is(IpAddr),
    /// One of these, which the kernel program chooses.
    Among(IpNet),
}

impl Address {
    /// The address, or the first it may be.
    fn first(self) -> IpAddr {
        match self {
            Address::Is(ip) => ip,
            Address::Among(net) => net.network(),
        }
    }

    /// Whether it is in a prefix, whatever it is.
    fn is_in(self, net: &IpNet) -> bool {
        match self {
            Address::Is(ip) => net.contains(&ip),
            Address::Among(pool) => net.contains(&pool),
        }
    }
}

impl Translated {
    fn address(&self, side: Side) -> Option<Address> {
        match side {
            Side::Src => self.src,
            Side::Dst => self.dst,
        }
    }

    fn port(&self, side: Side) -> Option<u16> {
        match side {
            Side::Src => self.sport,
            Side::Dst => self.dport,
        }
    }
}

impl<'a> Look<'a> {
    /// Every decision depends on the port, the family, the protocol, and on whether the packet is
    /// an ICMP error under the key of its connection, and whose, and whether the record of that has
    /// translated it.
    pub fn new(key: &'a FlowKey, tracing: bool) -> Self {
        let mask = FlowKey {
            in_port: u32::MAX,
            family: u8::MAX,
            proto: u8::MAX,
            flags: FLAG_ICMP_ERROR | FLAG_TRANSIT_ERROR | FLAG_TRANSLATED,
            ..FlowKey::default()
        };
        let (tags, steps) = (Vec::with_capacity(16), tracing.then(Vec::new));
        Self {
            key,
            now: Translated::default(),
            mask,
            tags,
            cacheable: true,
            question: None,
            steps,
        }
    }

    /// The decision, and the steps that were noted on the way.
    pub fn decide(self, verdict: Verdict) -> (Decision, Vec<Step>) {
        let tags = self.tags.into_iter().collect();
        let decision = Decision {
            mask: Mask(self.mask),
            verdict,
            tags,
            question: self.question,
        };
        (decision, self.steps.unwrap_or_default())
    }

    /// Notes a dependency on the topology.
    pub fn tag(&mut self, tag: Tag) {
        if self.cacheable {
            self.tags.push(tag);
        }
    }

    /// The verdict will not be cached, so what it depends on need not be known: a flood asks the
    /// groups of every port of a network.
    pub fn for_this_frame_alone(&mut self) {
        self.cacheable = false;
        self.tags.clear();
    }

    /// Notes what has to be asked.
    pub fn ask(&mut self, question: Option<Question>) {
        self.question = question.or(self.question.take());
    }

    /// Notes a step, if anybody wants to know.
    pub fn step(&mut self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.steps {
            steps.push(step());
        }
    }

    /// `None` for frames that are not IP.
    pub fn family(&self) -> Option<Family> {
        self.now.family.or(match self.key.family {
            4 => Some(Family::V4),
            6 => Some(Family::V6),
            _ => None,
        })
    }

    pub fn proto(&self) -> u8 {
        match self.now.family {
            Some(Family::V4) if self.key.proto == protocol::ICMPV6 => protocol::ICMP,
            _ => self.key.proto,
        }
    }

    pub fn is_icmp_error(&self) -> bool {
        self.key.flags & FLAG_ICMP_ERROR != 0
    }

    /// An ICMP error from somebody on the way, whose own address nobody knows.
    pub fn is_transit_error(&self) -> bool {
        self.key.flags & FLAG_TRANSIT_ERROR != 0
    }

    /// Whether addresses and ports of the key are what the record of its connection says.
    pub fn is_translated(&self) -> bool {
        self.key.flags & FLAG_TRANSLATED != 0
    }

    /// What the packet has become so far, to go back to.
    pub fn translation(&self) -> Translated {
        self.now
    }

    pub fn set_translation(&mut self, now: Translated) {
        self.now = now;
    }

    /// From here on one side has another address.
    pub fn translate(&mut self, side: Side, ip: IpAddr) {
        self.set_address(side, Address::Is(ip));
    }

    /// From here on one side has an address of this pool.
    pub fn translate_to_pool(&mut self, side: Side, pool: IpNet) {
        self.set_address(side, Address::Among(pool));
    }

    fn set_address(&mut self, side: Side, address: Address) {
        match side {
            Side::Src => self.now.src = Some(address),
            Side::Dst => self.now.dst = Some(address),
        }
    }

    /// From here on one side has another port.
    pub fn translate_port(&mut self, side: Side, port: u16) {
        match side {
            Side::Src => self.now.sport = Some(port),
            Side::Dst => self.now.dport = Some(port),
        }
    }

    /// From here on it is an IPv4 packet, which was an IPv6 one (RFC 7915, 5.2). Addresses are to be
    /// translated too.
    pub fn become_v4(&mut self) {
        if self.is_icmp() {
            let kind = match self.port(Side::Dst) >> 8 {
                128 => icmp4::ECHO_REQUEST,
                129 => icmp4::ECHO_REPLY,
                _ => u8::MAX,
            };
            self.now.dport = Some(u16::from(kind) << 8);
        }
        self.now.family = Some(Family::V4);
    }

    pub fn is_reply(&mut self) -> bool {
        self.mask.state = u8::MAX;
        self.key.state == STATE_REPLY
    }

    pub fn smac(&mut self) -> Mac {
        self.mask.smac = [0xff; 6];
        Mac(self.key.smac)
    }

    pub fn dmac(&mut self) -> Mac {
        self.mask.dmac = [0xff; 6];
        Mac(self.key.dmac)
    }

    /// The whole address of one side.
    pub fn address(&mut self, side: Side) -> IpAddr {
        if let Some(address) = self.now.address(side) {
            return address.first();
        }
        let bytes = match side {
            Side::Src => self.key.src,
            Side::Dst => self.key.dst,
        };
        self.note_address(side, 128);
        unmapped(self.key.family, bytes)
    }

    /// Whether the address of one side is in a prefix; never for the other family.
    pub fn address_in(&mut self, side: Side, net: &IpNet) -> bool {
        if let Some(address) = self.now.address(side) {
            return address.is_in(net);
        }
        let (wanted, base) = match (net.network(), self.family()) {
            (IpAddr::V4(a), Some(Family::V4)) => (a.to_ipv6_mapped().octets(), V4_BASE),
            (IpAddr::V6(a), Some(Family::V6)) => (a.octets(), 0),
            _ => return false,
        };
        let bytes = match side {
            Side::Src => self.key.src,
            Side::Dst => self.key.dst,
        };
        let len = base + u32::from(net.prefix_len());
        let differ = (u128::from_be_bytes(bytes) ^ u128::from_be_bytes(wanted)) & leading(len);
        self.note_address(side, len.min(differ.leading_zeros() + 1));
        differ == 0
    }

    /// Whether the address of one side is this one.
    pub fn address_is(&mut self, side: Side, ip: IpAddr) -> bool {
        self.address_in(side, &IpNet::from(ip))
    }

    /// The leading `len` of 128 bits matter; the first 96 of IPv4 are the family's.
    fn note_address(&mut self, side: Side, len: u32) {
        let field = match side {
            Side::Src => &mut self.mask.src,
            Side::Dst => &mut self.mask.dst,
        };
        let base = if self.key.family == 4 { V4_BASE } else { 0 };
        let bits = leading(len) & !leading(base);
        *field = (u128::from_be_bytes(*field) | bits).to_be_bytes();
    }

    /// Whether the port of one side is within bounds, both included. For protocols without ports
    /// the field is 0.
    pub fn port_in(&mut self, side: Side, min: u16, max: u16) -> bool {
        if let Some(port) = self.now.port(side) {
            return (min..=max).contains(&port);
        }
        let (value, field) = match side {
            Side::Src => (self.key.sport, &mut self.mask.sport),
            Side::Dst => (self.key.dport, &mut self.mask.dport),
        };
        *field |= deciding_bits(value, min, max);
        (min..=max).contains(&value)
    }

    /// The port of one side.
    pub fn port(&mut self, side: Side) -> u16 {
        if let Some(port) = self.now.port(side) {
            return port;
        }
        let (value, field) = match side {
            Side::Src => (self.key.sport, &mut self.mask.sport),
            Side::Dst => (self.key.dport, &mut self.mask.dport),
        };
        *field = u16::MAX;
        value
    }

    /// The upper eight bits of the port of one side.
    pub fn block(&mut self, side: Side) -> u8 {
        let (value, field) = match side {
            Side::Src => (self.key.sport, &mut self.mask.sport),
            Side::Dst => (self.key.dport, &mut self.mask.dport),
        };
        *field |= 0xff00;
        topology::block_of(value)
    }

    /// Which of 16 classes the packet's connection is in: the same for both directions, for their
    /// fragments, and for errors about it. So many share a load among a few, and take few bits: the
    /// lowest of the addresses, and the upper half of the ports, since systems tend to give the
    /// ports of one parity first.
    pub fn connection_class(&mut self) -> usize {
        self.mask.sport |= 0xff00;
        let [src, dst] = [Side::Src, Side::Dst].map(|side| self.lowest_bits(side));
        let mut ports = self.key.sport >> 8;
        // of an ICMP message only the identifier is the same in both directions
        if !self.is_icmp() {
            self.mask.dport |= 0xff00;
            ports ^= self.key.dport >> 8;
        }
        usize::from(src ^ dst) ^ usize::from(ports >> 4 ^ ports & 0x0f)
    }

    /// The lowest four bits of the address of one side.
    fn lowest_bits(&mut self, side: Side) -> u8 {
        let lowest = match self.now.address(side).map(Address::first) {
            Some(IpAddr::V4(ip)) => ip.octets()[3],
            Some(IpAddr::V6(ip)) => ip.octets()[15],
            None => {
                let (value, field) = match side {
                    Side::Src => (self.key.src, &mut self.mask.src),
                    Side::Dst => (self.key.dst, &mut self.mask.dst),
                };
                field[15] |= 0x0f;
                value[15]
            }
        };
        lowest & 0x0f
    }

    /// Whether it is an ICMP message of this family.
    pub fn is_icmp(&self) -> bool {
        matches!(
            (self.family(), self.proto()),
            (Some(Family::V4), protocol::ICMP) | (Some(Family::V6), protocol::ICMPV6)
        )
    }

    /// Whether the type of an ICMP message is within bounds, both included.
    pub fn icmp_type_in(&mut self, min: u8, max: u8) -> bool {
        let (low, high) = (u16::from(min) << 8, u16::from(max) << 8 | 0xff);
        self.is_icmp() && self.port_in(Side::Dst, low, high)
    }

    /// Whether an ICMP message has this type, and this code if one is given.
    pub fn icmp_is(&mut self, kind: u8, code: Option<u8>) -> bool {
        let first = u16::from(kind) << 8;
        let (min, max) = code.map_or((first, first | 0xff), |c| {
            let both = first | u16::from(c);
            (both, both)
        });
        self.is_icmp() && self.port_in(Side::Dst, min, max)
    }

    /// The same of the ICMP message that this one answers.
    pub fn answered_icmp_is(&mut self, kind: u8, code: Option<u8>) -> bool {
        if !self.is_icmp() {
            return false;
        }
        let dport = self.port(Side::Dst);
        match reverse_ports(self.proto(), self.key.sport, dport) {
            Some((_, answered)) => {
                answered >> 8 == u16::from(kind)
                    && code.is_none_or(|c| answered & 0xff == u16::from(c))
            }
            None => false,
        }
    }
}

/// Bits of a key's address before those of an IPv4 address.
const V4_BASE: u32 = 96;

/// The leading `len` of 128 bits set.
fn leading(len: u32) -> u128 {
    u128::MAX.checked_shl(128 - len.min(128)).unwrap_or(0)
}

/// The fewest leading bits of `value` that settle whether it is within the bounds: those of the
/// largest aligned block around it that is all inside or all outside.
fn deciding_bits(value: u16, min: u16, max: u16) -> u16 {
    let inside = (min..=max).contains(&value);
    let settled = |size_bits: u32| {
        let mask = u16::MAX.checked_shl(size_bits).unwrap_or(0);
        let (first, last) = (value & mask, value | !mask);
        let settles = if inside {
            min <= first && last <= max
        } else {
            last < min || max < first
        };
        settles.then_some(mask)
    };
    (0..=16).rev().find_map(settled).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
