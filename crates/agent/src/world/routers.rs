//! Numbers of routers. A frame that has come into a router from its outside goes on at the router's
//! number, at the host that knows its connection. What the router itself then has to say goes out by
//! the port that the frame came in by, as if it came in there: such ports have numbers too.

use super::{Decisions, Outcome, World};
use crate::bindings::virtual_number;
use bpf_abi::{FlowKey, PORT_VIRTUAL, router_number};
use datapath::{Maps, MapsError};
use sim::Ingress;
use std::collections::{BTreeMap, BTreeSet};
use topology::{Port, PortId, RouterId, Snapshot, TunnelKey};
use wire::Mac;

/// What the kernel program calls routers and their ports.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    routers: BTreeMap<u32, RouterId>,
    ports: BTreeMap<u32, PortId>,
    keys: BTreeMap<TunnelKey, u32>,
}

impl Numbers {
    /// Of all routers that can be entered from their outside.
    fn of(snapshot: &Snapshot) -> Self {
        let mut numbers = Self::default();
        for router in snapshot.routers().filter(|r| r.key != 0) {
            let entered: Vec<_> = entrances(snapshot, router.id).collect();
            if entered.is_empty() {
                continue;
            }
            let number = router_number(router.key);
            numbers.routers.insert(number, router.id);
            numbers.keys.insert(router.key, number);
            let ports = entered.iter().map(|p| (virtual_number(p.key), p.id));
            numbers.ports.extend(ports);
        }
        numbers
    }

    fn all(&self) -> impl Iterator<Item = u32> {
        self.routers.keys().chain(self.ports.keys()).copied()
    }
}

/// The ports by which a packet may come into a router from its outside: those that are, and those on
/// networks where the router stands for floating IPs.
fn entrances(snapshot: &Snapshot, router: RouterId) -> impl Iterator<Item = &Port> {
    let floating = snapshot.router_floating_ips(router).map(|fip| fip.bridge);
    let floating: BTreeSet<_> = floating.collect();
    let ports = snapshot.router_ports(router).map(|port| &**port);
    ports.filter(move |p| p.outside || p.bridge.is_some_and(|b| floating.contains(&b)))
}

impl<M> World<M> {
    /// The router of a number.
    pub fn router_of(&self, number: u32) -> Option<RouterId> {
        self.numbers.as_ref()?.routers.get(&number).copied()
    }

    /// Routers' tunnel keys and their numbers.
    pub(crate) fn router_keys(&self) -> BTreeMap<TunnelKey, u32> {
        let numbers = self.numbers.as_ref();
        numbers.map(|n| n.keys.clone()).unwrap_or_default()
    }

    /// Where frames come in that come up with a number that no tap has.
    pub(super) fn router_ingress(&self, number: u32) -> Option<Ingress> {
        let router = self.router_of(number).map(Ingress::Router);
        router.or_else(|| self.router_port_of(number).map(Ingress::Port))
    }

    /// The router's port of a number.
    pub fn router_port_of(&self, number: u32) -> Option<PortId> {
        self.numbers.as_ref()?.ports.get(&number).copied()
    }

    /// What a router says about a frame that came in at it: it leaves by the port that the frame was
    /// for.
    pub(super) fn said_by(
        &self,
        router: RouterId,
        key: &FlowKey,
        frame: Vec<u8>,
    ) -> Option<Outcome> {
        let mut ports = self.snapshot.router_ports(router);
        let port = ports.find(|port| port.mac == Mac(key.dmac))?;
        let number = virtual_number(port.key);
        self.router_port_of(number)?;
        Some(Outcome::Said { number, frame })
    }
}

impl<M: Maps> World<M> {
    /// Brings the kernel's tables in line with the routers of the topology. Frames may come up from
    /// each number as from a tap.
    pub(super) fn follow_routers(&mut self) -> Result<(), MapsError> {
        let Decisions::Ready(table) = &mut self.decisions else {
            return Ok(());
        };
        let maps = table.maps_mut();
        let numbers = Numbers::of(&self.snapshot);
        let before = match &self.numbers {
            Some(numbers) => numbers.all().collect(),
            None => left(maps)?,
        };
        let wanted: BTreeSet<u32> = numbers.all().collect();
        for number in before.difference(&wanted) {
            maps.remove_port(*number)?;
        }
        for number in wanted.difference(&before) {
            maps.set_port(*number, self.upcall_rate)?;
        }
        let keys = self.numbers.take().unwrap_or_default().keys;
        for key in keys.keys().filter(|key| !numbers.keys.contains_key(key)) {
            maps.remove_tunnel(*key)?;
        }
        for (key, number) in numbers.keys.iter().filter(|(k, _)| !keys.contains_key(k)) {
            maps.set_tunnel(*key, *number)?;
        }
        self.numbers = Some(numbers);
        Ok(())
    }
}

/// Numbers of an earlier process that are no sub-ports'.
fn left<M: Maps>(maps: &M) -> Result<BTreeSet<u32>, MapsError> {
    let subports: BTreeSet<u32> = maps.subports()?.into_iter().map(|(n, _)| n).collect();
    let all = maps.ports()?.into_iter().map(|(number, _)| number);
    let virtuals = all.filter(|number| number & PORT_VIRTUAL != 0);
    Ok(virtuals.filter(|n| !subports.contains(n)).collect())
}
