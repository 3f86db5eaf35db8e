//! From a request to the steps that carry it out.

use crate::{
    Op, Refusal, State, address_group, floating_ip, network, policy, port, port_forwarding,
    reference::references, router, router_interface, security_group, security_group_rule, subnet,
};
use api::neutron::{Kind, Resource};
use uuid::Uuid;

/// What may be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Keep a new resource.
    Create(Resource),
    /// Replace a resource.
    Update(Resource),
    /// Drop a resource; one that is not there is fine.
    Delete(Kind, Uuid),
    /// Make a port an interface of a router.
    AddInterface {
        /// The router.
        router: Uuid,
        /// The port.
        port: Uuid,
    },
    /// Make a port an interface of a router no longer; a port that is gone is fine.
    RemoveInterface {
        /// The router.
        router: Uuid,
        /// The port.
        port: Uuid,
    },
}

/// The steps that carry a request out; none if everything is so already.
pub fn plan(request: &Request, state: &State) -> Result<Vec<Op>, Refusal> {
    let mut ops = match request {
        Request::Create(resource) => {
            check_new(resource, state)?;
            put(resource, state)?
        }
        Request::Update(resource) => {
            check_revision(resource, state)?;
            put(resource, state)?
        }
        Request::Delete(kind, id) => delete(*kind, *id, state)?,
        Request::AddInterface { router, port } => router_interface::add(*router, *port, state)?,
        Request::RemoveInterface { router, port } => {
            router_interface::remove(*router, *port, state)?
        }
    };
    ops.retain(|op| !state.has(op));
    Ok(ops)
}

/// The steps that make a resource what the request says, whatever it was before.
pub(crate) fn put(resource: &Resource, state: &State) -> Result<Vec<Op>, Refusal> {
    for reference in references(resource) {
        if state.neutron.stored(reference.kind, reference.id).is_none() {
            let (property, kind, id) = (reference.property, reference.kind, reference.id);
            return Err(Refusal::UnknownReference { property, kind, id });
        }
    }
    match resource {
        Resource::QosPolicy(r) => policy::put(r),
        Resource::Network(r) => network::put(r, state),
        Resource::Subnet(r) => subnet::put(r, state),
        Resource::AddressGroup(r) => address_group::put(r),
        Resource::SecurityGroup(r) => security_group::put(r, state),
        Resource::SecurityGroupRule(r) => security_group_rule::put(r, state),
        Resource::Router(r) => router::put(r, state),
        Resource::Port(r) => port::put(r, state),
        Resource::FloatingIp(r) => floating_ip::put(r, state),
        Resource::PortForwarding(r) => port_forwarding::put(r, state),
    }
}

fn delete(kind: Kind, id: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    if state.neutron.stored(kind, id).is_none() {
        return Ok(Vec::new());
    }
    match kind {
        Kind::QosPolicy => policy::delete(id, state),
        Kind::Network => network::delete(id, state),
        Kind::Subnet => subnet::delete(id, state),
        Kind::AddressGroup => address_group::delete(id, state),
        Kind::SecurityGroup => security_group::delete(id, state),
        Kind::SecurityGroupRule => security_group_rule::delete(id, state),
        Kind::Router => router::delete(id, state),
        Kind::Port => port::delete(id, state),
        Kind::FloatingIp => Ok(floating_ip::delete(id, state)),
        Kind::PortForwarding => Ok(port_forwarding::delete(id)),
    }
}

fn check_new(resource: &Resource, state: &State) -> Result<(), Refusal> {
    let (kind, id) = (resource.kind(), resource.id());
    match state.neutron.stored(kind, id) {
        Some(_) => Err(Refusal::Exists { kind, id }),
        None => Ok(()),
    }
}

/// The same revision again is accepted: it is a retry of a request whose answer was lost.
fn check_revision(resource: &Resource, state: &State) -> Result<(), Refusal> {
    let (kind, id) = (resource.kind(), resource.id());
    let held = state
        .neutron
        .stored(kind, id)
        .ok_or(Refusal::NotFound { kind, id })?;
    match (resource.revision_number(), held.revision_number()) {
        (Some(given), Some(stored)) if given < stored => Err(Refusal::Stale {
            kind,
            id,
            given,
            stored,
        }),
        _ => Ok(()),
    }
}

/// Refuses if a resource of kind `user_kind` needs this one.
pub(crate) fn check_unused(
    target: (Kind, Uuid),
    user_kind: Kind,
    state: &State,
) -> Result<(), Refusal> {
    let (kind, id) = target;
    match state.neutron.referrers(target, user_kind).next() {
        Some(user) => Err(Refusal::InUse {
            kind,
            id,
            user_kind,
            user,
        }),
        None => Ok(()),
    }
}

/// Refuses a change of a field that is fixed when the resource is made.
pub(crate) fn check_fixed<T: PartialEq>(
    property: &str,
    held: Option<T>,
    given: T,
) -> Result<(), Refusal> {
    if held.is_some_and(|held| held != given) {
        return Err(Refusal::invalid(property, "cannot change"));
    }
    Ok(())
}
