//! Translation is right whatever happens: connections from and to VMs go on over two gateways while
//! floating IPs move, blocks of ports change hosts, gateways die, hosts hear of it late, and tables
//! lose entries. No packet gets to a VM that it is not for, and no connection changes the address that
//! its other end sees but for a reason.
//!
//! The simulation is the real one; what the kernel program remembers is in `host.rs`, by the same rules
//! as `bpf/conn.h` has.
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod host;
mod world;

use proptest::prelude::*;
use world::World;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn no_packet_gets_to_a_wrong_vm_and_no_translation_changes(seed: u64) {
        let mut world = World::new(seed);
        for _ in 0..120 {
            world.step();
        }
        prop_assert!(world.complaints.is_empty(), "{:#?}", world.complaints);
    }
}

/// The property says something only if packets get through, in all ways there are.
#[test]
fn connections_live_in_all_ways() {
    let mut seen = world::Seen::default();
    for seed in 0..80 {
        let mut world = World::new(seed);
        for _ in 0..120 {
            world.step();
        }
        seen.add(&world.seen);
    }
    assert!(seen.is_rich(), "{seen:?}");
}
