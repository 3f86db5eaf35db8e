//! The task over fake maps.

use super::*;
use crate::{state::StateDir, world::World};
use datapath::FakeMaps;
use sim::testing::Coast;
use topology::{Change, Object, Versioned};
use uuid::Uuid;

/// The coast as host2 sees it, where b is, which has no floating IP.
struct Bench {
    coast: Coast,
    leases: Leases<FakeMaps>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let coast = Coast::new(sim::testing::World::new(), None);
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let world = World::new("host2".into(), FakeMaps::default());
        let shared = Arc::new(Shared::new(world, state).unwrap());
        shared.heard_cluster(Duration::from_secs(60));
        let mut bench = Self {
            leases: Leases::new(shared, FakeMaps::default()),
            coast,
            _dir: dir,
        };
        let objects = bench.coast.world.objects.clone();
        let without = objects
            .into_iter()
            .filter(|o| !matches!(o, Object::Lease(_)));
        bench.put(1, without);
        bench
    }

    fn put(&mut self, revision: u64, objects: impl IntoIterator<Item = Object>) {
        let put = |object| Change::Put(Versioned { revision, object });
        let changes = objects.into_iter().map(put).collect();
        let mut world = self.leases.shared.world();
        world.apply(Uuid::nil(), revision, changes).unwrap();
    }

    fn give(&mut self, revision: u64, router: RouterId, blocks: &[u8]) {
        let lease = Lease {
            id: Lease::id_of(router, "host2"),
            router,
            host: "host2".into(),
            blocks: blocks.iter().copied().collect(),
        };
        self.put(revision, [Object::Lease(lease)]);
    }

    fn pool(&self, router: RouterId) -> Option<BTreeSet<u8>> {
        let key = self.key(router);
        let pools = self.leases.maps.pools().unwrap().into_iter();
        pools
            .into_iter()
            .find(|(k, ..)| *k == key)
            .map(|(_, pool, _)| pool.blocks)
    }

    fn key(&self, router: RouterId) -> TunnelKey {
        let world = self.leases.shared.world();
        world.snapshot().router(router).unwrap().key
    }

    fn wishes(&self) -> BTreeMap<RouterId, BlockWish> {
        self.leases.shared.wishes.borrow().clone()
    }
}

#[test]
fn a_pool_follows_its_lease_and_asks_before_there_is_traffic() {
    let mut bench = Bench::new();
    let routers = bench.coast.tenants.map(|tenant| tenant.router);
    bench.leases.look().unwrap();
    let wishes = bench.wishes();
    assert_eq!(
        wishes.keys().copied().collect::<BTreeSet<_>>(),
        routers.into()
    );
    let first = wishes[&routers[0]].clone();
    assert_eq!((first.seen, first.want), (None, 1));
    assert_eq!(bench.pool(routers[0]), Some(BTreeSet::new()));

    bench.give(2, routers[0], &[9]);
    bench.leases.look().unwrap();
    assert!(!bench.wishes().contains_key(&routers[0]));
    assert_eq!(bench.pool(routers[0]), Some([9].into()));

    let key = bench.key(routers[0]);
    let counts = PoolCounts {
        claims: 300,
        tries: 900,
        failures: 0,
    };
    bench.leases.maps.pool_counts.insert(key, counts);
    bench.leases.look().unwrap();
    let more = bench.wishes()[&routers[0]].clone();
    assert_eq!((more.seen, more.want), (Some(2), 2));
}

#[test]
fn out_of_touch_no_ports_are_given_out_and_the_pool_comes_back() {
    let mut bench = Bench::new();
    let router = bench.coast.tenants[0].router;
    bench.give(2, router, &[9]);
    bench.leases.shared.heard_cluster(Duration::ZERO);
    bench.leases.look().unwrap();
    assert_eq!(bench.pool(router), Some(BTreeSet::new()));
    bench.leases.shared.heard_cluster(Duration::from_secs(60));
    bench.leases.look().unwrap();
    assert_eq!(bench.pool(router), Some([9].into()));
}

#[test]
fn a_router_that_is_gone_has_no_pool() {
    let mut bench = Bench::new();
    let tenant = bench.coast.tenants[0];
    bench.give(2, tenant.router, &[9]);
    bench.leases.look().unwrap();
    let mut router = {
        let world = bench.leases.shared.world();
        topology::Router::clone(world.snapshot().router(tenant.router).unwrap())
    };
    router.gateway = None;
    bench.put(3, [Object::Router(router)]);
    bench.leases.look().unwrap();
    assert_eq!(bench.pool(tenant.router), None);
    assert!(!bench.wishes().contains_key(&tenant.router));
}
