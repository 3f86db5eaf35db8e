//! ICMP errors that routers send, and when they must not (RFC 1812, 4.3.2.7 and RFC 4443, 2.4).

use crate::{look::Side, pipeline::Sim, route::connected, router::Visit, step::Step};
use flow::{DropReason, Verdict};
use std::net::{IpAddr, Ipv4Addr};
use topology::{Family, Port, Router, Snapshot};
use wire::{DEFAULT_TTL, Icmp, IpPacket, icmp4, icmp6, protocol};

/// Bytes of the packet that an error quotes, so that the error is at most 576 bytes (RFC 1812,
/// 4.3.2.3) or 1280 (RFC 4443, 2.4).
const QUOTE_MAX_V4: usize = 576 - 20 - 8;
const QUOTE_MAX_V6: usize = 1280 - 40 - 8;

/// Why a router cannot pass a packet on, if the sender may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    NoRoute,
    NoNeighbor,
    Rejected,
    TtlExpired,
    TooBig(u16),
}

impl Problem {
    fn reason(self) -> DropReason {
        match self {
            Problem::NoRoute => DropReason::NoRoute,
            Problem::NoNeighbor => DropReason::UnknownNeighbor,
            Problem::Rejected => DropReason::RejectRoute,
            Problem::TtlExpired => DropReason::TtlExpired,
            Problem::TooBig(_) => DropReason::TooBig,
        }
    }

    /// Type, code, and the second four bytes of the message.
    fn icmp(self, v4: bool) -> (u8, u8, [u8; 4]) {
        match (self, v4) {
            (Problem::NoRoute, true) => (icmp4::UNREACHABLE, 0, [0; 4]),
            (Problem::NoNeighbor, true) => (icmp4::UNREACHABLE, 1, [0; 4]),
            (Problem::Rejected, true) => (icmp4::UNREACHABLE, 13, [0; 4]),
            (Problem::Rejected, false) => (icmp6::UNREACHABLE, 6, [0; 4]),
            (Problem::TtlExpired, true) => (icmp4::TIME_EXCEEDED, 0, [0; 4]),
            (Problem::NoRoute, false) => (icmp6::UNREACHABLE, 0, [0; 4]),
            (Problem::NoNeighbor, false) => (icmp6::UNREACHABLE, 3, [0; 4]),
            (Problem::TtlExpired, false) => (icmp6::TIME_EXCEEDED, 0, [0; 4]),
            (Problem::TooBig(mtu), v4) => {
                let rest = u32::from(mtu).to_be_bytes();
                if v4 {
                    (icmp4::UNREACHABLE, 4, rest)
                } else {
                    (icmp6::PACKET_TOO_BIG, 0, rest)
                }
            }
        }
    }
}

impl Sim<'_> {
    /// The packet ends in a router, and its sender is told unless that is forbidden.
    pub(crate) fn router_error(
        &mut self,
        at: &Visit<'_>,
        problem: Problem,
        what: String,
    ) -> Verdict {
        let answer = self.error_frame(at, problem);
        let told = if answer.is_some() {
            "the sender is told"
        } else {
            "nobody is told"
        };
        let step = || Step::router(at.router, format!("{what}; {told}"));
        self.refuse(problem.reason(), at.router.id.0, answer, step)
    }

    fn error_frame(&mut self, at: &Visit<'_>, problem: Problem) -> Option<Vec<u8>> {
        if self.must_not_be_told(at.router) {
            return None;
        }
        // as the sender knows itself, whatever the packet has become on the way
        let dst = self.frame.source()?;
        let src = interface_address(self.snapshot, at, dst)?;
        let (kind, code, rest) = problem.icmp(dst.is_ipv4());
        let (proto, quote_max) = match dst {
            IpAddr::V4(_) => (protocol::ICMP, QUOTE_MAX_V4),
            IpAddr::V6(_) => (protocol::ICMPV6, QUOTE_MAX_V6),
        };
        let packet = self.frame.payload();
        let quote = &packet[..packet.len().min(self.frame.ip()?.len()).min(quote_max)];
        let payload = &Icmp {
            kind,
            code,
            rest,
            body: quote,
        }
        .message(src, dst);
        let error = IpPacket {
            src,
            dst,
            proto,
            ttl: DEFAULT_TTL,
            payload,
        };
        error.frame(at.first.mac, self.look.smac())
    }

    /// Errors are not sent about errors, later fragments, packets to more than one receiver, or
    /// packets whose source is not one host.
    fn must_not_be_told(&mut self, router: &Router) -> bool {
        let one_host = |ip: IpAddr| !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback();
        let broadcast = IpAddr::V4(Ipv4Addr::BROADCAST);
        let (src, dst) = (self.look.address(Side::Src), self.look.address(Side::Dst));
        self.look.dmac().is_multicast()
            || self.is_icmp_error_or_redirect()
            || self.frame.is_later_fragment()
            || !one_host(src)
            || src == broadcast
            || dst.is_multicast()
            || dst == broadcast
            || is_directed_broadcast(self.snapshot, router, dst)
    }

    /// Any ICMP message that is not a query: also errors whose types have no key of their own.
    fn is_icmp_error_or_redirect(&mut self) -> bool {
        let kinds: &[(u8, u8)] = match self.look.family() {
            Some(Family::V4) => &[(3, 5), (11, 12)],
            _ => &[(0, 127), (icmp6::REDIRECT, icmp6::REDIRECT)],
        };
        self.look.is_icmp_error() || kinds.iter().any(|k| self.look.icmp_type_in(k.0, k.1))
    }
}

/// Whether an address is the broadcast address of a subnet that the router is on.
fn is_directed_broadcast(snapshot: &Snapshot, router: &Router, dst: IpAddr) -> bool {
    let mut nets = connected(snapshot, router).map(|(net, ..)| net);
    dst.is_ipv4() && nets.any(|net| net.broadcast() == dst && net.prefix_len() < 31)
}

/// The address an error is sent from (RFC 1812, 4.3.2.4): one of the interface the packet came in
/// at, on the sender's own subnet if there is one, or of another interface of the router on the
/// same network, where a network has one for each of its subnets. An interface without a global
/// IPv6 address has its link-local.
fn interface_address(snapshot: &Snapshot, at: &Visit<'_>, to: IpAddr) -> Option<IpAddr> {
    let v4 = to.is_ipv4();
    let beside = snapshot.router_ports(at.router.id).map(|port| &**port);
    let beside = beside.filter(|p| p.admin_up && p.bridge == at.inside.bridge);
    let ports = std::iter::once(at.inside).chain(beside);
    let of_family = |p: &&Port| p.addresses.iter().any(|a| a.ip.is_ipv4() == v4);
    let Some(port) = ports.into_iter().find(of_family) else {
        return (!v4).then(|| IpAddr::V6(at.inside.mac.link_local()));
    };
    let addresses = || port.addresses.iter().filter(|a| a.ip.is_ipv4() == v4);
    let near = addresses().find(|a| {
        let subnet = snapshot.subnet(a.subnet);
        subnet.is_some_and(|subnet| subnet.cidr.contains(&to))
    });
    near.or_else(|| addresses().next()).map(|a| a.ip)
}
