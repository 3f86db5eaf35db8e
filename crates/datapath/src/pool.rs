//! Pools: the addresses and ports of source NAT that this host may give out.

use bpf_abi::{
    BLOCKS_MAX, Conn, ConnKey, IDLE_MAPPING_NS, Mapping, MappingKey, PORT_ROUTER, PORT_VIRTUAL,
    SIDE_OUTSIDE, STATE_REPLY, router_number,
};
use flow::unmapped;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};
use topology::TunnelKey;

/// What connections get that leave one router by source NAT on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Their source.
    pub address: Ipv4Addr,
    /// Blocks that their source ports are of: block b is the ports from b * 256 on.
    pub blocks: BTreeSet<u8>,
}

/// What a pool has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// Ports that were claimed.
    pub claims: u64,
    /// Ports that were tried for that: the fuller the pool, the more for each claim.
    pub tries: u64,
    /// Packets dropped because no port was found.
    pub failures: u64,
}

impl Pool {
    /// As the kernel program wants it.
    pub(crate) fn to_kernel(&self, counts: PoolCounts) -> bpf_abi::Pool {
        let mut pool = bpf_abi::Pool {
            owned: [0; BLOCKS_MAX / 64],
            claims: counts.claims,
            tries: counts.tries,
            failures: counts.failures,
            address: self.address.octets(),
            count: self.blocks.len() as u32,
            blocks: [0; BLOCKS_MAX],
        };
        for (at, &block) in self.blocks.iter().enumerate() {
            pool.blocks[at] = block;
            pool.owned[usize::from(block) / 64] |= 1 << (block % 64);
        }
        pool
    }

    /// From what the kernel has.
    pub(crate) fn of_kernel(pool: &bpf_abi::Pool) -> (Pool, PoolCounts) {
        let blocks = pool.blocks.iter().take(pool.count as usize).copied();
        let counts = PoolCounts {
            claims: pool.claims,
            tries: pool.tries,
            failures: pool.failures,
        };
        let pool = Pool {
            address: pool.address.into(),
            blocks: blocks.collect(),
        };
        (pool, counts)
    }
}

/// The key of the router that has this number, if it is one of a router.
pub(crate) fn router_key(number: u32) -> Option<TunnelKey> {
    let key = number & !(PORT_VIRTUAL | PORT_ROUTER);
    (number == router_number(key)).then_some(key)
}

/// Counts the ports that connections hold, by router and block.
pub(crate) fn in_use(
    pools: &[(TunnelKey, Pool, PoolCounts)],
    connections: impl Iterator<Item = (ConnKey, Conn)>,
    mappings: impl Iterator<Item = (MappingKey, Mapping)>,
    now_ns: u64,
) -> BTreeMap<(TunnelKey, u8), u32> {
    let addresses: BTreeMap<_, _> = pools.iter().map(|(r, p, _)| (*r, p.address)).collect();
    let of_pool = |number: u32, address: IpAddr| {
        router_key(number).filter(|key| addresses.get(key).is_some_and(|own| *own == address))
    };
    let claimed = connections.filter_map(|(key, conn)| {
        let idle = now_ns.saturating_sub(conn.seen_ns);
        let held = conn.state == STATE_REPLY && idle < conn.idle_limit(key.proto);
        let router = of_pool(key.in_port, unmapped(key.family, key.dst));
        let router = router.filter(|_| held && key.family == 4)?;
        Some((router, key.proto, bpf_abi::dst_port(&key)))
    });
    let mapped = mappings.filter_map(|(key, mapping)| {
        let idle = now_ns.saturating_sub(mapping.seen_ns);
        let held = key.side == SIDE_OUTSIDE && idle < IDLE_MAPPING_NS;
        let router = of_pool(key.router, Ipv4Addr::from(key.address).into());
        Some((router.filter(|_| held)?, key.proto, key.port))
    });
    let ports: BTreeSet<_> = claimed.chain(mapped).collect();
    let mut counts = BTreeMap::new();
    for (router, _, port) in ports {
        *counts.entry((router, (port >> 8) as u8)).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_the_same_after_the_way_to_the_kernel_and_back() {
        for blocks in [vec![], vec![4], vec![4, 63, 64, 255], (4..=255).collect()] {
            let pool = Pool {
                address: [203, 0, 113, 9].into(),
                blocks: blocks.into_iter().collect(),
            };
            let counts = PoolCounts {
                claims: 1,
                tries: 2,
                failures: 3,
            };
            let kernel = pool.to_kernel(counts);
            assert_eq!(Pool::of_kernel(&kernel), (pool.clone(), counts));
            let bits = kernel.owned.iter().map(|w| w.count_ones()).sum::<u32>();
            assert_eq!(bits as usize, pool.blocks.len());
        }
    }

    #[test]
    fn routers_have_numbers_and_others_none() {
        assert_eq!(router_key(router_number(77)), Some(77));
        assert_eq!(router_key(77), None);
        assert_eq!(router_key(PORT_VIRTUAL | 77), None);
    }
}
