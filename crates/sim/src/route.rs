//! A router's table: connected networks and extra routes, longest prefix first.

use crate::{look::Side, pipeline::Sim};
use ipnet::IpNet;
use std::net::IpAddr;
use topology::{BridgeId, Port, Router};

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

impl<'a> Sim<'a> {
    /// The route with the longest prefix around the destination; a connected one before another of
    /// the same length. Routes without an interface that is up do not count.
    pub(crate) fn best_route(&mut self, router: &Router) -> Option<Hop<'a>> {
        let mut best: Option<(u8, Hop<'a>)> = None;
        let mut consider = |net: &IpNet, hop: Hop<'a>| {
            let longer = best.is_none_or(|(len, _)| net.prefix_len() > len);
            if self.look.address_in(Side::Dst, net) && longer {
                best = Some((net.prefix_len(), hop));
            }
        };
        for (net, out, bridge) in connected(self.snapshot, router) {
            consider(
                &net,
                Hop {
                    out,
                    bridge,
                    next: None,
                },
            );
        }
        for route in &router.routes {
            let mut around = connected(self.snapshot, router);
            if let Some((_, out, bridge)) = around.find(|(net, ..)| net.contains(&route.nexthop)) {
                consider(
                    &route.destination,
                    Hop {
                        out,
                        bridge,
                        next: Some(route.nexthop),
                    },
                );
            }
        }
        best.map(|(_, hop)| hop)
    }
}

/// The subnets on the interfaces that are up. The router's tag covers them all.
pub(crate) fn connected<'a>(
    snapshot: &'a topology::Snapshot,
    router: &Router,
) -> impl Iterator<Item = (IpNet, &'a Port, BridgeId)> {
    let ports = snapshot.router_ports(router.id).filter(|p| p.admin_up);
    let addresses = ports.flat_map(|p| p.addresses.iter().map(move |a| (p, a)));
    addresses.filter_map(|(port, address)| {
        let subnet = snapshot.subnet(address.subnet)?;
        Some((subnet.cidr, &**port, port.bridge?))
    })
}
