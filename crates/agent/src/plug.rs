//! Plugging: brings the attached taps to what they should be, one step at a time.

use crate::shared::Shared;
use datapath::{AttachError, Datapath, Maps, MapsError};
use linux::Link;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use topology::{PortId, Snapshot, TunnelKey};

/// A tap that is a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugged {
    /// The port.
    pub port: PortId,
    /// Name of the tap.
    pub name: String,
    /// Tunnel key of the port.
    pub key: TunnelKey,
    /// Flood key of its network.
    pub flood_key: TunnelKey,
    /// MTU of its network.
    pub mtu: u32,
}

/// Attaches the kernel program to taps.
pub trait Attach {
    /// Takes frames from this tap.
    fn attach(&mut self, ifindex: u32) -> Result<(), AttachError>;
    /// Lets it go; a tap that is gone is fine.
    fn detach(&mut self, ifindex: u32) -> Result<(), AttachError>;
}

/// The real one: a loaded program and the upcalls a second each tap may make.
pub struct Taps {
    /// The program.
    pub datapath: Datapath,
    /// Upcalls a second for each tap.
    pub rate: u32,
}

impl Attach for Taps {
    fn attach(&mut self, ifindex: u32) -> Result<(), AttachError> {
        self.datapath.attach_port(ifindex, self.rate)
    }

    fn detach(&mut self, ifindex: u32) -> Result<(), AttachError> {
        self.datapath.detach_port(ifindex)
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
        for (ifindex, plugged) in wanted {
            if current.get(ifindex) != Some(plugged) {
                self.attach(*ifindex, plugged, current.contains_key(ifindex))?;
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
        match self.device.attach(tap) {
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
    let up = taps
        .iter()
        .filter(|(ifindex, _)| links.get(ifindex).is_some_and(|link| link.up));
    let ports = up.filter_map(|(_, plugged)| snapshot.port(plugged.port));
    ports
        .filter(|port| port.admin_up && port.host() == Some(host))
        .map(|port| port.id)
        .collect()
}

#[cfg(test)]
mod tests;
