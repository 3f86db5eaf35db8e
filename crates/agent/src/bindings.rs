//! Which interface of this host is which port.
//!
//! A port is this host's when Neutron bound it here or `mm-ctl` said so. Its interface is the one
//! that `mm-ctl` named, else the one in its binding profile, else the tap that Nova names after it.
//! A sub-port of a trunk is a VLAN of its parent's interface. An uplink is an interface of the host, or
//! a VLAN of one.

use crate::{
    plug::{Plugged, Vlan},
    state::Bindings,
};
use bpf_abi::PORT_VIRTUAL;
use linux::Link;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use topology::{Link as PortLink, Port, PortId, Snapshot, TunnelKey};

/// Where on this host a port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name of the interface.
    pub name: String,
    /// The VLAN on it, if the interface is not all the port's.
    pub vlan: Option<u16>,
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.vlan.map_or(Ok(()), |vlan| write!(f, ".{vlan}"))
    }
}

/// What should be attached, and what must not be although it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Taps by ifindex, and after them ports that are VLANs by their numbers.
    pub plugs: BTreeMap<u32, Plugged>,
    /// Ports that do not get the interface they name, and why.
    pub refused: BTreeMap<PortId, Refusal>,
}

/// Why a port does not get the interface it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another one has it.
    #[error("{interface} is port {by}'s")]
    Taken {
        /// The interface, with the VLAN.
        interface: Interface,
        /// Who has it.
        by: PortId,
    },
    /// The host would be cut off.
    #[error("interface {name} carries the underlay, or the way to the cluster or to another host")]
    Needed {
        /// Its name.
        name: String,
    },
}

/// What should be attached. Interfaces that are `needed` are no uplinks.
///
/// When two ports claim one interface, or one VLAN of it, the lower id gets it: somebody made a
/// mistake, and which one wins must not change from one moment to the next.
pub fn wanted(
    snapshot: &Snapshot,
    host: &str,
    explicit: &Bindings,
    links: &BTreeMap<u32, Link>,
    needed: &BTreeSet<u32>,
) -> Wanted {
    let by_name: BTreeMap<&str, u32> = links.values().map(|l| (l.name.as_str(), l.index)).collect();
    let (mut wanted, mut taken) = (Wanted::default(), BTreeMap::new());
    for port in snapshot.ports() {
        let Some(interface) = interface(snapshot, port, host, explicit) else {
            continue;
        };
        let Some(&tap) = by_name.get(interface.name.as_str()) else {
            continue;
        };
        let Some(bridge) = port.bridge.and_then(|id| snapshot.bridge(id)) else {
            continue;
        };
        if port.outside && needed.contains(&tap) {
            let name = interface.name;
            wanted.refused.insert(port.id, Refusal::Needed { name });
            continue;
        }
        let by = *taken.entry((tap, interface.vlan)).or_insert(port.id);
        if by != port.id {
            let refusal = Refusal::Taken { interface, by };
            wanted.refused.insert(port.id, refusal);
            continue;
        }
        let number = interface.vlan.map_or(tap, |_| virtual_number(port.key));
        let plugged = Plugged {
            port: port.id,
            name: interface.to_string(),
            vlan: interface.vlan.map(|id| Vlan { tap, id }),
            key: port.key,
            flood_key: bridge.flood_key,
            mtu: u32::from(bridge.mtu),
            uplink: port.outside,
        };
        wanted.plugs.insert(number, plugged);
    }
    wanted
}

/// The interfaces that are here and that uplinks of this host name.
pub fn uplinks(
    snapshot: &Snapshot,
    host: &str,
    explicit: &Bindings,
    links: &BTreeMap<u32, Link>,
) -> BTreeSet<u32> {
    let ports = snapshot.ports().filter(|port| port.outside);
    let interfaces = ports.filter_map(|port| interface(snapshot, port, host, explicit));
    let names: BTreeSet<String> = interfaces.map(|i| i.name).collect();
    let named = links.values().filter(|link| names.contains(&link.name));
    named.map(|link| link.index).collect()
}

/// What the kernel program calls a port without an interface of its own: a VLAN of one, or a port of
/// a router. The tunnel key is as lasting as the port, and no other port's.
pub fn virtual_number(key: TunnelKey) -> u32 {
    PORT_VIRTUAL | key
}

/// Where a port should be on this host, if it is this host's: on an interface of its own, or as a
/// sub-port on that of its parent.
pub fn interface(
    snapshot: &Snapshot,
    port: &Port,
    host: &str,
    explicit: &Bindings,
) -> Option<Interface> {
    let (trunk, own) = (port.trunk(), own_interface(port, host, explicit)?);
    let Some(trunk) = trunk.filter(|_| !explicit.contains_key(&port.id)) else {
        return Some(Interface {
            name: own,
            vlan: port.vlan(),
        });
    };
    let parent = snapshot.port(trunk.parent);
    let name = parent.and_then(|parent| own_interface(parent, host, explicit));
    Some(Interface {
        // without its parent it will find no interface, and that is what there is to tell
        name: name.unwrap_or_else(|| trunk.parent.tap_name()),
        vlan: Some(trunk.vlan),
    })
}

/// Name of the interface that is all a port's, if the port is this host's.
fn own_interface(port: &Port, host: &str, explicit: &Bindings) -> Option<String> {
    if let Some(name) = explicit.get(&port.id) {
        return Some(name.clone());
    }
    match &port.link {
        PortLink::Host {
            host: bound,
            interface,
            ..
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
        let wanted = wanted(snapshot, "h1", explicit, &links, &BTreeSet::new());
        wanted
            .plugs
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
            trunk: None,
            vlan: None,
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
    fn a_sub_port_is_a_vlan_of_its_parents_interface() {
        let (parent, mut sub, mut rival) = (port(1, "h1"), port(2, "h1"), port(3, "h1"));
        let trunk = |vlan| PortLink::Host {
            host: "h1".into(),
            interface: None,
            trunk: Some(topology::Trunk {
                parent: parent.id,
                vlan,
            }),
            vlan: None,
        };
        (sub.link, rival.link) = (trunk(100), trunk(100));
        let objects = |rival: &Port| {
            let ports = [parent.clone(), sub.clone(), rival.clone()].map(Object::Port);
            Snapshot::of([Object::Bridge(bridge())].into_iter().chain(ports))
        };
        let tap = link(5, &parent.tap_name());
        let links = BTreeMap::from([(5, tap)]);
        let none = Bindings::new();
        let wanted = |snapshot: &Snapshot, explicit| {
            super::wanted(snapshot, "h1", explicit, &links, &BTreeSet::new())
        };
        let Wanted {
            plugs: first,
            refused,
        } = wanted(&objects(&rival), &none);
        assert_eq!(
            first.keys().copied().collect::<Vec<_>>(),
            [5, virtual_number(sub.key)]
        );
        let plugged = &first[&(virtual_number(sub.key))];
        assert_eq!(plugged.vlan, Some(Vlan { tap: 5, id: 100 }));
        assert_eq!(plugged.name, format!("{}.100", parent.tap_name()));

        let why = format!("{}.100 is port {}'s", parent.tap_name(), sub.id);
        assert_eq!(refused[&rival.id].to_string(), why);

        rival.link = trunk(101);
        assert_eq!(wanted(&objects(&rival), &none).plugs.len(), 3);
        let moved = Bindings::from([(parent.id, "eth7".to_owned())]);
        assert!(wanted(&objects(&rival), &moved).plugs.is_empty());
    }

    #[test]
    fn an_uplink_is_an_interface_of_the_host_or_a_vlan_of_one() {
        let uplink = |number, vlan| Port {
            outside: true,
            link: PortLink::Host {
                host: "h1".into(),
                interface: Some("eth1".into()),
                trunk: None,
                vlan,
            },
            ..port(number, "h1")
        };
        let (all, tagged, twice) = (uplink(1, None), uplink(2, Some(7)), uplink(3, Some(7)));
        let ports = [all.clone(), tagged.clone(), twice.clone()].map(Object::Port);
        let snapshot = Snapshot::of([Object::Bridge(bridge())].into_iter().chain(ports));
        let links = BTreeMap::from([(4, link(4, "eth1"))]);
        let wanted = |needed: &[u32]| {
            let needed = needed.iter().copied().collect();
            super::wanted(&snapshot, "h1", &Bindings::new(), &links, &needed)
        };
        let free = wanted(&[]);
        let plugs: Vec<_> = free
            .plugs
            .iter()
            .map(|(n, p)| (*n, p.port, p.vlan))
            .collect();
        let vlan = Vlan { tap: 4, id: 7 };
        let number = virtual_number(tagged.key);
        assert_eq!(plugs, [(4, all.id, None), (number, tagged.id, Some(vlan))]);
        let refused = &free.refused[&twice.id];
        assert_eq!(
            refused.to_string(),
            format!("eth1.7 is port {}'s", tagged.id)
        );

        let cut_off = wanted(&[4]);
        assert!(cut_off.plugs.is_empty());
        assert_eq!(cut_off.refused.len(), 3);
    }

    #[test]
    fn without_its_network_a_port_is_not_plugged() {
        let here = port(1, "h1");
        let tap = [link(5, &here.tap_name())];
        let snapshot = Snapshot::of([Object::Port(here)]);
        assert!(names(&snapshot, &Bindings::new(), &tap).is_empty());
    }
}
