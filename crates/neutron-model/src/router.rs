//! Router: a router. Its interfaces are ports that name it, and so is its gateway.

use crate::{Op, Refusal, State, keys::Keying, network, next::Next, plan::check_unused};
use api::neutron::{Kind, Port, Resource, Router, owner};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;
use topology::{Gateway, Object, ObjectId, PortId, Route, RouterId};
use uuid::Uuid;

pub(crate) fn put(router: &Router, state: &State) -> Result<Vec<Op>, Refusal> {
    check(router)?;
    let kept = Resource::Router(router.clone());
    let mut keys = Keying::new(state);
    let object = object(router, Next::with(&kept, state), &mut keys)?;
    let mut ops = vec![Op::Keep(kept), object];
    ops.extend(keys.taken());
    Ok(ops)
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

/// The router that a port is the gateway of.
pub(crate) fn of_gateway(port: &Port) -> Option<Uuid> {
    let is_gateway = port.device_owner == owner::ROUTER_GATEWAY;
    is_gateway.then(|| port.device_id.parse().ok()).flatten()
}

/// What a change of a port, or of a subnet, makes of the router that it is the gateway of.
pub(crate) fn again(id: Uuid, next: Next<'_>, keys: &mut Keying<'_>) -> Result<Vec<Op>, Refusal> {
    let router = next.state.neutron.router(id);
    let op = router
        .map(|router| object(router, next, keys))
        .transpose()?;
    Ok(op.into_iter().collect())
}

fn object(router: &Router, next: Next<'_>, keys: &mut Keying<'_>) -> Result<Op, Refusal> {
    let id = RouterId(router.id);
    let gateway = gateway(router, next);
    let extra = router.routes.iter();
    let mut routes: Vec<Route> = extra
        .map(|r| Route::via(r.destination.trunc(), r.nexthop))
        .collect();
    // an extra route for everything is instead of the gateway's, as in Neutron
    let defaults = gateway.map(|port| default_routes(port, next));
    let defaults = defaults.into_iter().flatten();
    let wanted: Vec<Route> = defaults
        .filter(|d| routes.iter().all(|r| r.destination != d.destination))
        .collect();
    routes.extend(wanted);
    let info = router.external_gateway_info.as_ref();
    Ok(Op::Put(Object::Router(topology::Router {
        id,
        name: router.name.clone(),
        admin_up: router.admin_state_up,
        routes,
        key: keys.key(ObjectId::Router(id))?,
        gateway: gateway.map(|port| Gateway {
            port: PortId(port.id),
            snat: info.is_none_or(|info| info.enable_snat),
        }),
    })))
}

/// Its gateway's port, if both say so: Neutron makes the one after the other.
fn gateway<'a>(router: &Router, next: Next<'a>) -> Option<&'a Port> {
    let port = next.port(router.gw_port_id?)?;
    let is_outside = next
        .network(port.network_id)
        .is_some_and(network::is_uplink);
    (of_gateway(port) == Some(router.id) && !is_outside).then_some(port)
}

/// One for each family: by way of the first subnet that has a gateway of its own.
fn default_routes<'a>(port: &'a Port, next: Next<'a>) -> impl Iterator<Item = Route> + 'a {
    let nexthops = port
        .fixed_ips
        .iter()
        .filter_map(move |fixed| next.subnet(fixed.subnet_id)?.gateway_ip);
    let first = |v4: bool| nexthops.clone().find(move |ip| ip.is_ipv4() == v4);
    let routes = [first(true), first(false)].into_iter().flatten();
    routes.map(|ip| Route::via(everything(ip), ip))
}

fn everything(like: IpAddr) -> IpNet {
    match like {
        IpAddr::V4(_) => Ipv4Net::default().into(),
        IpAddr::V6(_) => Ipv6Net::default().into(),
    }
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
