//! The kernel program: loaded, its maps and links pinned, attached to devices.

use crate::{KernelMaps, MapsError, Upcalls};
use std::path::PathBuf;

/// How to load the kernel program.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory on a bpffs for this instance's maps and links. It is made if need be.
    pub pin_dir: PathBuf,
    /// Connections the host can hold, both directions counted. The least recently used go first.
    pub connections: u32,
}

/// The datapath cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {}

/// A device cannot be attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {}

/// The loaded program. Dropping it detaches nothing: maps and links stay pinned and forward on.
pub struct Datapath {}

impl Datapath {
    /// Loads the program. Maps and links that an earlier process pinned are taken over: devices
    /// go on forwarding with the old program until they are attached again.
    pub fn start(_options: &Options) -> Result<Self, StartError> {
        unimplemented!()
    }

    /// A new handle on the maps.
    pub fn maps(&self) -> Result<KernelMaps, MapsError> {
        unimplemented!()
    }

    /// The reader of upcalls. One reader at a time.
    pub fn upcalls(&self) -> Result<Upcalls, MapsError> {
        unimplemented!()
    }

    /// Takes frames from this tap, which may make `rate` upcalls a second. Again for a tap that is
    /// attached: replaces its program in place.
    pub fn attach_port(&mut self, _ifindex: u32, _rate: u32) -> Result<(), AttachError> {
        unimplemented!()
    }

    /// Takes tunnelled frames from this VXLAN device (`external`) and sends them by it; floods that
    /// come by it may make `rate` upcalls a second.
    pub fn attach_tunnel(&mut self, _ifindex: u32, _rate: u32) -> Result<(), AttachError> {
        unimplemented!()
    }

    /// Takes the frames that an [`crate::Injector`] writes into this device.
    pub fn attach_injection(&mut self, _ifindex: u32) -> Result<(), AttachError> {
        unimplemented!()
    }

    /// Lets a tap go. Absent is fine, and so is a device that is gone.
    pub fn detach_port(&mut self, _ifindex: u32) -> Result<(), AttachError> {
        unimplemented!()
    }

    /// Taps that are attached, also by an earlier process.
    pub fn attached_ports(&self) -> Result<Vec<u32>, MapsError> {
        unimplemented!()
    }

    /// Removes everything: the program from all devices, all maps, the pin directory.
    pub fn remove(self) -> Result<(), AttachError> {
        unimplemented!()
    }
}
