//! Which routers translate sources for this host.

use std::collections::BTreeSet;
use topology::{BridgeId, RouterId, Snapshot};

/// The routers by which packets of this host's ports may be the first time outside, of those that
/// translate sources. What leaves a router by its outside is not translated by the next one.
pub fn routers(snapshot: &Snapshot, host: &str) -> BTreeSet<RouterId> {
    let ours = snapshot
        .ports()
        .filter(|p| p.host() == Some(host) && !p.outside);
    let mut reached: BTreeSet<BridgeId> = ours.filter_map(|port| port.bridge).collect();
    let mut queue: Vec<BridgeId> = reached.iter().copied().collect();
    let mut routers = BTreeSet::new();
    while let Some(bridge) = queue.pop() {
        let entered = snapshot.bridge_ports(bridge).filter(|port| !port.outside);
        for router in entered.filter_map(|port| port.router()) {
            if routers.insert(router) {
                let inside = snapshot.router_ports(router).filter(|port| !port.outside);
                let next = inside.filter_map(|port| port.bridge);
                queue.extend(next.filter(|bridge| reached.insert(*bridge)));
            }
        }
    }
    routers.retain(|router| snapshot.snat_address(*router).is_some());
    routers
}
