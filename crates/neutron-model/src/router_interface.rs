//! Router interface: a port whose owner says so and whose device is the router.

use crate::{Op, Refusal, State, plan::put};
use api::neutron::{Kind, Port, Resource, owner};
use uuid::Uuid;

/// The router that a port is an interface of.
pub(crate) fn router_of(port: &Port) -> Option<Uuid> {
    is_interface(port)
        .then(|| port.device_id.parse().ok())
        .flatten()
}

/// An interface names its router by id.
pub(crate) fn check_device(port: &Port) -> Result<(), Refusal> {
    if is_interface(port) && router_of(port).is_none() {
        let message = format!(
            "a port owned by {} names its router here",
            port.device_owner
        );
        return Err(Refusal::invalid("device_id", message));
    }
    Ok(())
}

pub(crate) fn add(router: Uuid, port: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    if state.neutron.router(router).is_none() {
        return Err(Refusal::NotFound {
            kind: Kind::Router,
            id: router,
        });
    }
    let held = state
        .neutron
        .port(port)
        .ok_or_else(|| Refusal::UnknownReference {
            property: "port_id".to_owned(),
            kind: Kind::Port,
            id: port,
        })?;
    match router_of(held) {
        Some(other) if other != router => {
            return Err(Refusal::OtherRouter {
                port,
                router: other,
            });
        }
        Some(_) => return Ok(Vec::new()),
        None => {}
    }
    let mut changed = held.clone();
    changed.device_owner = owner::ROUTER_INTERFACE.to_owned();
    changed.device_id = router.to_string();
    put(&Resource::Port(changed), state)
}

/// Neutron deletes the port first and then asks for this; what is left to do is often nothing.
pub(crate) fn remove(router: Uuid, port: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    let Some(held) = state
        .neutron
        .port(port)
        .filter(|p| router_of(p) == Some(router))
    else {
        return Ok(Vec::new());
    };
    let mut changed = held.clone();
    changed.device_owner.clear();
    changed.device_id.clear();
    put(&Resource::Port(changed), state)
}

/// A port that is an interface of a router, or is to be one.
pub(crate) fn is_interface(port: &Port) -> bool {
    owner::ROUTER_INTERFACES.contains(&port.device_owner.as_str())
}
