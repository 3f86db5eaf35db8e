//! Why ports of this host are not up, for people.

use crate::{bindings::interface, shared::Shared, state::Bindings, world::World};
use linux::Link;
use std::collections::BTreeMap;
use topology::{Port, PortId, Snapshot};

/// Ports that got no interface, and what was wrong.
pub type Refused = BTreeMap<PortId, String>;

/// Why each port of this host that is not up is not, as long as there are few enough to tell of.
/// Ports without a tap are left out: such a server is just not running.
pub fn reasons<M>(
    shared: &Shared<M>,
    snapshot: &Snapshot,
    bindings: &Bindings,
    links: &BTreeMap<u32, Link>,
) -> BTreeMap<PortId, String> {
    let (up, refused) = (shared.up.borrow().clone(), shared.refused.borrow().clone());
    let world = shared.world();
    let mut down = BTreeMap::new();
    for port in snapshot.ports().filter(|p| p.host() == Some(world.host())) {
        if let Some(interface) = interface(snapshot, port, world.host(), bindings)
            && !up.contains(&port.id)
            && (port.outside || links.values().any(|link| link.name == interface.name))
        {
            let why = why(&world, port, &interface.name, links, &refused);
            down.insert(port.id, why);
            if down.len() == REASONS_MAX {
                break;
            }
        }
    }
    down
}

/// Ports that the cluster is told the reasons of; of more it knows only that they are down.
pub const REASONS_MAX: usize = 1_000;

/// Why a port that should be at this interface is not up.
pub fn why<M>(
    world: &World<M>,
    port: &Port,
    interface: &str,
    links: &BTreeMap<u32, Link>,
    refused: &Refused,
) -> String {
    let link = links.values().find(|link| link.name == interface);
    let network = port.bridge.and_then(|b| world.snapshot().bridge(b));
    match (port.host(), link) {
        (None, _) => "the port is not bound to a host".to_owned(),
        (Some(host), _) if host != world.host() => format!("the port is bound to host {host}"),
        _ if !port.admin_up => "the port is administratively down".to_owned(),
        (_, None) => format!("there is no interface {interface}"),
        _ if network.is_none() => "its network is not known".to_owned(),
        _ if let Some(refused) = refused.get(&port.id) => refused.clone(),
        (_, Some(link)) if !link.up => format!("interface {interface} is down"),
        (_, Some(link)) if port.outside && !link.carrier => {
            format!("interface {interface} has no carrier")
        }
        _ => "it is just being plugged".to_owned(),
    }
}
