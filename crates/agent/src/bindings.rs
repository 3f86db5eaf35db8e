//! Which interface of this host is which port.
//!
//! A port is this host's when Neutron bound it here or `mm-ctl` said so. Its interface is the one
//! that `mm-ctl` named, else the one in its binding profile, else the tap that Nova names after it.

use crate::{plug::Plugged, state::Bindings};
use linux::Link;
use std::collections::BTreeMap;
use topology::{Link as PortLink, Port, Snapshot};

/// The taps that should be attached, by ifindex.
///
/// When two ports claim one interface the lower id gets it: somebody made a mistake, and which one
/// wins must not change from one moment to the next.
pub fn wanted(
    snapshot: &Snapshot,
    host: &str,
    explicit: &Bindings,
    links: &BTreeMap<u32, Link>,
) -> BTreeMap<u32, Plugged> {
    let by_name: BTreeMap<&str, &Link> = links.values().map(|l| (l.name.as_str(), l)).collect();
    let mut wanted = BTreeMap::new();
    for port in snapshot.ports() {
        let Some(name) = interface(port, host, explicit) else {
            continue;
        };
        let Some(link) = by_name.get(name.as_str()) else {
            continue;
        };
        let Some(bridge) = port.bridge.and_then(|id| snapshot.bridge(id)) else {
            continue;
        };
        let plugged = Plugged {
            port: port.id,
            name,
            key: port.key,
            flood_key: bridge.flood_key,
            mtu: u32::from(bridge.mtu),
        };
        wanted.entry(link.index).or_insert(plugged);
    }
    wanted
}

/// Name of the interface a port should have on this host, if it is this host's.
pub fn interface(port: &Port, host: &str, explicit: &Bindings) -> Option<String> {
    if let Some(name) = explicit.get(&port.id) {
        return Some(name.clone());
    }
    match &port.link {
        PortLink::Host {
            host: bound,
            interface,
        } if bound == host => Some(interface.clone().unwrap_or_else(|| port.tap_name())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{bridge, link, port};
    use topology::Object;

    fn names(snapshot: &Snapshot, explicit: &Bindings, links: &[Link]) -> Vec<(u32, String)> {
        let links = links.iter().map(|l| (l.index, l.clone())).collect();
        let wanted = wanted(snapshot, "h1", explicit, &links);
        wanted
            .into_iter()
            .map(|(ifindex, p)| (ifindex, p.port.to_string()))
            .collect()
    }

    #[test]
    fn a_tap_is_found_by_the_name_nova_gives_it() {
        let (here, there) = (port(1, "h1"), port(2, "h2"));
        let taps = [link(5, &here.tap_name()), link(6, &there.tap_name())];
        let snapshot = Snapshot::of([
            Object::Bridge(bridge()),
            Object::Port(here.clone()),
            Object::Port(there),
        ]);
        assert_eq!(
            names(&snapshot, &Bindings::new(), &taps),
            [(5, here.id.to_string())]
        );
    }

    #[test]
    fn an_explicit_binding_goes_before_all_else() {
        let (mut here, there) = (port(1, "h1"), port(2, "h2"));
        let profile = Some("eth7".to_owned());
        here.link = PortLink::Host {
            host: "h1".into(),
            interface: profile,
        };
        let taps = [
            link(5, &here.tap_name()),
            link(6, "eth7"),
            link(7, "tap-x"),
            link(8, "tap-y"),
        ];
        let snapshot = Snapshot::of([
            Object::Bridge(bridge()),
            Object::Port(here.clone()),
            Object::Port(there.clone()),
        ]);
        assert_eq!(
            names(&snapshot, &Bindings::new(), &taps),
            [(6, here.id.to_string())]
        );
        let explicit = Bindings::from([(here.id, "tap-x".into()), (there.id, "tap-y".into())]);
        let both = [(7, here.id.to_string()), (8, there.id.to_string())];
        assert_eq!(names(&snapshot, &explicit, &taps), both);
    }

    #[test]
    fn without_its_network_a_port_is_not_plugged() {
        let here = port(1, "h1");
        let tap = [link(5, &here.tap_name())];
        let snapshot = Snapshot::of([Object::Port(here)]);
        assert!(names(&snapshot, &Bindings::new(), &tap).is_empty());
    }
}
