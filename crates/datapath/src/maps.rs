//! What the agent does with the kernel program's maps; the kernel's maps and a fake twin do it.

use crate::{Pool, PoolCounts};
use bpf_abi::{
    Action, Conn, ConnKey, DecisionKey, DropCount, DropKey, Limit, LimitKey, Mask, Port, Subport,
};
use ipnet::Ipv4Net;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
};
use topology::TunnelKey;

/// An operation on a map was refused.
#[derive(Debug, thiserror::Error)]
#[error("kernel map {map}: cannot {operation}: {source}")]
pub struct MapsError {
    /// Name of the map.
    pub map: &'static str,
    /// What was tried.
    pub operation: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

/// The maps, as far as the agent reads and writes them.
///
/// Connections are made by the kernel program alone; the agent only lists them.
pub trait Maps {
    /// Writes one slot of the class list. The kernel reads slots up to the first unused one.
    fn set_mask(&mut self, slot: u32, mask: &Mask) -> Result<(), MapsError>;
    /// Reads one slot of the class list.
    fn mask(&self, slot: u32) -> Result<Mask, MapsError>;
    /// Writes one action slot.
    fn set_action(&mut self, id: u32, action: &Action) -> Result<(), MapsError>;
    /// Reads one action slot with its counters.
    fn action(&self, id: u32) -> Result<Action, MapsError>;
    /// Files an action under a masked key.
    fn set_decision(&mut self, key: &DecisionKey, action: u32) -> Result<(), MapsError>;
    /// Removes a masked key; absent is fine.
    fn remove_decision(&mut self, key: &DecisionKey) -> Result<(), MapsError>;
    /// All masked keys with their actions.
    fn decisions(&self) -> Result<Vec<(DecisionKey, u32)>, MapsError>;

    /// Allows a port this many upcalls a second.
    fn set_port(&mut self, ifindex: u32, rate: u32) -> Result<(), MapsError>;
    /// Forgets a port; absent is fine.
    fn remove_port(&mut self, ifindex: u32) -> Result<(), MapsError>;
    /// All ports, sub-ports and routers included.
    fn ports(&self) -> Result<Vec<(u32, Port)>, MapsError>;
    /// Gives a sub-port its tap and tag; whoever had the number or the tag loses it.
    fn set_subport(&mut self, number: u32, subport: Subport) -> Result<(), MapsError>;
    /// Forgets a sub-port; absent is fine.
    fn remove_subport(&mut self, number: u32) -> Result<(), MapsError>;
    /// All sub-ports by number.
    fn subports(&self) -> Result<Vec<(u32, Subport)>, MapsError>;
    /// Shapes packets of a port in this class, or no longer.
    fn set_class(&mut self, key: LimitKey, class: Option<u32>) -> Result<(), MapsError>;
    /// The class of a port.
    fn class(&self, key: LimitKey) -> Result<Option<u32>, MapsError>;
    /// All classes.
    fn classes(&self) -> Result<Vec<(LimitKey, u32)>, MapsError>;
    /// Limits the packet rate of a port, or no longer. The bucket is full, except if the limit is
    /// the one that there was.
    fn set_limit(&mut self, key: LimitKey, limit: Option<Limit>) -> Result<(), MapsError>;
    /// The packet rate limit of a port.
    fn limit(&self, key: LimitKey) -> Result<Option<Limit>, MapsError>;
    /// Where there are packet rate limits.
    fn limits(&self) -> Result<Vec<LimitKey>, MapsError>;
    /// Leads a tunnel key to a port, to a router, or to the agent when `ifindex` is 0 (a network's
    /// flood key).
    fn set_tunnel(&mut self, key: TunnelKey, ifindex: u32) -> Result<(), MapsError>;
    /// Forgets a tunnel key; absent is fine.
    fn remove_tunnel(&mut self, key: TunnelKey) -> Result<(), MapsError>;
    /// All tunnel keys and their taps.
    fn tunnels(&self) -> Result<Vec<(TunnelKey, u32)>, MapsError>;
    /// Sets the underlay addresses that tunnelled frames may come from. Until the first call any
    /// source is taken.
    fn set_peers(&mut self, peers: &BTreeSet<IpAddr>) -> Result<(), MapsError>;

    /// Gives a router its address and ports for source NAT, in place of those it had. Counters stay.
    /// Connections keep ports that are no longer there until they are decided again, so what the
    /// router's decisions depend on is to be invalidated after a block was taken away.
    fn set_pool(&mut self, router: TunnelKey, pool: &Pool) -> Result<(), MapsError>;
    /// Takes a router's pool away with its counters; absent is fine.
    fn remove_pool(&mut self, router: TunnelKey) -> Result<(), MapsError>;
    /// All pools by their routers' keys.
    fn pools(&self) -> Result<Vec<(TunnelKey, Pool, PoolCounts)>, MapsError>;
    /// How many ports of which block of which router's pool are held at this CLOCK_MONOTONIC time.
    /// Blocks without any are left out. It reads all connections: call it seldom.
    fn ports_in_use(&self, now_ns: u64) -> Result<BTreeMap<(TunnelKey, u8), u32>, MapsError>;
    /// Sets the IPv4 addresses that stand for IPv6 ones where an IPv4 port is asked by IPv6.
    fn set_nat64(&mut self, net: Option<Ipv4Net>) -> Result<(), MapsError>;

    /// Up to `limit` connections, in no order.
    fn connections(&self, limit: usize) -> Result<Vec<(ConnKey, Conn)>, MapsError>;
    /// Drop counters, summed over CPUs.
    fn drops(&self) -> Result<Vec<(DropKey, DropCount)>, MapsError>;
}
