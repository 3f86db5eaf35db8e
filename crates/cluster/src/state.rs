//! What the cluster holds in memory, and the keys and values it is stored under.

use api::neutron::{Kind, Resource};
use neutron_model::{Op, State};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, net::IpAddr};
use store::{Entry, Revision, Scan, Transaction};
use topology::{Host, HostId, Object, ObjectId};
use uuid::Uuid;

/// Identity of the store: what revisions are relative to.
pub const INSTANCE: &str = "/meta/instance";
/// The process that may write. Each one takes it when it starts; who lost it must not write.
pub const WRITER: &str = "/meta/writer";
const KEY_TAKEN: &str = "/keys/last";

/// A host as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Made by its agent on first start.
    pub id: HostId,
    /// What Neutron calls it.
    pub name: String,
    /// Underlay address as its agent says.
    pub reported: IpAddr,
    /// Underlay address as an operator says.
    pub overridden: Option<IpAddr>,
    /// Availability zone as its agent says; empty if it says none.
    #[serde(default)]
    pub zone: String,
    /// An operator wants no traffic by its uplinks.
    #[serde(default)]
    pub draining: bool,
}

impl HostRecord {
    /// Underlay address that others send to.
    pub fn tunnel(&self) -> IpAddr {
        self.overridden.unwrap_or(self.reported)
    }

    fn object(&self) -> Object {
        Object::Host(Host {
            id: self.id,
            name: self.name.clone(),
            tunnel: self.tunnel(),
            draining: self.draining,
        })
    }
}

/// Everything, at one revision.
#[derive(Debug, Default)]
pub struct Held {
    /// Revision of the store.
    pub revision: Revision,
    /// Neutron resources and topology.
    pub state: State,
    /// Hosts by id.
    pub hosts: BTreeMap<HostId, HostRecord>,
}

/// One step of a transaction.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every step is of the large kind"
)]
pub enum Step {
    /// Of a Neutron resource and its topology.
    Op(Op),
    /// A host registers, or changes.
    PutHost(HostRecord),
    /// A host goes.
    DeleteHost(HostId),
}

/// Something in the store cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("store: {key} cannot be read: {reason}")]
pub struct Unreadable {
    /// The key.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl Held {
    /// What a whole scan of the store says.
    pub fn load(scan: Scan) -> Result<Self, Unreadable> {
        let mut held = Self {
            revision: scan.revision,
            ..Self::default()
        };
        for entry in scan.entries {
            if let Some(step) = read(&entry)? {
                held.apply(step, entry.revision);
            }
        }
        Ok(held)
    }

    /// Makes one step, written at this revision.
    pub fn apply(&mut self, step: Step, revision: Revision) {
        match step {
            Step::Op(op) => {
                self.state.apply(op, revision);
            }
            Step::PutHost(record) => {
                self.state.apply(Op::Put(record.object()), revision);
                self.hosts.insert(record.id, record);
            }
            Step::DeleteHost(id) => {
                self.state.apply(Op::Delete(ObjectId::Host(id)), revision);
                self.hosts.remove(&id);
            }
        }
        self.revision = self.revision.max(revision);
    }

    /// The host of this name.
    pub fn host_named(&self, name: &str) -> Option<&HostRecord> {
        self.hosts.values().find(|host| host.name == name)
    }
}

/// Adds a step to a transaction.
pub fn write(step: &Step, to: &mut Transaction) -> serde_json::Result<()> {
    match step {
        Step::Op(Op::Keep(resource)) => to.put(
            neutron_key(resource.kind(), resource.id()),
            serde_json::to_vec(resource)?,
        ),
        Step::Op(Op::Forget(kind, id)) => to.delete(neutron_key(*kind, *id)),
        Step::Op(Op::Put(object)) => to.put(topology_key(object.id()), serde_json::to_vec(object)?),
        Step::Op(Op::Delete(id)) => to.delete(topology_key(*id)),
        Step::Op(Op::KeyTaken(key)) => to.put(KEY_TAKEN, serde_json::to_vec(key)?),
        Step::PutHost(record) => to.put(host_key(record.id), serde_json::to_vec(record)?),
        Step::DeleteHost(id) => to.delete(host_key(*id)),
    };
    Ok(())
}

fn neutron_key(kind: Kind, id: Uuid) -> String {
    format!("/neutron/{}/{id}", kind.name())
}

fn topology_key(id: ObjectId) -> String {
    format!("/topology/{id}")
}

fn host_key(id: HostId) -> String {
    format!("/host/{id}")
}

/// The step that an entry stands for; none for what the store says of itself.
fn read(entry: &Entry) -> Result<Option<Step>, Unreadable> {
    let mut parts = entry.key.trim_start_matches('/').splitn(3, '/');
    let step = match (parts.next(), parts.next()) {
        (Some("meta"), _) => return Ok(None),
        (Some("neutron"), Some(name)) => {
            let kind = Kind::ALL.into_iter().find(|k| k.name() == name);
            let kind = kind.ok_or_else(|| unreadable(entry, "no such kind"))?;
            let resource = Resource::decode(kind, json(entry)?);
            Step::Op(Op::Keep(resource.map_err(|e| unreadable(entry, e))?))
        }
        (Some("topology"), Some(_)) => Step::Op(Op::Put(json(entry)?)),
        (Some("keys"), Some("last")) => Step::Op(Op::KeyTaken(json(entry)?)),
        (Some("host"), Some(_)) => Step::PutHost(json(entry)?),
        _ => return Err(unreadable(entry, "this program knows no such key")),
    };
    Ok(Some(step))
}

fn json<T: DeserializeOwned>(entry: &Entry) -> Result<T, Unreadable> {
    serde_json::from_slice(&entry.value).map_err(|error| unreadable(entry, error))
}

fn unreadable(entry: &Entry, reason: impl ToString) -> Unreadable {
    Unreadable {
        key: entry.key.clone(),
        reason: reason.to_string(),
    }
}
