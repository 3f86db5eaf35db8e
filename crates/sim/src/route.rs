//! A router's table: connected networks and static routes, and which of several ways a connection
//! takes.

use crate::{look::Side, pipeline::Sim};
use ipnet::IpNet;
use std::{cmp::Reverse, net::IpAddr};
use topology::{BridgeId, Nexthop, Port, Router, Tag};

/// Where a route leads.
#[derive(Clone, Copy)]
pub(crate) struct Hop<'a> {
    /// Interface.
    pub out: &'a Port,
    /// Network of the interface.
    pub bridge: BridgeId,
    /// Next router; `None` if the destination itself is on the network.
    pub next: Option<IpAddr>,
}

/// What the table says of a packet.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    Hop(Hop<'a>),
    Blackhole,
    Reject,
}

/// A subnet that a router is on, by which of its ports, and the network of that.
type Around<'a> = (IpNet, &'a Port, BridgeId);

/// A line of the table. Static routes whose next hop is on no interface that is up are none.
struct Line<'a> {
    destination: IpNet,
    source: Option<IpNet>,
    weight: u32,
    way: Way<'a>,
}

impl Line<'_> {
    /// The order in which lines are tried. Those that are equal in it share the load.
    fn rank(&self) -> impl Ord + use<> {
        let source = self.source.map(|net| net.prefix_len());
        let connected = matches!(self.way, Way::Hop(Hop { next: None, .. }));
        (
            Reverse(self.destination.prefix_len()),
            Reverse(source),
            !connected,
            self.weight,
        )
    }
}

impl<'a> Sim<'a> {
    /// The line with the longest destination around the packet's, then the longest source, then a
    /// connected one, then the smallest weight. Of several that are left each connection keeps to
    /// one.
    pub(crate) fn best_route(&mut self, router: &Router) -> Option<Way<'a>> {
        let mut lines = self.table(router);
        lines.sort_by_key(Line::rank);
        let first = lines.iter().position(|line| self.matches(line))?;
        let rank = lines[first].rank();
        let equal = lines[first..].iter().take_while(|line| line.rank() == rank);
        let equal: Vec<Way<'a>> = equal
            .filter(|line| self.matches(line))
            .map(|line| line.way)
            .collect();
        match equal[..] {
            [] => None,
            [only] => Some(only),
            // two interfaces on one subnet: the destination is the same by either
            [direct @ Way::Hop(Hop { next: None, .. }), ..] => Some(direct),
            _ => Some(self.choose(&equal)),
        }
    }

    fn matches(&mut self, line: &Line<'_>) -> bool {
        self.look.address_in(Side::Dst, &line.destination)
            && line
                .source
                .is_none_or(|net| self.look.address_in(Side::Src, &net))
    }

    fn table(&mut self, router: &Router) -> Vec<Line<'a>> {
        let around = self.around(router);
        let direct = around.iter().map(|&(destination, out, bridge)| Line {
            destination,
            source: None,
            weight: 0,
            way: Way::Hop(Hop {
                out,
                bridge,
                next: None,
            }),
        });
        let fixed = router.routes.iter().flat_map(|route| {
            let ways = match route.nexthop {
                Nexthop::Blackhole => vec![Way::Blackhole],
                Nexthop::Reject => vec![Way::Reject],
                Nexthop::Via(next) => ways_to(next, &around),
            };
            ways.into_iter().map(|way| Line {
                destination: route.destination,
                source: route.source,
                weight: route.weight,
                way,
            })
        });
        direct.chain(fixed).collect()
    }

    /// The subnets on the interfaces that are up, but for those of uplinks without a live plug.
    fn around(&mut self, router: &Router) -> Vec<Around<'a>> {
        let mut around: Vec<_> = connected(self.snapshot, router).collect();
        let gateway = router.gateway.map(|g| g.port);
        around.retain(|(_, out, bridge)| {
            !out.outside || Some(out.id) == gateway || self.is_plugged(*bridge)
        });
        around
    }

    /// Whether an uplink has a live plug.
    fn is_plugged(&mut self, bridge: BridgeId) -> bool {
        self.look.tag(Tag::Ports(bridge));
        let ports = self.snapshot.bridge_ports(bridge);
        let plugs = ports.filter(|p| p.outside && p.host().is_some());
        plugs.fold(false, |alive, plug| {
            self.look.tag(Tag::Carrier(plug.id));
            alive || self.snapshot.has_carrier(plug.id)
        })
    }

    /// Leaves out the ways by hosts that an operator drains, if there is another one.
    fn spare_draining(&mut self, ways: &mut Vec<Way<'a>>) {
        let mut others = ways.clone();
        others.retain(|way| !self.is_draining(way));
        if others.len() < ways.len() && others.iter().any(|way| self.is_alive(way)) {
            *ways = others;
        }
    }

    fn is_draining(&mut self, way: &Way<'a>) -> bool {
        let Way::Hop(Hop { bridge, .. }) = *way else {
            return false;
        };
        let plugs = self.snapshot.bridge_ports(bridge).filter(|p| p.outside);
        let mut hosts = plugs.filter_map(|p| p.host()).peekable();
        hosts.peek().is_some()
            && hosts.all(|host| {
                self.look.tag(Tag::Host(host.to_owned()));
                self.snapshot.host(host).is_some_and(|h| h.draining)
            })
    }

    /// One of several equal ways, the same for all packets of a connection in both directions. A
    /// connection changes its way only when that way's station goes or comes back; where all are
    /// gone the packet takes its own, to end there with the right reason.
    fn choose(&mut self, equal: &[Way<'a>]) -> Way<'a> {
        let mut ways = equal.to_vec();
        ways.sort_by_key(|way| match way {
            Way::Hop(hop) => (0, hop.next),
            Way::Blackhole => (1, None),
            Way::Reject => (2, None),
        });
        self.spare_draining(&mut ways);
        let class = self.look.connection_class();
        let own = ways[class % ways.len()];
        if self.is_alive(&own) {
            return own;
        }
        let turn = class / ways.len();
        ways.retain(|way| self.is_alive(way));
        match ways.len() {
            0 => own,
            alive => ways[turn % alive],
        }
    }

    /// Whether somebody is there to take the packet. Who is not known but may be there is asked.
    fn is_alive(&mut self, way: &Way<'a>) -> bool {
        let Way::Hop(Hop {
            out,
            bridge,
            next: Some(next),
        }) = *way
        else {
            return true;
        };
        self.look.tag(Tag::Bridge(bridge));
        if !self.snapshot.bridge(bridge).is_some_and(|b| b.admin_up) {
            return false;
        }
        let Some((port, _)) = self.neighbor(bridge, next) else {
            self.ask_for(out, bridge, next);
            return false;
        };
        self.look.tag(Tag::Port(port.id));
        port.admin_up && self.leads_on(port)
    }

    /// Whether a port is plugged in, or its router is up.
    fn leads_on(&mut self, port: &Port) -> bool {
        match port.router() {
            Some(id) => {
                self.look.tag(Tag::Router(id));
                self.snapshot.router(id).is_some_and(|r| r.admin_up)
            }
            None => port.host().is_some(),
        }
    }
}

/// The interfaces by which a next hop can be reached: of one network any, of several uplinks with the
/// same subnet each.
fn ways_to<'a>(next: IpAddr, around: &[Around<'a>]) -> Vec<Way<'a>> {
    let mut ways: Vec<Hop<'a>> = Vec::new();
    for &(net, out, bridge) in around {
        if net.contains(&next) && !ways.iter().any(|hop| hop.bridge == bridge) {
            let next = Some(next);
            ways.push(Hop { out, bridge, next });
        }
    }
    // an address that several inside networks have is taken at the first
    if ways.iter().any(|hop| !hop.out.outside) {
        ways.truncate(1);
    }
    ways.into_iter().map(Way::Hop).collect()
}

/// The subnets on the interfaces that are up. The router's tag covers them all.
pub(crate) fn connected<'a>(
    snapshot: &'a topology::Snapshot,
    router: &Router,
) -> impl Iterator<Item = Around<'a>> {
    let ports = snapshot.router_ports(router.id).filter(|p| p.admin_up);
    let addresses = ports.flat_map(|p| p.addresses.iter().map(move |a| (p, a)));
    addresses.filter_map(|(port, address)| {
        let subnet = snapshot.subnet(address.subnet)?;
        Some((subnet.cidr, &**port, port.bridge?))
    })
}
