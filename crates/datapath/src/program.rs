//! The kernel program: loaded, its maps and links pinned, attached to devices.

use crate::{
    KernelMaps, Maps, MapsError, Upcalls,
    device::name_of,
    pins::{maps_fit, on_bpffs, remove_pin, unpin_maps},
    rehearse::{Entry, Rehearsal, rehearse},
};
use aya::{
    Ebpf, EbpfError, EbpfLoader,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        links::{FdLink, LinkError, PinnedLink},
        tc::{SchedClassifierLink, TcAttachOptions},
    },
};
use bpf_abi::{Config, MARK_IFINDEX, PORT_VIRTUAL, Subport};
use flow::mapped;
use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/midonet.bpf.o"));

/// Last VLAN identifier that may be given out (IEEE 802.1Q, 9.6).
const VLAN_LAST: u16 = 4094;

/// Name of the program for taps.
const FROM_PORT: &str = "from_port";
/// Name of the program for the VXLAN device.
const FROM_TUNNEL: &str = "from_tunnel";
/// Name of the program for the agent's own device.
const INJECT: &str = "inject";

/// How to load the kernel program.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory on a bpffs for this instance's maps and links. It is made if need be.
    pub pin_dir: PathBuf,
    /// Connections the host can hold, both directions counted. The least recently used go first.
    /// With another number than the last time the table starts empty.
    pub connections: u32,
}

/// The datapath cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The pin directory cannot be made or read.
    #[error("cannot use the directory {dir} for pinned maps: {source}")]
    PinDir {
        /// The directory.
        dir: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The pin directory is on another kind of file system.
    #[error("{dir} is not on a BPF file system; mount one: mount -t bpf bpffs /sys/fs/bpf")]
    NotBpffs {
        /// The directory.
        dir: PathBuf,
    },
    /// The kernel refused the object as a whole.
    #[error(
        "cannot load the kernel program (Linux 6.6 or later and CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed): {0}"
    )]
    Object(#[from] EbpfError),
    /// The kernel's verifier refused a program.
    #[error("the kernel refuses the program {program}: {source}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the kernel said.
        source: ProgramError,
    },
    /// A map cannot be used.
    #[error(transparent)]
    Maps(#[from] MapsError),
}

/// A device cannot be attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no such device.
    #[error("there is no interface with index {ifindex}: {source}")]
    NoDevice {
        /// The interface.
        ifindex: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused.
    #[error("cannot attach {program} to {device}: {source}")]
    Refused {
        /// Name of the program.
        program: &'static str,
        /// Name of the interface.
        device: String,
        /// What the loader said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A pin cannot be removed.
    #[error("cannot remove the pin {path}: {source}")]
    Unpin {
        /// The pin.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A sub-port is to share a tap that is not attached.
    #[error("cannot put sub-port {number} on interface {ifindex}, which is not attached")]
    NoTrunk {
        /// The sub-port.
        number: u32,
        /// The tap.
        ifindex: u32,
    },
    /// A sub-port cannot have this number or tag.
    #[error(
        "no sub-port: number {number:#x} must be from {PORT_VIRTUAL:#x} to {MARK_IFINDEX:#x}, VLAN {vlan} from 1 to {VLAN_LAST}"
    )]
    BadSubport {
        /// The sub-port.
        number: u32,
        /// Its tag.
        vlan: u16,
    },
    /// A map cannot be used.
    #[error(transparent)]
    Maps(#[from] MapsError),
}

/// The loaded program. Dropping it detaches nothing: maps and links stay pinned and forward on.
pub struct Datapath {
    ebpf: Ebpf,
    maps: KernelMaps,
    pin_dir: PathBuf,
}

impl Datapath {
    /// Loads the program. Maps and links that an earlier process pinned are taken over: devices
    /// go on forwarding with the old program until they are attached again.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let dir = &options.pin_dir;
        let unusable = |source| StartError::PinDir {
            dir: dir.clone(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(unusable)?;
        if !on_bpffs(dir).map_err(unusable)? {
            return Err(StartError::NotBpffs { dir: dir.clone() });
        }
        if dir.join("CONFIG").exists() && !maps_fit(dir, options.connections) {
            tracing::warn!(dir = %dir.display(), "pinned maps have another layout: starting empty");
            unpin_maps(dir).map_err(unusable)?;
        }
        let mut ebpf = EbpfLoader::new()
            .default_map_pin_directory(dir)
            .map_max_entries("CONNS", options.connections)
            .load(OBJECT)?;
        for program in [FROM_PORT, FROM_TUNNEL, INJECT] {
            let loaded = classifier(&mut ebpf, program).load();
            loaded.map_err(|source| StartError::Program { program, source })?;
        }
        let mut maps = KernelMaps::open(dir)?;
        let config = maps.config()?;
        maps.set_config(&Config {
            abi: bpf_abi::ABI,
            ..config
        })?;
        Ok(Self {
            ebpf,
            maps,
            pin_dir: dir.clone(),
        })
    }

    /// A new handle on the maps.
    pub fn maps(&self) -> Result<KernelMaps, MapsError> {
        KernelMaps::open(&self.pin_dir)
    }

    /// The reader of upcalls. One reader at a time.
    pub fn upcalls(&self) -> Result<Upcalls, MapsError> {
        Upcalls::open(&self.pin_dir)
    }

    /// Takes frames from this tap, which may make `rate` upcalls a second. Again for a tap that is
    /// attached: replaces its program in place.
    pub fn attach_port(&mut self, ifindex: u32, rate: u32) -> Result<(), AttachError> {
        self.maps.set_port(ifindex, rate)?;
        self.attach(FROM_PORT, ifindex, TcAttachType::Ingress)
    }

    /// Takes tunnelled frames from this VXLAN device (`external`) and sends them by it, from the
    /// underlay address `local`; floods that come by it may make `rate` upcalls a second.
    pub fn attach_tunnel(
        &mut self,
        ifindex: u32,
        local: IpAddr,
        rate: u32,
    ) -> Result<(), AttachError> {
        self.maps.set_port(0, rate)?;
        let config = self.maps.config()?;
        self.maps.set_config(&Config {
            vxlan_ifindex: ifindex,
            local: mapped(local),
            local_family: if local.is_ipv4() { 4 } else { 6 },
            ..config
        })?;
        self.attach(FROM_TUNNEL, ifindex, TcAttachType::Ingress)
    }

    /// Takes the frames that an [`crate::Injector`] writes into this device.
    pub fn attach_injection(&mut self, ifindex: u32) -> Result<(), AttachError> {
        self.attach(INJECT, ifindex, TcAttachType::Egress)
    }

    /// Makes frames of an attached tap that carry this VLAN tag those of a port of its own, which
    /// may make as many upcalls as the tap may. The number stands for the port wherever a tap's
    /// ifindex would: in decisions, tunnel keys and marks, and in what comes up.
    pub fn set_subport(
        &mut self,
        number: u32,
        tap_ifindex: u32,
        vlan: u16,
    ) -> Result<(), AttachError> {
        let numbers = PORT_VIRTUAL..=MARK_IFINDEX;
        if !numbers.contains(&number) || !(1..=VLAN_LAST).contains(&vlan) {
            return Err(AttachError::BadSubport { number, vlan });
        }
        let ports = self.maps.ports()?;
        let tap = ports.iter().find(|(ifindex, _)| *ifindex == tap_ifindex);
        let (_, tap) = tap.ok_or(AttachError::NoTrunk {
            number,
            ifindex: tap_ifindex,
        })?;
        self.maps.set_port(number, tap.rate)?;
        let subport = Subport {
            ifindex: tap_ifindex,
            vlan,
            pad: 0,
        };
        Ok(self.maps.set_subport(number, subport)?)
    }

    /// Lets a sub-port go: frames with its tag are dropped again. Absent is fine.
    pub fn remove_subport(&mut self, number: u32) -> Result<(), AttachError> {
        self.maps.remove_subport(number)?;
        Ok(self.maps.remove_port(number)?)
    }

    /// Lets a tap go with its sub-ports, or a sub-port alone; the kernel does so a moment after this
    /// returns. Absent is fine, and so is a device that is gone.
    pub fn detach_port(&mut self, ifindex: u32) -> Result<(), AttachError> {
        if ifindex & PORT_VIRTUAL != 0 {
            return self.remove_subport(ifindex);
        }
        let subports = self.maps.subports()?;
        for (number, _) in subports.iter().filter(|(_, s)| s.ifindex == ifindex) {
            self.remove_subport(*number)?;
        }
        let path = self.pin(FROM_PORT, ifindex);
        remove_pin(&path).map_err(|source| AttachError::Unpin { path, source })?;
        Ok(self.maps.remove_port(ifindex)?)
    }

    /// Taps and sub-ports that are attached, also by an earlier process.
    pub fn attached_ports(&self) -> Result<Vec<u32>, MapsError> {
        Ok(self
            .maps
            .ports()?
            .into_iter()
            .map(|(i, _)| i)
            .filter(|i| *i != 0)
            .collect())
    }

    /// Runs a program on a frame as if it had come in, without sending it on. Tables, counters and
    /// upcalls change as they would.
    pub fn rehearse(&mut self, entry: Entry, frame: &[u8]) -> Result<Rehearsal, ProgramError> {
        let name = match entry {
            Entry::Injected { .. } => INJECT,
            Entry::Tunnel => FROM_TUNNEL,
        };
        rehearse(classifier(&mut self.ebpf, name), entry, frame)
    }

    /// Removes everything: the program from all devices, all maps, the pin directory.
    pub fn remove(self) -> Result<(), AttachError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| AttachError::Unpin { path, source }
        };
        let pins = std::fs::read_dir(&self.pin_dir).map_err(failed(&self.pin_dir))?;
        for pin in pins.flatten() {
            remove_pin(&pin.path()).map_err(failed(&pin.path()))?;
        }
        std::fs::remove_dir(&self.pin_dir).map_err(failed(&self.pin_dir))
    }

    fn pin(&self, program: &str, ifindex: u32) -> PathBuf {
        self.pin_dir.join(format!("{program}-{ifindex}"))
    }

    /// Attaches by the pinned link if it still leads to the device, else by a new one.
    fn attach(
        &mut self,
        name: &'static str,
        ifindex: u32,
        at: TcAttachType,
    ) -> Result<(), AttachError> {
        let device =
            name_of(ifindex).map_err(|source| AttachError::NoDevice { ifindex, source })?;
        let pin = self.pin(name, ifindex);
        let program = classifier(&mut self.ebpf, name);
        match take_over(program, &device, &pin, at) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(e) => {
                tracing::debug!(%device, error = %e, "the pinned link is of no use: attaching anew")
            }
        }
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| AttachError::Refused {
            program: name,
            device: device.clone(),
            source,
        };
        remove_pin(&pin).map_err(|source| AttachError::Unpin {
            path: pin.clone(),
            source,
        })?;
        attach_anew(program, &device, &pin, at).map_err(refused)
    }
}

/// Puts the program into the link pinned here. False when there is none, or when its device is a
/// former one that had the same index.
fn take_over(
    program: &mut SchedClassifier,
    device: &str,
    pin: &Path,
    at: TcAttachType,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    if !pin.exists() {
        return Ok(false);
    }
    let link: SchedClassifierLink = FdLink::from(PinnedLink::from_pin(pin)?).try_into()?;
    let held = program.attach_to_link(link)?;
    // Only the pin shall hold the link: removing it must let the device go.
    drop(program.take_link(held)?);
    let id = program.info()?.id();
    let (_, attached) = SchedClassifier::query_tcx(device, at)?;
    Ok(attached.iter().any(|p| p.id() == id))
}

fn attach_anew(
    program: &mut SchedClassifier,
    device: &str,
    pin: &Path,
    at: TcAttachType,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let order = TcAttachOptions::TcxOrder(LinkOrder::default());
    let id = program.attach_with_options(device, at, order)?;
    let link: Result<FdLink, LinkError> = program.take_link(id)?.try_into();
    link?.pin(pin)?;
    Ok(())
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut SchedClassifier {
    let program = ebpf
        .program_mut(name)
        .expect("the object embedded at build time has it");
    program
        .try_into()
        .expect("its section says that it is a classifier")
}
