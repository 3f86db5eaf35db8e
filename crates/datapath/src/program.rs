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
use bpf_abi::{Config, MARK_IFINDEX, PORT_VIRTUAL};
use flow::mapped;
use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/midonet.bpf.o"));

/// Last VLAN identifier that may be given out (IEEE 802.1Q, 9.6).
pub(crate) const VLAN_LAST: u16 = 4094;

/// Name of the program for taps.
const FROM_PORT: &str = "from_port";
/// Name of the program for taps where what the VM sends has a limit. Its link is pinned by the name
/// of the other, whose place it takes.
const FROM_PORT_LIMITED: &str = "from_port_limited";
/// Name of the program for taps where what the VM gets has a limit.
const TO_PORT_LIMITED: &str = "to_port_limited";
/// Name of the program for the shaper's far end.
const SHAPED: &str = "shaped";
/// Name of the program for the VXLAN device.
const FROM_TUNNEL: &str = "from_tunnel";
/// Name of the program for the agent's own device.
const INJECT: &str = "inject";

const PROGRAMS: [&str; 6] = [
    FROM_PORT,
    FROM_PORT_LIMITED,
    TO_PORT_LIMITED,
    SHAPED,
    FROM_TUNNEL,
    INJECT,
];

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
    /// A port is to be shaped before there is a shaper.
    #[error("cannot shape port {number}: the shaper's devices are not attached")]
    NoShaper {
        /// The port.
        number: u32,
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
    pub(crate) maps: KernelMaps,
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
        for program in PROGRAMS {
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
        self.settle(ifindex)
    }

    /// Attaches the programs that the limits of the ports behind a tap ask for. A program takes the
    /// place of another at once: no frame passes by none or by both.
    pub(crate) fn settle(&mut self, tap: u32) -> Result<(), AttachError> {
        let limited = self.limited(tap)?;
        let from_port = match limited.from_vm {
            true => FROM_PORT_LIMITED,
            false => FROM_PORT,
        };
        let pin = self.pin(FROM_PORT, tap);
        self.attach_by(pin, from_port, tap, TcAttachType::Ingress)?;
        match limited.to_vm {
            true => self.attach(TO_PORT_LIMITED, tap, TcAttachType::Egress),
            false => self.unpin(TO_PORT_LIMITED, tap),
        }
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

    /// Shapes by this pair of veth devices, both of this namespace: frames go in by the near one,
    /// whose queueing discipline has classes, and come back by the far one.
    pub fn attach_shaper(&mut self, near: u32, far: u32) -> Result<(), AttachError> {
        self.attach(SHAPED, far, TcAttachType::Ingress)?;
        let config = self.maps.config()?;
        self.maps.set_config(&Config {
            shaper_ifindex: near,
            ..config
        })?;
        Ok(())
    }

    /// Takes the frames that an [`crate::Injector`] writes into this device.
    pub fn attach_injection(&mut self, ifindex: u32) -> Result<(), AttachError> {
        self.attach(INJECT, ifindex, TcAttachType::Egress)
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
        self.unpin(FROM_PORT, ifindex)?;
        self.unpin(TO_PORT_LIMITED, ifindex)?;
        self.forget(ifindex)
    }

    /// Taps and sub-ports that are attached, also by an earlier process. Other numbers, such as
    /// routers', are not: nothing is attached there.
    pub fn attached_ports(&self) -> Result<Vec<u32>, MapsError> {
        let subports: BTreeSet<u32> = self.maps.subports()?.into_iter().map(|(n, _)| n).collect();
        let numbers = self.maps.ports()?.into_iter().map(|(number, _)| number);
        let attached = |n: &u32| *n != 0 && (n & PORT_VIRTUAL == 0 || subports.contains(n));
        Ok(numbers.filter(attached).collect())
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

    fn unpin(&self, program: &str, ifindex: u32) -> Result<(), AttachError> {
        let path = self.pin(program, ifindex);
        remove_pin(&path).map_err(|source| AttachError::Unpin { path, source })
    }

    fn attach(
        &mut self,
        name: &'static str,
        ifindex: u32,
        at: TcAttachType,
    ) -> Result<(), AttachError> {
        self.attach_by(self.pin(name, ifindex), name, ifindex, at)
    }

    /// Attaches by the pinned link if it still leads to the device, else by a new one.
    fn attach_by(
        &mut self,
        pin: PathBuf,
        name: &'static str,
        ifindex: u32,
        at: TcAttachType,
    ) -> Result<(), AttachError> {
        let device =
            name_of(ifindex).map_err(|source| AttachError::NoDevice { ifindex, source })?;
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
