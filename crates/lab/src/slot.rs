//! Slots: who owns which names and addresses, and cleaning up after an owner that is gone.
//!
//! A slot is a number with a lock file. The lock goes with its process, however that ends, so a
//! slot that can be locked has no owner, and what bears its name is left over.

use crate::{LabError, Netns, error::Context, openstack, process, programs::ip};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

/// Slots of labs that live as long as their process.
const SLOTS: u8 = 200;
/// The slot of the demo, which outlives the program that starts it.
const DEMO_SLOT: u8 = 250;
/// Where agents pin their maps, one folder per agent.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";
/// How long processes of a namespace get to be gone once they are killed.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A slot that is ours.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u8,
    dir: PathBuf,
    /// Holds the lock; the demo has none.
    _lock: Option<File>,
}

impl Slot {
    /// Takes a free slot, and sweeps every slot whose owner is gone.
    pub(crate) fn take() -> Result<Self, LabError> {
        let root = root();
        fs::create_dir_all(&root).what(|| format!("making {}", root.display()))?;
        let mut taken = None;
        for number in 0..SLOTS {
            let path = root.join(format!("{number}.lock"));
            let known = path.exists();
            if taken.is_some() && !known {
                break;
            }
            let lock = File::create(&path).what(|| format!("opening {}", path.display()))?;
            if lock.try_lock().is_err() {
                continue;
            }
            let slot = Self::new(number, root.join(number.to_string()), Some(lock));
            if known {
                slot.sweep()?;
            }
            taken.get_or_insert(slot);
        }
        let slot = taken.ok_or(LabError::NoSlot { slots: SLOTS })?;
        fs::create_dir_all(&slot.dir).what(|| format!("making {}", slot.dir.display()))?;
        Ok(slot)
    }

    /// The demo's slot, with its files in `dir`; there is one demo on a machine at a time.
    pub(crate) fn demo(dir: &Path) -> Result<Self, LabError> {
        match fs::read_to_string(demo_owner()).map(PathBuf::from) {
            Ok(other) if other != dir && other.exists() => Err(LabError::OtherDemo { dir: other }),
            _ => Ok(Self::new(DEMO_SLOT, dir.to_owned(), None)),
        }
    }

    /// Makes the slot's folder, and lets others know whose demo there is.
    pub(crate) fn claim_demo(&self) -> Result<(), LabError> {
        for dir in [&self.dir, &root()] {
            fs::create_dir_all(dir).what(|| format!("making {}", dir.display()))?;
        }
        let owner = demo_owner();
        fs::write(&owner, self.dir.as_os_str().as_encoded_bytes())
            .what(|| format!("writing {}", owner.display()))
    }

    fn new(number: u8, dir: PathBuf, lock: Option<File>) -> Self {
        Self {
            number,
            dir,
            _lock: lock,
        }
    }

    /// The number; part of addresses.
    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// Where the lab's files are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the lab outlives its process.
    pub(crate) fn stays(&self) -> bool {
        self._lock.is_none()
    }

    /// What the names of its namespaces and pin folders begin with.
    pub(crate) fn prefix(&self) -> String {
        match self.number {
            DEMO_SLOT => "mndemo-".to_owned(),
            number => format!("mnl{number}-"),
        }
    }

    /// Where sockets of FRR are: a path that every user may walk.
    pub(crate) fn frr_dir(&self) -> PathBuf {
        root().join(format!("{}frr", self.prefix()))
    }

    /// The control side's interface on the underlay.
    pub(crate) fn uplink(&self) -> String {
        format!("{}ctl", self.prefix())
    }

    /// Ends the processes of this slot and removes everything that bears its name.
    pub(crate) fn sweep(&self) -> Result<(), LabError> {
        openstack::remove_from(&self.dir)?;
        process::kill_recorded(&self.dir);
        let namespaces = Netns::list(&self.prefix());
        let mut ended = Vec::new();
        for namespace in &namespaces {
            ended.extend(namespace.pids());
        }
        process::kill_all(&ended, KILL_LIMIT);
        for namespace in &namespaces {
            namespace.remove()?;
        }
        // it goes with its peer; this is for the moment before the peer was moved
        let _ = ip(&format!("link del {}", self.uplink()));
        self.unpin();
        remove(&self.frr_dir())?;
        remove(&self.dir)
    }

    /// Removes what agents of this slot have pinned; their programs go with the pins.
    fn unpin(&self) {
        let folder = Path::new(BPFFS).join("midonet");
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(&self.prefix())
            {
                // what cannot be removed is found again by the next sweep
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Removes a folder that may not be there.
fn remove(dir: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).what(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Names the folder of the demo that is there.
fn demo_owner() -> PathBuf {
    root().join("demo")
}

/// Where the files of all labs are.
fn root() -> PathBuf {
    std::env::temp_dir().join("midonet-lab")
}
