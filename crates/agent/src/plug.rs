//! Plugging: brings the attached taps to what they should be, one step at a time.

use crate::shared::Shared;
use datapath::{AttachError, Datapath, Maps, MapsError};
use linux::Link;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use topology::{PortId, Snapshot, TunnelKey};

/// What is a port: a tap, or a VLAN of the tap of another port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugged {
    /// The port.
    pub port: PortId,
    /// Name of the tap, with the VLAN of a sub-port after it.
    pub name: String,
    /// The VLAN of a sub-port.
    pub vlan: Option<Vlan>,
    /// Tunnel key of the port.
    pub key: TunnelKey,
    /// Flood key of its network.
    pub flood_key: TunnelKey,
    /// MTU of its network.
    pub mtu: u32,
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
    /// What an earlier process left attached and this one has not looked at yet.
    left: BTreeSet<u32>,
}

impl<A: Attach, M: Maps> Plugger<A, M> {
    /// With taps that an earlier process attached.
    pub fn new(device: A, shared: Arc<Shared<M>>, left: impl IntoIterator<Item = u32>) -> Self {
        Self {
            device,
            shared,
            left: left.into_iter().collect(),
        }
    }

    /// Makes the attached taps those of `wanted`. A tap that refuses is logged and left out; false
    /// if there is one, so that it can be tried again.
    pub fn reconcile(&mut self, wanted: &BTreeMap<u32, Plugged>) -> Result<bool, MapsError> {
        let current = self.shared.world().taps().clone();
        let gone = current
            .keys()
            .chain(&self.left)
            .filter(|tap| !wanted.contains_key(tap));
        for ifindex in gone.copied().collect::<BTreeSet<_>>() {
            self.detach(ifindex, current.get(&ifindex))?;
        }
        self.left.clear();
        for (number, plugged) in wanted {
            let before = current.get(number);
            if before != Some(plugged) {
                let again = before.is_some_and(|before| before.vlan == plugged.vlan);
                self.attach(*number, plugged, again)?;
            }
        }
        let mut world = self.shared.world();
        let keys = world.taps().values().map(|tap| tap.flood_key).collect();
        world.set_flood_keys(&keys)?;
        Ok(world.taps().len() == wanted.len())
    }

    /// The world knows the port before its first frame comes up.
    fn attach(&mut self, tap: u32, plugged: &Plugged, again: bool) -> Result<(), MapsError> {
        self.shared.world().plugged(tap, plugged.clone())?;
        if again {
            return Ok(());
        }
        match self.device.attach(tap, plugged.vlan) {
            Ok(()) => tracing::info!(port = %plugged.port, interface = plugged.name, "attached"),
            Err(error) => {
                let port = plugged.port;
                tracing::error!(%port, interface = plugged.name, %error, "tap not attached");
                self.shared.world().unplugged(tap)?;
            }
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

/// The ports whose frames can pass: attached, theirs to be here, and up on both sides.
pub fn ports_up(
    snapshot: &Snapshot,
    host: &str,
    taps: &BTreeMap<u32, Plugged>,
    links: &BTreeMap<u32, Link>,
) -> BTreeSet<PortId> {
    let up = taps.iter().filter(|(number, plugged)| {
        links
            .get(&plugged.tap(**number))
            .is_some_and(|link| link.up)
    });
    let ports = up.filter_map(|(_, plugged)| snapshot.port(plugged.port));
    ports
        .filter(|port| port.admin_up && port.host() == Some(host))
        .map(|port| port.id)
        .collect()
}

#[cfg(test)]
mod tests;
