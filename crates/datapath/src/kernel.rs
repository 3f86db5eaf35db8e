//! The maps as the kernel has them.

use crate::{
    Maps, MapsError, Pool, PoolCounts,
    pins::{Raw, raw},
    pool::{in_use, router_key},
};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuHashMap};
use bpf_abi::{
    Action, Config, Conn, ConnKey, DecisionKey, DropCount, DropKey, Limit, LimitKey, MASKS_MAX,
    Mapping, MappingKey, Mask, Port, Subport, Tunnel, router_number,
};
use flow::mapped;
use ipnet::Ipv4Net;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    path::Path,
};
use topology::TunnelKey;

/// A handle on the pinned maps. Handles are independent; each may live in its own thread.
pub struct KernelMaps {
    conns: HashMap<MapData, Raw<ConnKey>, Raw<Conn>>,
    masks: Array<MapData, Raw<Mask>>,
    decisions: HashMap<MapData, Raw<DecisionKey>, u32>,
    actions: Array<MapData, Raw<Action>>,
    ports: HashMap<MapData, u32, Raw<Port>>,
    subports: HashMap<MapData, u32, Raw<Subport>>,
    tags: HashMap<MapData, Raw<Subport>, u32>,
    classes: HashMap<MapData, Raw<LimitKey>, u32>,
    limits: HashMap<MapData, Raw<LimitKey>, Raw<Limit>>,
    tunnels: HashMap<MapData, u32, Raw<Tunnel>>,
    peers: HashMap<MapData, [u8; 16], u32>,
    pools: HashMap<MapData, u32, Raw<bpf_abi::Pool>>,
    mappings: HashMap<MapData, Raw<MappingKey>, Raw<Mapping>>,
    drops: PerCpuHashMap<MapData, Raw<DropKey>, Raw<DropCount>>,
    config: Array<MapData, Raw<Config>>,
}

impl KernelMaps {
    /// Opens the maps pinned in this directory.
    pub fn open(pin_dir: &Path) -> Result<Self, MapsError> {
        Ok(Self {
            conns: pinned(pin_dir, "CONNS")?,
            masks: pinned(pin_dir, "MASKS")?,
            decisions: pinned(pin_dir, "DECISIONS")?,
            actions: pinned(pin_dir, "ACTIONS")?,
            ports: pinned(pin_dir, "PORTS")?,
            subports: pinned(pin_dir, "SUBPORTS")?,
            tags: pinned(pin_dir, "TAGS")?,
            classes: pinned(pin_dir, "CLASSES")?,
            limits: pinned(pin_dir, "LIMITS")?,
            tunnels: pinned(pin_dir, "TUNNELS")?,
            peers: pinned(pin_dir, "PEERS")?,
            pools: pinned(pin_dir, "POOLS")?,
            mappings: pinned(pin_dir, "MAPPINGS")?,
            drops: pinned(pin_dir, "DROPS")?,
            config: pinned(pin_dir, "CONFIG")?,
        })
    }

    /// Reads the configuration.
    pub(crate) fn config(&self) -> Result<Config, MapsError> {
        self.config
            .get(&0, 0)
            .map(|c| c.0)
            .map_err(refused("CONFIG", "read it"))
    }

    /// One port.
    pub(crate) fn port(&self, number: u32) -> Result<Option<Port>, MapsError> {
        let port = absent_is_none(self.ports.get(&number, 0));
        Ok(port.map_err(refused("PORTS", "read a port"))?.map(|p| p.0))
    }

    /// One sub-port.
    pub(crate) fn subport(&self, number: u32) -> Result<Option<Subport>, MapsError> {
        let subport = absent_is_none(self.subports.get(&number, 0));
        let subport = subport.map_err(refused("SUBPORTS", "read a sub-port"))?;
        Ok(subport.map(|s| s.0))
    }

    /// Writes the configuration.
    pub(crate) fn set_config(&mut self, config: &Config) -> Result<(), MapsError> {
        self.config
            .set(0, raw(*config), 0)
            .map_err(refused("CONFIG", "write it"))
    }
}

/// Opens one pinned map as the type it must be.
pub(crate) fn pinned<T: TryFrom<Map, Error = MapError>>(
    pin_dir: &Path,
    name: &'static str,
) -> Result<T, MapsError> {
    MapData::from_pin(pin_dir.join(name))
        .and_then(Map::from_map_data)
        .and_then(T::try_from)
        .map_err(refused(name, "open it"))
}

/// Turns the loader's error into ours, with the kernel's own error kept if there is one.
pub(crate) fn refused(
    map: &'static str,
    operation: &'static str,
) -> impl FnOnce(MapError) -> MapsError {
    move |error| {
        let source = match error {
            MapError::SyscallError(e) => e.io_error,
            MapError::IoError(e) => e,
            other => io::Error::other(other),
        };
        MapsError {
            map,
            operation,
            source,
        }
    }
}

/// A key that is not there cannot be removed, and need not be.
fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound | MapError::ElementNotFound) => Ok(()),
        Err(MapError::SyscallError(e)) if e.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A key that is not there has no value.
fn absent_is_none<T>(result: Result<T, MapError>) -> Result<Option<T>, MapError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => absent_is_fine(Err(error)).map(|()| None),
    }
}

impl Maps for KernelMaps {
    fn set_mask(&mut self, slot: u32, mask: &Mask) -> Result<(), MapsError> {
        debug_assert!((slot as usize) < MASKS_MAX);
        self.masks
            .set(slot, raw(*mask), 0)
            .map_err(refused("MASKS", "write a class"))
    }

    fn mask(&self, slot: u32) -> Result<Mask, MapsError> {
        self.masks
            .get(&slot, 0)
            .map(|m| m.0)
            .map_err(refused("MASKS", "read a class"))
    }

    fn set_action(&mut self, id: u32, action: &Action) -> Result<(), MapsError> {
        self.actions
            .set(id, raw(*action), 0)
            .map_err(refused("ACTIONS", "write a slot"))
    }

    fn action(&self, id: u32) -> Result<Action, MapsError> {
        self.actions
            .get(&id, 0)
            .map(|a| a.0)
            .map_err(refused("ACTIONS", "read a slot"))
    }

    fn set_decision(&mut self, key: &DecisionKey, action: u32) -> Result<(), MapsError> {
        let done = self.decisions.insert(raw(*key), action, 0);
        done.map_err(refused("DECISIONS", "insert a decision"))
    }

    fn remove_decision(&mut self, key: &DecisionKey) -> Result<(), MapsError> {
        absent_is_fine(self.decisions.remove(&raw(*key)))
            .map_err(refused("DECISIONS", "remove a decision"))
    }

    fn decisions(&self) -> Result<Vec<(DecisionKey, u32)>, MapsError> {
        let all: Result<Vec<_>, _> = self.decisions.iter().collect();
        let all = all.map_err(refused("DECISIONS", "list it"))?;
        Ok(all.into_iter().map(|(key, id)| (key.0, id)).collect())
    }

    fn set_port(&mut self, ifindex: u32, rate: u32) -> Result<(), MapsError> {
        let old = self.ports.get(&ifindex, 0).map(|p| p.0).unwrap_or_default();
        let port = Port {
            rate,
            tokens: rate,
            ..old
        };
        self.ports
            .insert(ifindex, raw(port), 0)
            .map_err(refused("PORTS", "insert a tap"))
    }

    fn remove_port(&mut self, ifindex: u32) -> Result<(), MapsError> {
        absent_is_fine(self.ports.remove(&ifindex)).map_err(refused("PORTS", "remove a tap"))
    }

    fn ports(&self) -> Result<Vec<(u32, Port)>, MapsError> {
        let all: Result<Vec<_>, _> = self.ports.iter().collect();
        let all = all.map_err(refused("PORTS", "list it"))?;
        Ok(all
            .into_iter()
            .map(|(ifindex, port)| (ifindex, port.0))
            .collect())
    }

    fn set_subport(&mut self, number: u32, subport: Subport) -> Result<(), MapsError> {
        let former = self.tags.get(&raw(subport), 0).ok();
        let current = self.subports.get(&number, 0).ok();
        if former == Some(number) && current.is_some_and(|c| c.0 == subport) {
            return Ok(());
        }
        for other in former.into_iter().chain([number]) {
            self.remove_subport(other)?;
        }
        self.subports
            .insert(number, raw(subport), 0)
            .map_err(refused("SUBPORTS", "insert a sub-port"))?;
        self.tags
            .insert(raw(subport), number, 0)
            .map_err(refused("TAGS", "insert a tag"))
    }

    fn remove_subport(&mut self, number: u32) -> Result<(), MapsError> {
        if let Ok(subport) = self.subports.get(&number, 0) {
            absent_is_fine(self.tags.remove(&subport)).map_err(refused("TAGS", "remove a tag"))?;
        }
        absent_is_fine(self.subports.remove(&number))
            .map_err(refused("SUBPORTS", "remove a sub-port"))
    }

    fn subports(&self) -> Result<Vec<(u32, Subport)>, MapsError> {
        let all: Result<Vec<_>, _> = self.subports.iter().collect();
        let all = all.map_err(refused("SUBPORTS", "list it"))?;
        Ok(all.into_iter().map(|(number, s)| (number, s.0)).collect())
    }

    fn set_class(&mut self, key: LimitKey, class: Option<u32>) -> Result<(), MapsError> {
        match class {
            Some(class) => self.classes.insert(raw(key), class, 0),
            None => absent_is_fine(self.classes.remove(&raw(key))),
        }
        .map_err(refused("CLASSES", "set a class"))
    }

    fn class(&self, key: LimitKey) -> Result<Option<u32>, MapsError> {
        absent_is_none(self.classes.get(&raw(key), 0)).map_err(refused("CLASSES", "read a class"))
    }

    fn classes(&self) -> Result<Vec<(LimitKey, u32)>, MapsError> {
        let all: Result<Vec<_>, _> = self.classes.iter().collect();
        let all = all.map_err(refused("CLASSES", "list it"))?;
        Ok(all.into_iter().map(|(key, class)| (key.0, class)).collect())
    }

    fn set_limit(&mut self, key: LimitKey, limit: Option<Limit>) -> Result<(), MapsError> {
        let old = self.limit(key)?;
        if old
            .zip(limit)
            .is_some_and(|(old, new)| old.allows_like(&new))
        {
            return Ok(());
        }
        match limit {
            Some(limit) => self.limits.insert(raw(key), raw(limit), 0),
            None => absent_is_fine(self.limits.remove(&raw(key))),
        }
        .map_err(refused("LIMITS", "set a limit"))
    }

    fn limit(&self, key: LimitKey) -> Result<Option<Limit>, MapsError> {
        let limit = absent_is_none(self.limits.get(&raw(key), 0));
        Ok(limit
            .map_err(refused("LIMITS", "read a limit"))?
            .map(|l| l.0))
    }

    fn limits(&self) -> Result<Vec<LimitKey>, MapsError> {
        let all: Result<Vec<_>, _> = self.limits.keys().collect();
        let all = all.map_err(refused("LIMITS", "list it"))?;
        Ok(all.into_iter().map(|key| key.0).collect())
    }

    fn set_tunnel(&mut self, key: TunnelKey, ifindex: u32) -> Result<(), MapsError> {
        let done = self.tunnels.insert(key, raw(Tunnel { ifindex }), 0);
        done.map_err(refused("TUNNELS", "insert a tunnel key"))
    }

    fn remove_tunnel(&mut self, key: TunnelKey) -> Result<(), MapsError> {
        absent_is_fine(self.tunnels.remove(&key)).map_err(refused("TUNNELS", "remove a tunnel key"))
    }

    fn tunnels(&self) -> Result<Vec<(TunnelKey, u32)>, MapsError> {
        let all: Result<Vec<_>, _> = self.tunnels.iter().collect();
        let all = all.map_err(refused("TUNNELS", "list it"))?;
        Ok(all
            .into_iter()
            .map(|(key, to)| (key, to.0.ifindex))
            .collect())
    }

    fn set_peers(&mut self, peers: &BTreeSet<IpAddr>) -> Result<(), MapsError> {
        let wanted: BTreeSet<[u8; 16]> = peers.iter().copied().map(mapped).collect();
        let held: Result<BTreeSet<[u8; 16]>, _> = self.peers.keys().collect();
        let held = held.map_err(refused("PEERS", "list it"))?;
        for peer in wanted.difference(&held) {
            self.peers
                .insert(peer, 1, 0)
                .map_err(refused("PEERS", "insert a host"))?;
        }
        for peer in held.difference(&wanted) {
            absent_is_fine(self.peers.remove(peer)).map_err(refused("PEERS", "remove a host"))?;
        }
        let config = self.config()?;
        self.set_config(&Config {
            check_peers: 1,
            ..config
        })
    }

    fn set_pool(&mut self, router: TunnelKey, pool: &Pool) -> Result<(), MapsError> {
        let number = router_number(router);
        let old =
            absent_is_none(self.pools.get(&number, 0)).map_err(refused("POOLS", "read it"))?;
        let counts = old.map_or_else(PoolCounts::default, |old| Pool::of_kernel(&old.0).1);
        self.pools
            .insert(number, raw(pool.to_kernel(counts)), 0)
            .map_err(refused("POOLS", "insert a pool"))
    }

    fn remove_pool(&mut self, router: TunnelKey) -> Result<(), MapsError> {
        absent_is_fine(self.pools.remove(&router_number(router)))
            .map_err(refused("POOLS", "remove a pool"))
    }

    fn pools(&self) -> Result<Vec<(TunnelKey, Pool, PoolCounts)>, MapsError> {
        let all: Result<Vec<_>, _> = self.pools.iter().collect();
        let all = all.map_err(refused("POOLS", "list it"))?;
        let known = |(number, pool): (u32, Raw<bpf_abi::Pool>)| {
            let (pool, counts) = Pool::of_kernel(&pool.0);
            Some((router_key(number)?, pool, counts))
        };
        Ok(all.into_iter().filter_map(known).collect())
    }

    fn ports_in_use(&self, now_ns: u64) -> Result<BTreeMap<(TunnelKey, u8), u32>, MapsError> {
        let mappings: Result<Vec<_>, _> = self.mappings.iter().collect();
        let mappings = mappings.map_err(refused("MAPPINGS", "list it"))?;
        let mappings = mappings
            .into_iter()
            .map(|(key, mapping)| (key.0, mapping.0));
        let connections = self.connections(usize::MAX)?.into_iter();
        Ok(in_use(&self.pools()?, connections, mappings, now_ns))
    }

    fn set_nat64(&mut self, net: Option<Ipv4Net>) -> Result<(), MapsError> {
        let config = self.config()?;
        self.set_config(&Config {
            nat64_net: net.map_or(0, |net| net.network().to_bits()),
            nat64_bits: net.map_or(0, |net| u32::from(32 - net.prefix_len())),
            ..config
        })
    }

    fn connections(&self, limit: usize) -> Result<Vec<(ConnKey, Conn)>, MapsError> {
        let some: Result<Vec<_>, _> = self.conns.iter().take(limit).collect();
        let some = some.map_err(refused("CONNS", "list it"))?;
        Ok(some
            .into_iter()
            .map(|(key, conn)| (key.0, conn.0))
            .collect())
    }

    fn drops(&self) -> Result<Vec<(DropKey, DropCount)>, MapsError> {
        let all: Result<Vec<_>, _> = self.drops.iter().collect();
        let all = all.map_err(refused("DROPS", "list it"))?;
        Ok(all
            .into_iter()
            .map(|(key, counts)| (key.0, sum(counts.iter())))
            .collect())
    }
}

fn sum<'a>(per_cpu: impl Iterator<Item = &'a Raw<DropCount>>) -> DropCount {
    per_cpu.fold(DropCount::default(), |total, one| DropCount {
        packets: total.packets + one.0.packets,
        bytes: total.bytes + one.0.bytes,
    })
}
