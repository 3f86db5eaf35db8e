//! Router: a router. Its interfaces are ports that name it.

use crate::{Op, Refusal, State, plan::check_unused};
use api::neutron::{Kind, Resource, Router};
use topology::{Object, ObjectId, Route, RouterId};
use uuid::Uuid;

pub(crate) fn put(router: &Router) -> Result<Vec<Op>, Refusal> {
    check(router)?;
    let routes = router.routes.iter();
    let object = topology::Router {
        id: RouterId(router.id),
        name: router.name.clone(),
        admin_up: router.admin_state_up,
        routes: routes
            .map(|r| Route::via(r.destination.trunc(), r.nexthop))
            .collect(),
        key: 0,
        gateway: None,
    };
    Ok(vec![
        Op::Keep(Resource::Router(router.clone())),
        Op::Put(Object::Router(object)),
    ])
}

/// Interfaces and floating IPs keep a router from being deleted.
pub(crate) fn delete(id: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    check_unused((Kind::Router, id), Kind::Port, state)?;
    check_unused((Kind::Router, id), Kind::FloatingIp, state)?;
    Ok(vec![
        Op::Forget(Kind::Router, id),
        Op::Delete(ObjectId::Router(RouterId(id))),
    ])
}

fn check(router: &Router) -> Result<(), Refusal> {
    for (i, route) in router.routes.iter().enumerate() {
        if route.destination.addr().is_ipv4() != route.nexthop.is_ipv4() {
            let message = format!(
                "{} is not of the IP version of {}",
                route.nexthop, route.destination
            );
            return Err(Refusal::invalid(format!("routes[{i}].nexthop"), message));
        }
    }
    Ok(())
}
