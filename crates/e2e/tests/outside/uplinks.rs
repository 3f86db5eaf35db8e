//! Uplinks: VLANs on one, and one that goes down.

use crate::world::{PASS, World, add_uplink, default_routes, services};
use lab::{OUTSIDE, within};
use serde_json::json;
use std::time::Duration;

/// The longest a connection may wait when an uplink has no carrier any more: what TCP adds by
/// repeating itself ever more slowly is part of it.
const GAP: Duration = Duration::from_secs(2);

/// A VLAN of an interface that another uplink uses without a tag: alone, it carries everything.
pub fn vlan(world: &mut World) {
    let tagged = world.upstream.add_vlan(&world.uplinks[0], 100).unwrap();
    let cloud = &world.cloud;
    let port = add_uplink(cloud, &world.edge, 0, &tagged);
    cloud.wait_status("port", &port, "ACTIVE");
    for address in tagged.addresses() {
        world.upstream.netns().ping_until(address, PASS).unwrap();
    }
    let mut routes: Vec<_> = default_routes(&tagged).into();
    routes.extend(
        world
            .routes
            .iter()
            .filter(|r| r["destination"] == "fd10:1::/64")
            .cloned(),
    );
    cloud.update("router", &world.edge, json!({"routes": routes}));
    cloud.settle();
    for outside in OUTSIDE {
        world.plain.vm.ping_until(outside, PASS).unwrap();
    }
    cloud.update("router", &world.edge, json!({"routes": world.routes}));
    cloud.remove_interface(&world.edge, json!({"port_id": port}));
    world.upstream.remove_link(tagged).unwrap();
}

/// Connections by both uplinks go on by the other one when a cable is cut.
pub fn one_goes_down(world: &World) {
    let cut = &world.uplinks[0];
    let _server = world.outside().echo_tcp(80).unwrap();
    let streams: Vec<_> = (0..8)
        .flat_map(|_| services(80))
        .map(|to| world.plain.vm.stream(to).unwrap())
        .collect();
    streams.iter().for_each(|s| s.goes_on(5, PASS).unwrap());
    for stream in &streams {
        stream.take_longest_gap();
    }
    cut.cut().unwrap();
    world.upstream.wait_next_hops(1).unwrap();
    streams.iter().for_each(|s| s.goes_on(20, PASS).unwrap());
    let gap = streams.iter().map(|s| s.longest_gap()).max().unwrap();
    println!("longest wait of a connection after a link was cut: {gap:?}");
    assert!(gap < GAP, "{gap:?}");
    status_says(world, "carrier");
    cut.mend().unwrap();
    world.upstream.wait_next_hops(2).unwrap();
    streams.iter().for_each(|s| s.goes_on(20, PASS).unwrap());
}

/// Waits until `midonet status` has words in it.
pub fn status_says(world: &World, words: &str) {
    within(&format!("{words:?} in the status"), PASS, || {
        let said = world
            .cloud
            .openstack
            .midonet(&world.cloud.cluster, "status");
        match said.map_err(|e| e.to_string())? {
            said if said.contains(words) => Ok(()),
            said => Err(said),
        }
    })
    .unwrap();
}
