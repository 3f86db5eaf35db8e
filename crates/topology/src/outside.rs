//! What a snapshot knows of the outside: floating IPs, leased blocks, and which plugs are alive.

use crate::{
    BridgeId, FloatingIp, FloatingIpId, Lease, LeaseId, Port, PortId, RouterId, Snapshot, Tag,
    snapshot::forget,
};
use ipnet::Ipv4Net;
use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// Indexes of floating IPs and leases, each derivable from them, and what is learned of plugs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outside {
    by_address: HashMap<(BridgeId, IpAddr), BTreeSet<FloatingIpId>>,
    by_port: HashMap<PortId, BTreeSet<FloatingIpId>>,
    by_router: HashMap<RouterId, BTreeSet<FloatingIpId>>,
    leases: HashMap<RouterId, BTreeSet<LeaseId>>,
    blocks: HashMap<(RouterId, u8), BTreeSet<LeaseId>>,
    /// Learned, not stored.
    down: BTreeSet<PortId>,
    /// Told by the host, not stored.
    nat64_pool: Option<Ipv4Net>,
}

/// Addresses that stand for IPv6 ones unless the host says otherwise: the shared address space (RFC
/// 6598).
pub const NAT64_POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);

impl Outside {
    pub fn insert_floating_ip(&mut self, fip: &FloatingIp, touched: &mut BTreeSet<Tag>) {
        touch(fip, touched);
        let at = (fip.bridge, fip.address);
        self.by_address.entry(at).or_default().insert(fip.id);
        self.by_port.entry(fip.port).or_default().insert(fip.id);
        self.by_router.entry(fip.router).or_default().insert(fip.id);
    }

    pub fn remove_floating_ip(&mut self, fip: &FloatingIp, touched: &mut BTreeSet<Tag>) {
        touch(fip, touched);
        forget(&mut self.by_address, &(fip.bridge, fip.address), &fip.id);
        forget(&mut self.by_port, &fip.port, &fip.id);
        forget(&mut self.by_router, &fip.router, &fip.id);
    }

    pub fn insert_lease(&mut self, lease: &Lease, touched: &mut BTreeSet<Tag>) {
        self.leases
            .entry(lease.router)
            .or_default()
            .insert(lease.id);
        for &block in &lease.blocks {
            touched.insert(Tag::Block(lease.router, block));
            let of_block = self.blocks.entry((lease.router, block)).or_default();
            of_block.insert(lease.id);
        }
    }

    pub fn remove_lease(&mut self, lease: &Lease, touched: &mut BTreeSet<Tag>) {
        forget(&mut self.leases, &lease.router, &lease.id);
        for &block in &lease.blocks {
            touched.insert(Tag::Block(lease.router, block));
            forget(&mut self.blocks, &(lease.router, block), &lease.id);
        }
    }
}

impl Snapshot {
    /// The floating IPs with an address on a network, by id: one, or several port forwardings.
    pub fn floating_ips_at(
        &self,
        bridge: BridgeId,
        address: IpAddr,
    ) -> impl Iterator<Item = &Arc<FloatingIp>> {
        let ids = self.outside.by_address.get(&(bridge, address));
        ids.into_iter()
            .flatten()
            .filter_map(|id| self.floating_ip(*id))
    }

    /// The floating IPs and port forwardings that lead to a port, by id.
    pub fn floating_ips_of(&self, port: PortId) -> impl Iterator<Item = &Arc<FloatingIp>> {
        let ids = self.outside.by_port.get(&port);
        ids.into_iter()
            .flatten()
            .filter_map(|id| self.floating_ip(*id))
    }

    /// The floating IPs and port forwardings that a router translates, by id.
    pub fn router_floating_ips(&self, router: RouterId) -> impl Iterator<Item = &Arc<FloatingIp>> {
        let ids = self.outside.by_router.get(&router);
        ids.into_iter()
            .flatten()
            .filter_map(|id| self.floating_ip(*id))
    }

    /// The floating IP or port forwarding of a router with an address, on whatever of its networks.
    pub fn router_floating_ips_at(
        &self,
        router: RouterId,
        address: IpAddr,
    ) -> impl Iterator<Item = &Arc<FloatingIp>> {
        let bridges: BTreeSet<BridgeId> =
            self.router_ports(router).filter_map(|p| p.bridge).collect();
        let at = bridges
            .into_iter()
            .flat_map(move |bridge| self.floating_ips_at(bridge, address));
        at.filter(move |fip| fip.router == router)
    }

    /// The addresses that a router's port stands for: of the floating IPs on its network.
    pub(crate) fn stood_for(&self, port: &Port) -> impl Iterator<Item = (BridgeId, IpAddr)> {
        let of_router = port.router().zip(port.bridge);
        let fips = of_router.into_iter().flat_map(|(router, bridge)| {
            let all = self.router_floating_ips(router);
            all.filter(move |fip| fip.bridge == bridge)
        });
        fips.map(|fip| (fip.bridge, fip.address))
    }

    /// The router's port that stands for a floating IP on a network: the one through which the
    /// router is there, its gateway before others.
    pub fn floating_port(&self, bridge: BridgeId, address: IpAddr) -> Option<&Arc<Port>> {
        let fip = self.floating_ips_at(bridge, address).next()?;
        self.router_port_on(fip.router, bridge)
    }

    /// A router's port on a network: its gateway, or the interface with the lowest id.
    pub fn router_port_on(&self, router: RouterId, bridge: BridgeId) -> Option<&Arc<Port>> {
        let on = self
            .router_ports(router)
            .filter(|p| p.bridge == Some(bridge));
        on.min_by_key(|p| (!p.outside, p.id))
    }

    /// The address that a router translates sources to, if it does.
    pub fn snat_address(&self, router: RouterId) -> Option<Ipv4Addr> {
        let gateway = self.router(router)?.gateway.filter(|g| g.snat)?;
        let mut addresses = self.port(gateway.port)?.addresses.iter();
        addresses.find_map(|a| match a.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
    }

    /// The name of the host that has leased a block of a router's ports.
    pub fn block_holder(&self, router: RouterId, block: u8) -> Option<&str> {
        let ids = self.outside.blocks.get(&(router, block))?;
        let lease = self.lease(*ids.first()?)?;
        Some(lease.host.as_str())
    }

    /// All leases on a router, by id.
    pub fn router_leases(&self, router: RouterId) -> impl Iterator<Item = &Arc<Lease>> {
        let ids = self.outside.leases.get(&router);
        ids.into_iter().flatten().filter_map(|id| self.lease(*id))
    }

    /// The addresses by which a VM sees those who speak to it by an IPv6 floating IP of an IPv4
    /// address. Each host has the whole pool for itself.
    pub fn nat64_pool(&self) -> Ipv4Net {
        self.outside.nat64_pool.unwrap_or(NAT64_POOL)
    }

    /// Sets the pool; before the first decision, since none is told of a change.
    pub fn set_nat64_pool(&mut self, pool: Ipv4Net) {
        self.outside.nat64_pool = Some(pool);
    }

    /// Whether a port that is plugged to the outside is alive, as far as is known.
    pub fn has_carrier(&self, port: PortId) -> bool {
        !self.outside.down.contains(&port)
    }

    /// Takes note of whether a plug is alive; says what a change touches.
    pub fn set_carrier(&mut self, port: PortId, up: bool) -> Option<Tag> {
        let changed = match up {
            true => self.outside.down.remove(&port),
            false => self.outside.down.insert(port),
        };
        changed.then_some(Tag::Carrier(port))
    }
}

fn touch(fip: &FloatingIp, touched: &mut BTreeSet<Tag>) {
    touched.insert(Tag::Neighbor(fip.bridge, fip.address));
    touched.insert(Tag::FloatingIps(fip.port));
}
