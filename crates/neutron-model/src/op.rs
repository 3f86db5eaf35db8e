//! The steps that carry a request out.

use api::neutron::{Kind, Resource};
use topology::{Object, ObjectId, TunnelKey};
use uuid::Uuid;

/// One step. All steps of a request are one transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Keep a Neutron resource.
    Keep(Resource),
    /// Keep a Neutron resource no longer.
    Forget(Kind, Uuid),
    /// The topology gets this object.
    Put(Object),
    /// The topology loses this object.
    Delete(ObjectId),
    /// This tunnel key was given out; the next search starts after it.
    KeyTaken(TunnelKey),
}
