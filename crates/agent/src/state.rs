//! The state directory: what the agent remembers over a restart.
//!
//! `host-id` is this host's identity. `topology.json` is the last topology, so that a restarted agent
//! works while the cluster is away; `topology.log` has the steps since then, one a line.
//! `contact.json` says when the cluster was last heard. `bindings.json` holds what `mm-ctl` bound explicitly.

use crate::leases::Noted;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};
use topology::{Change, HostId, PortId, Snapshot, Versioned};
use uuid::Uuid;

/// Explicit bindings kept at most; a host has far fewer interfaces.
pub const BINDINGS_MAX: usize = 10_000;

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {error}")]
pub struct StateError {
    action: &'static str,
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// The state directory.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

/// As long as it lives, no other process uses the state directory and what belongs to it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Explicit bindings: the interface of each port that `mm-ctl` bound.
pub type Bindings = BTreeMap<PortId, String>;

/// A topology and where it came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// The cluster's store that counted `revision`.
    pub instance: Option<Uuid>,
    /// What it has reached.
    pub revision: u64,
    /// The topology.
    pub snapshot: Snapshot,
}

/// What changed from one revision to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The cluster's store that counted `revision`.
    pub instance: Uuid,
    /// The revision that it leads to.
    pub revision: u64,
    /// What changed.
    pub changes: Vec<Change>,
}

#[derive(Serialize, Deserialize)]
struct TopologyFile {
    instance: Option<Uuid>,
    revision: u64,
    objects: Vec<Versioned>,
}

impl StateDir {
    /// Opens it; it is made if need be.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let dir = Self(path.to_owned());
        fs::create_dir_all(path).map_err(|error| dir.failed("make", "", error))?;
        Ok(dir)
    }

    /// Makes sure that this process is the only agent of the state directory.
    pub fn lock(&self) -> Result<Lock, StateError> {
        let locked = File::create(self.0.join("lock")).and_then(|file| {
            file.try_lock().map_err(|error| match error {
                TryLockError::Error(error) => error,
                TryLockError::WouldBlock => io::Error::other("another midonet-agent has it"),
            })?;
            Ok(Lock { _file: file })
        });
        locked.map_err(|error| self.failed("lock", "lock", error))
    }

    /// When the cluster was last heard, as far as it was noted.
    pub fn contact(&self) -> Result<Option<Noted>, StateError> {
        self.read("contact.json")
    }

    /// Notes when the cluster was last heard.
    pub fn save_contact(&self, noted: &Noted) -> Result<(), StateError> {
        self.write("contact.json", noted)
    }

    /// This host's identity, made on first use.
    pub fn host_id(&self) -> Result<HostId, StateError> {
        let path = self.0.join("host-id");
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|error| {
                self.failed(
                    "read",
                    "host-id",
                    io::Error::new(io::ErrorKind::InvalidData, error),
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = HostId(Uuid::new_v4());
                self.replace("host-id", format!("{id}\n").as_bytes())?;
                Ok(id)
            }
            Err(error) => Err(self.failed("read", "host-id", error)),
        }
    }

    /// The last saved topology, if there is one.
    pub fn topology(&self) -> Result<Option<Saved>, StateError> {
        let Some(file) = self.read::<TopologyFile>("topology.json")? else {
            return Ok(None);
        };
        let mut snapshot = Snapshot::default();
        for object in file.objects {
            snapshot.apply(Change::Put(object));
        }
        let mut saved = Saved {
            instance: file.instance,
            revision: file.revision,
            snapshot,
        };
        self.replay(&mut saved)?;
        Ok(Some(saved))
    }

    /// Steps of another store, or that the whole has already, are from before it was written; a line
    /// that cannot be read was cut short, and nothing comes after it.
    fn replay(&self, saved: &mut Saved) -> Result<(), StateError> {
        let log = match fs::read_to_string(self.0.join("topology.log")) {
            Ok(log) => log,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.failed("read", "topology.log", error)),
        };
        let steps = log
            .lines()
            .map_while(|line| serde_json::from_str(line).ok());
        let (instance, revision) = (saved.instance, saved.revision);
        let newer = |step: &Step| Some(step.instance) == instance && step.revision > revision;
        for step in steps.filter(newer).collect::<Vec<_>>() {
            for change in step.changes {
                saved.snapshot.apply(change);
            }
            saved.revision = step.revision;
        }
        Ok(())
    }

    /// Keeps a topology.
    pub fn save_topology(
        &self,
        instance: Option<Uuid>,
        revision: u64,
        snapshot: &Snapshot,
    ) -> Result<(), StateError> {
        let file = TopologyFile {
            instance,
            revision,
            objects: snapshot.objects().collect(),
        };
        self.write("topology.json", &file)?;
        match fs::remove_file(self.0.join("topology.log")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove", "topology.log", error))
            }
            _ => Ok(()),
        }
    }

    /// Keeps steps that lead on from what was kept last.
    pub fn append_topology(&self, steps: &[Step]) -> Result<(), StateError> {
        let failed = |error| self.failed("extend", "topology.log", error);
        let mut lines = Vec::new();
        for step in steps {
            serde_json::to_writer(&mut lines, step).map_err(|e| failed(e.into()))?;
            lines.push(b'\n');
        }
        let path = self.0.join("topology.log");
        let log = File::options().create(true).append(true).open(path);
        log.and_then(|mut log| log.write_all(&lines).and_then(|()| log.sync_data()))
            .map_err(failed)
    }

    /// Explicit bindings; none if none were saved.
    pub fn bindings(&self) -> Result<Bindings, StateError> {
        Ok(self.read("bindings.json")?.unwrap_or_default())
    }

    /// Keeps explicit bindings.
    pub fn save_bindings(&self, bindings: &Bindings) -> Result<(), StateError> {
        if bindings.len() > BINDINGS_MAX {
            let error = io::Error::other("too many bindings; unbind what is gone");
            return Err(self.failed("extend", "bindings.json", error));
        }
        self.write("bindings.json", bindings)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        match fs::read(self.0.join(name)) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| self.failed("read", name, error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", name, error)),
        }
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(value).map_err(|e| self.failed("write", name, e.into()))?;
        self.replace(name, &bytes)
    }

    /// Puts a file in place whole or not at all, also when the power goes.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let temporary = self.0.join(format!("{name}.new"));
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, self.0.join(name)))
            .and_then(|()| File::open(&self.0)?.sync_all());
        written.map_err(|error| self.failed("write", name, error))
    }

    fn failed(&self, action: &'static str, name: &str, error: io::Error) -> StateError {
        StateError {
            action,
            path: self.0.join(name),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology::{Bridge, BridgeId, Object};

    #[test]
    fn only_one_agent_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let lock = state.lock().unwrap();
        assert!(
            state
                .lock()
                .unwrap_err()
                .to_string()
                .contains("another midonet-agent")
        );
        drop(lock);
        state.lock().unwrap();
    }

    #[test]
    fn everything_comes_back_and_damage_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("midonet")).unwrap();
        assert_eq!(state.host_id().unwrap(), state.host_id().unwrap());
        assert!(state.topology().unwrap().is_none());

        let bridge = Bridge {
            id: BridgeId(Uuid::from_u128(1)),
            name: "net".into(),
            admin_up: true,
            mtu: 1450,
            flood_key: 7,
        };
        let snapshot = Snapshot::of([Object::Bridge(bridge.clone())]);
        state
            .save_topology(Some(Uuid::nil()), 9, &snapshot)
            .unwrap();
        let saved = state.topology().unwrap().unwrap();
        assert_eq!(
            saved,
            Saved {
                instance: Some(Uuid::nil()),
                revision: 9,
                snapshot
            }
        );

        let step = |instance, revision, mtu| {
            let object = Object::Bridge(Bridge {
                mtu,
                ..bridge.clone()
            });
            let changes = vec![Change::Put(Versioned { revision, object })];
            Step {
                instance,
                revision,
                changes,
            }
        };
        let other = Uuid::from_u128(9);
        let steps = [
            step(Uuid::nil(), 9, 1000),
            step(other, 10, 2000),
            step(Uuid::nil(), 10, 3000),
        ];
        state.append_topology(&steps).unwrap();
        let log = dir.path().join("midonet/topology.log");
        let cut = fs::read(&log).unwrap().repeat(2);
        fs::write(&log, &cut[..cut.len() - 5]).unwrap();
        let saved = state.topology().unwrap().unwrap();
        assert_eq!(saved.revision, 10);
        assert_eq!(saved.snapshot.bridge(bridge.id).unwrap().mtu, 3000);
        let whole = &saved.snapshot;
        state.save_topology(Some(other), 3, whole).unwrap();
        assert!(!log.exists(), "the steps are of another topology");

        let bindings = Bindings::from([(PortId(Uuid::from_u128(2)), "tap0".to_owned())]);
        state.save_bindings(&bindings).unwrap();
        assert_eq!(state.bindings().unwrap(), bindings);

        fs::write(dir.path().join("midonet/topology.json"), "{").unwrap();
        assert!(
            state
                .topology()
                .unwrap_err()
                .to_string()
                .contains("topology.json")
        );
    }
}
