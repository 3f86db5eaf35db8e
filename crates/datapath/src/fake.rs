//! The maps in memory, for suites that run without root.

use crate::{Maps, MapsError, Pool, PoolCounts, class::words, pool::in_use};
use bpf_abi::{
    ACTIONS_MAX, Action, Conn, ConnKey, DecisionKey, DropCount, DropKey, FlowKey, Limit, LimitKey,
    MASKS_MAX, Mapping, MappingKey, Mask, Port, Subport,
};
use ipnet::Ipv4Net;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::IpAddr,
};
use topology::TunnelKey;

/// Twin of [`crate::KernelMaps`] with the kernel program's table look-up restated. What only the
/// kernel program writes (connections, mappings, counts, drops) can be set by hand.
#[derive(Debug, Default)]
pub struct FakeMaps {
    masks: BTreeMap<u32, Mask>,
    actions: HashMap<u32, Action>,
    decisions: HashMap<DecisionKey, u32>,
    ports: BTreeMap<u32, Port>,
    subports: BTreeMap<u32, Subport>,
    classes: BTreeMap<LimitKey, u32>,
    limits: BTreeMap<LimitKey, Limit>,
    tunnels: BTreeMap<TunnelKey, u32>,
    peers: Option<BTreeSet<IpAddr>>,
    pools: BTreeMap<TunnelKey, Pool>,
    nat64: Option<Ipv4Net>,
    /// What [`Maps::connections`] lists.
    pub connections: Vec<(ConnKey, Conn)>,
    /// What [`Maps::ports_in_use`] counts besides.
    pub mappings: Vec<(MappingKey, Mapping)>,
    /// What [`Maps::pools`] says that each has done.
    pub pool_counts: BTreeMap<TunnelKey, PoolCounts>,
    /// What [`Maps::drops`] lists.
    pub drops: Vec<(DropKey, DropCount)>,
}

impl FakeMaps {
    /// The action that the kernel program would find for a packet that has no connection entry;
    /// counts a packet there, as the kernel does.
    pub fn look_up(&mut self, key: &FlowKey) -> Option<(u32, Action)> {
        let packet = words(key);
        let classes = (0..MASKS_MAX as u32)
            .map_while(|slot| self.masks.get(&slot).copied().filter(|m| m.used == 1));
        let mut keys = classes.map(|class| DecisionKey {
            mask: class.id,
            pad: 0,
            masked: std::array::from_fn(|i| packet[i] & class.bits[i]),
        });
        let id = keys.find_map(|key| self.decisions.get(&key).copied())?;
        let action = self.actions.get_mut(&id)?;
        action.packets += 1;
        Some((id, *action))
    }

    /// The underlay addresses that tunnelled frames may come from; `None`: any.
    pub fn peers(&self) -> Option<&BTreeSet<IpAddr>> {
        self.peers.as_ref()
    }

    /// The IPv4 addresses that stand for IPv6 ones.
    pub fn nat64(&self) -> Option<Ipv4Net> {
        self.nat64
    }
}

/// What the kernel says for an index beyond an array.
fn bounded(map: &'static str, index: u32, end: u32) -> Result<(), MapsError> {
    if index < end {
        return Ok(());
    }
    let source = io::Error::other(format!("the index is {index} but there are {end} slots"));
    Err(MapsError {
        map,
        operation: "use a slot",
        source,
    })
}

impl Maps for FakeMaps {
    fn set_mask(&mut self, slot: u32, mask: &Mask) -> Result<(), MapsError> {
        bounded("MASKS", slot, MASKS_MAX as u32)?;
        self.masks.insert(slot, *mask);
        Ok(())
    }

    fn mask(&self, slot: u32) -> Result<Mask, MapsError> {
        bounded("MASKS", slot, MASKS_MAX as u32)?;
        Ok(self.masks.get(&slot).copied().unwrap_or_default())
    }

    fn set_action(&mut self, id: u32, action: &Action) -> Result<(), MapsError> {
        bounded("ACTIONS", id, ACTIONS_MAX)?;
        self.actions.insert(id, *action);
        Ok(())
    }

    fn action(&self, id: u32) -> Result<Action, MapsError> {
        bounded("ACTIONS", id, ACTIONS_MAX)?;
        Ok(self.actions.get(&id).copied().unwrap_or_default())
    }

    fn set_decision(&mut self, key: &DecisionKey, action: u32) -> Result<(), MapsError> {
        self.decisions.insert(*key, action);
        Ok(())
    }

    fn remove_decision(&mut self, key: &DecisionKey) -> Result<(), MapsError> {
        self.decisions.remove(key);
        Ok(())
    }

    fn decisions(&self) -> Result<Vec<(DecisionKey, u32)>, MapsError> {
        Ok(self.decisions.iter().map(|(key, id)| (*key, *id)).collect())
    }

    fn set_port(&mut self, ifindex: u32, rate: u32) -> Result<(), MapsError> {
        let port = self.ports.entry(ifindex).or_default();
        (port.rate, port.tokens) = (rate, rate);
        Ok(())
    }

    fn remove_port(&mut self, ifindex: u32) -> Result<(), MapsError> {
        self.ports.remove(&ifindex);
        Ok(())
    }

    fn ports(&self) -> Result<Vec<(u32, Port)>, MapsError> {
        Ok(self
            .ports
            .iter()
            .map(|(ifindex, port)| (*ifindex, *port))
            .collect())
    }

    fn set_subport(&mut self, number: u32, subport: Subport) -> Result<(), MapsError> {
        self.subports.retain(|_, other| *other != subport);
        self.subports.insert(number, subport);
        Ok(())
    }

    fn remove_subport(&mut self, number: u32) -> Result<(), MapsError> {
        self.subports.remove(&number);
        Ok(())
    }

    fn subports(&self) -> Result<Vec<(u32, Subport)>, MapsError> {
        let all = self.subports.iter();
        Ok(all.map(|(number, subport)| (*number, *subport)).collect())
    }

    fn set_class(&mut self, key: LimitKey, class: Option<u32>) -> Result<(), MapsError> {
        match class {
            Some(class) => self.classes.insert(key, class),
            None => self.classes.remove(&key),
        };
        Ok(())
    }

    fn class(&self, key: LimitKey) -> Result<Option<u32>, MapsError> {
        Ok(self.classes.get(&key).copied())
    }

    fn classes(&self) -> Result<Vec<(LimitKey, u32)>, MapsError> {
        let all = self.classes.iter();
        Ok(all.map(|(key, class)| (*key, *class)).collect())
    }

    fn set_limit(&mut self, key: LimitKey, limit: Option<Limit>) -> Result<(), MapsError> {
        let old = self.limits.get(&key);
        if old
            .zip(limit)
            .is_some_and(|(old, new)| old.allows_like(&new))
        {
            return Ok(());
        }
        match limit {
            Some(limit) => self.limits.insert(key, limit),
            None => self.limits.remove(&key),
        };
        Ok(())
    }

    fn limit(&self, key: LimitKey) -> Result<Option<Limit>, MapsError> {
        Ok(self.limits.get(&key).copied())
    }

    fn limits(&self) -> Result<Vec<LimitKey>, MapsError> {
        Ok(self.limits.keys().copied().collect())
    }

    fn set_tunnel(&mut self, key: TunnelKey, ifindex: u32) -> Result<(), MapsError> {
        self.tunnels.insert(key, ifindex);
        Ok(())
    }

    fn remove_tunnel(&mut self, key: TunnelKey) -> Result<(), MapsError> {
        self.tunnels.remove(&key);
        Ok(())
    }

    fn tunnels(&self) -> Result<Vec<(TunnelKey, u32)>, MapsError> {
        Ok(self
            .tunnels
            .iter()
            .map(|(key, ifindex)| (*key, *ifindex))
            .collect())
    }

    fn set_peers(&mut self, peers: &BTreeSet<IpAddr>) -> Result<(), MapsError> {
        self.peers = Some(peers.clone());
        Ok(())
    }

    fn set_pool(&mut self, router: TunnelKey, pool: &Pool) -> Result<(), MapsError> {
        self.pools.insert(router, pool.clone());
        Ok(())
    }

    fn remove_pool(&mut self, router: TunnelKey) -> Result<(), MapsError> {
        self.pools.remove(&router);
        self.pool_counts.remove(&router);
        Ok(())
    }

    fn pools(&self) -> Result<Vec<(TunnelKey, Pool, PoolCounts)>, MapsError> {
        let counts = |router| self.pool_counts.get(router).copied().unwrap_or_default();
        let all = self.pools.iter();
        Ok(all.map(|(r, pool)| (*r, pool.clone(), counts(r))).collect())
    }

    fn ports_in_use(&self, now_ns: u64) -> Result<BTreeMap<(TunnelKey, u8), u32>, MapsError> {
        let connections = self.connections.iter().copied();
        let mappings = self.mappings.iter().copied();
        Ok(in_use(&self.pools()?, connections, mappings, now_ns))
    }

    fn set_nat64(&mut self, net: Option<Ipv4Net>) -> Result<(), MapsError> {
        self.nat64 = net;
        Ok(())
    }

    fn connections(&self, limit: usize) -> Result<Vec<(ConnKey, Conn)>, MapsError> {
        Ok(self.connections.iter().take(limit).copied().collect())
    }

    fn drops(&self) -> Result<Vec<(DropKey, DropCount)>, MapsError> {
        Ok(self.drops.clone())
    }
}
