//! Plugging: brings the attached taps to what they should be, one step at a time.

use crate::shared::Shared;
use datapath::{AttachError, Datapath, Maps, MapsError};
use linux::Link;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use topology::{PortId, Snapshot, TunnelKey};

/// What is a port: a tap or another interface, or a VLAN of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugged {
    /// The port.
    pub port: PortId,
    /// Name of the interface, with the VLAN after it.
    pub name: String,
    /// The VLAN, if the interface is not all the port's.
    pub vlan: Option<Vlan>,
    /// Tunnel key of the port.
    pub key: TunnelKey,
    /// Flood key of its network.
    pub flood_key: TunnelKey,
    /// MTU of its network.
    pub mtu: u32,
    /// It is an interface of the host that leads to the outside.
    pub uplink: bool,
}

/// A VLAN of a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// ifindex of the tap.
    pub tap: u32,
    /// VLAN id.
    pub id: u16,
}

impl Plugged {
    /// ifindex of the tap whose frames these are; `number` is what the kernel program calls it.
    pub fn tap(&self, number: u32) -> u32 {
        self.vlan.map_or(number, |vlan| vlan.tap)
    }
}

/// Attaches the kernel program to taps and tells it of their VLANs. Each is known to it by a number:
/// a tap by its ifindex, a VLAN by one that no interface has.
pub trait Attach {
    /// Takes frames from it.
    fn attach(&mut self, number: u32, vlan: Option<Vlan>) -> Result<(), AttachError>;
    /// Lets it go; one that is gone is fine.
    fn detach(&mut self, number: u32) -> Result<(), AttachError>;
}

/// The real one: a loaded program and the upcalls a second each tap may make.
pub struct Taps {
    /// The program.
    pub datapath: Datapath,
    /// Upcalls a second for each tap.
    pub rate: u32,
}

impl Attach for Taps {
    fn attach(&mut self, number: u32, vlan: Option<Vlan>) -> Result<(), AttachError> {
        match vlan {
            None => self.datapath.attach_port(number, self.rate),
            Some(vlan) => self.datapath.set_subport(number, vlan.tap, vlan.id),
        }
    }

    fn detach(&mut self, number: u32) -> Result<(), AttachError> {
        self.datapath.detach_port(number)
    }
}

/// Keeps the taps as they should be.
pub struct Plugger<A, M> {
    device: A,
    shared: Arc<Shared<M>>,
    /// Interfaces that are no ports themselves, attached for the sake of VLANs of theirs.
    trunks: BTreeSet<u32>,
    /// What an earlier process left attached and this one has not looked at yet.
    left: BTreeSet<u32>,
}

impl<A: Attach, M: Maps> Plugger<A, M> {
    /// With taps that an earlier process attached.
    pub fn new(device: A, shared: Arc<Shared<M>>, left: impl IntoIterator<Item = u32>) -> Self {
        Self {
            device,
            shared,
            trunks: BTreeSet::new(),
            left: left.into_iter().collect(),
        }
    }

    /// What attaches.
    pub fn device(&mut self) -> &mut A {
        &mut self.device
    }

    /// What an earlier process left attached and this one has not looked at yet.
    pub fn left(&self) -> &BTreeSet<u32> {
        &self.left
    }

    /// Makes the attached taps those of `wanted`. What refuses is logged, left out and returned with
    /// the reason, so that it can be tried again.
    pub fn reconcile(
        &mut self,
        wanted: &BTreeMap<u32, Plugged>,
    ) -> Result<BTreeMap<PortId, String>, MapsError> {
        let current = self.shared.world().taps().clone();
        let taps = wanted.iter().map(|(number, plugged)| plugged.tap(*number));
        let trunks: BTreeSet<u32> = taps.filter(|tap| !wanted.contains_key(tap)).collect();
        let gone = current.keys().chain(&self.left).chain(&self.trunks);
        let gone = gone.filter(|tap| !wanted.contains_key(tap) && !trunks.contains(tap));
        for ifindex in gone.copied().collect::<BTreeSet<_>>() {
            self.detach(ifindex, current.get(&ifindex))?;
        }
        self.left.clear();
        self.trunks.retain(|trunk| trunks.contains(trunk));
        for trunk in trunks {
            self.attach_trunk(trunk, current.get(&trunk))?;
        }
        let mut failed = BTreeMap::new();
        for (number, plugged) in wanted {
            let before = current.get(number);
            if before != Some(plugged) {
                let again = before.is_some_and(|before| before.vlan == plugged.vlan);
                if let Err(error) = self.attach(*number, plugged, again)? {
                    failed.insert(plugged.port, error.to_string());
                }
            }
        }
        let mut world = self.shared.world();
        let keys = world.taps().values().map(|tap| tap.flood_key).collect();
        world.set_flood_keys(&keys)?;
        Ok(failed)
    }

    /// The world knows the port before its first frame comes up.
    fn attach(
        &mut self,
        tap: u32,
        plugged: &Plugged,
        again: bool,
    ) -> Result<Result<(), AttachError>, MapsError> {
        self.shared.world().plugged(tap, plugged.clone())?;
        if again {
            return Ok(Ok(()));
        }
        let attached = self.device.attach(tap, plugged.vlan);
        self.trunks.remove(&tap);
        match &attached {
            Ok(()) => tracing::info!(port = %plugged.port, interface = plugged.name, "attached"),
            Err(error) => {
                let port = plugged.port;
                tracing::error!(%port, interface = plugged.name, %error, "tap not attached");
                self.shared.world().unplugged(tap)?;
            }
        }
        Ok(attached)
    }

    /// An interface of which only VLANs are ports. Its ports say so if it cannot be attached.
    fn attach_trunk(&mut self, tap: u32, before: Option<&Plugged>) -> Result<(), MapsError> {
        if let Some(before) = before {
            tracing::info!(port = %before.port, interface = before.name, "detached");
            self.shared.world().unplugged(tap)?;
        } else if self.trunks.contains(&tap) {
            return Ok(());
        }
        match self.device.attach(tap, None) {
            Ok(()) => drop(self.trunks.insert(tap)),
            Err(error) => tracing::error!(ifindex = tap, %error, "interface not attached"),
        }
        Ok(())
    }

    fn detach(&mut self, tap: u32, plugged: Option<&Plugged>) -> Result<(), MapsError> {
        if let Err(error) = self.device.detach(tap) {
            tracing::warn!(ifindex = tap, %error, "tap not detached cleanly");
        }
        if let Some(plugged) = plugged {
            tracing::info!(port = %plugged.port, interface = plugged.name, "detached");
        }
        self.shared.world().unplugged(tap)
    }
}

/// The ports whose frames can pass: attached, theirs to be here, and up on both sides. At an uplink
/// there is also somebody at the other end.
pub fn ports_up(
    snapshot: &Snapshot,
    host: &str,
    taps: &BTreeMap<u32, Plugged>,
    links: &BTreeMap<u32, Link>,
) -> BTreeSet<PortId> {
    let up = taps.iter().filter(|(number, plugged)| {
        let link = links.get(&plugged.tap(**number));
        link.is_some_and(|link| link.up && (link.carrier || !plugged.uplink))
    });
    let ports = up.filter_map(|(_, plugged)| snapshot.port(plugged.port));
    ports
        .filter(|port| port.admin_up && port.host() == Some(host))
        .map(|port| port.id)
        .collect()
}

#[cfg(test)]
mod tests;
