//! The decision table over the kernel's maps.

use crate::{
    frames::udp,
    suite::{self, Twin},
    world::{Fate, World},
};
use bpf_abi::{FlowKey, WHY_MISS};
use datapath::{KernelMaps, Maps, Table};
use flow::{DropReason, unmapped};

impl Twin for World {
    type M = KernelMaps;

    fn table(&mut self) -> &mut Table<KernelMaps> {
        &mut self.table
    }

    fn restart(&mut self) {
        let maps = self.datapath.as_ref().unwrap().maps().unwrap();
        self.table = Table::new(maps).unwrap();
    }

    fn look_up(&mut self, key: &FlowKey) -> Option<DropReason> {
        let [src, dst] = [key.src, key.dst].map(|ip| unmapped(key.family, ip).to_string());
        let frame = udp((&src, key.sport), (&dst, key.dport), b"");
        match self.hand_in(key.in_port, &frame) {
            Fate::Dropped(reason) => Some(reason),
            Fate::Up(WHY_MISS) => None,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_kernel_maps_pass_the_suite() {
    let mut world = World::new();
    for port in [1001, 1002] {
        world.table.maps_mut().set_port(port, u32::MAX).unwrap();
    }
    suite::run(&mut world);
}
