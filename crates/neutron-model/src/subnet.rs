//! Subnet: a subnet of the bridge.

use crate::{
    Op, Refusal, State,
    keys::Keying,
    network,
    next::Next,
    plan::{check_fixed, check_unused},
    router, uplink,
};
use api::neutron::{Ipv6Mode, Kind, Resource, Route, Subnet};
use ipnet::IpNet;
use std::net::IpAddr;
use topology::{BridgeId, HostRoute, Object, ObjectId, SubnetId};
use uuid::Uuid;

pub(crate) fn put(subnet: &Subnet, state: &State) -> Result<Vec<Op>, Refusal> {
    let held = state.neutron.subnet(subnet.id);
    check_fixed("network_id", held.map(|s| s.network_id), subnet.network_id)?;
    check(subnet)?;
    let kept = Resource::Subnet(subnet.clone());
    let mut keys = Keying::new(state);
    let ports = again(subnet, Next::with(&kept, state), &mut keys)?;
    let mut ops = vec![Op::Keep(kept)];
    if !state
        .neutron
        .network(subnet.network_id)
        .is_some_and(network::is_uplink)
    {
        ops.push(Op::Put(Object::Subnet(translate(subnet))));
    }
    ops.extend(ports);
    ops.extend(keys.taken());
    Ok(ops)
}

/// What the subnet makes of routers that have their gateway or an uplink on it.
fn again(subnet: &Subnet, next: Next<'_>, keys: &mut Keying<'_>) -> Result<Vec<Op>, Refusal> {
    let mut ops = Vec::new();
    let Some(network) = next.network(subnet.network_id) else {
        return Ok(ops);
    };
    let name = (Kind::Subnet, subnet.id);
    let ports = next.state.neutron.referrers(name, Kind::Port);
    for port in ports.filter_map(|id| next.port(id)) {
        if network::is_uplink(network) {
            ops.extend(uplink::objects(port, network, next, keys)?);
        } else if let Some(router) = router::of_gateway(port) {
            ops.extend(router::again(router, next, keys)?);
        }
    }
    Ok(ops)
}

pub(crate) fn delete(id: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    check_unused((Kind::Subnet, id), Kind::Port, state)?;
    let object = ObjectId::Subnet(SubnetId(id));
    Ok(vec![Op::Forget(Kind::Subnet, id), Op::Delete(object)])
}

fn translate(subnet: &Subnet) -> topology::Subnet {
    topology::Subnet {
        id: SubnetId(subnet.id),
        bridge: BridgeId(subnet.network_id),
        cidr: subnet.cidr.trunc(),
        gateway: subnet.gateway_ip,
        dhcp: subnet.enable_dhcp,
        dns: subnet.dns_nameservers.clone(),
        host_routes: subnet.host_routes.iter().map(host_route).collect(),
        ipv6_mode: subnet.ipv6_ra_mode.map(mode),
        ipv6_address_mode: subnet.ipv6_address_mode.map(mode),
    }
}

fn host_route(route: &Route) -> HostRoute {
    HostRoute {
        destination: route.destination.trunc(),
        nexthop: route.nexthop,
    }
}

fn mode(mode: Ipv6Mode) -> topology::Ipv6Mode {
    match mode {
        Ipv6Mode::Slaac => topology::Ipv6Mode::Slaac,
        Ipv6Mode::Dhcpv6Stateless => topology::Ipv6Mode::Dhcpv6Stateless,
        Ipv6Mode::Dhcpv6Stateful => topology::Ipv6Mode::Dhcpv6Stateful,
    }
}

fn check(subnet: &Subnet) -> Result<(), Refusal> {
    let version = if subnet.cidr.addr().is_ipv4() { 4 } else { 6 };
    if subnet.ip_version.is_some_and(|v| v != version) {
        let message = format!("cidr {} is of IP version {version}", subnet.cidr);
        return Err(Refusal::invalid("ip_version", message));
    }
    if subnet.cidr != subnet.cidr.trunc() {
        let message = format!("{} has host bits set", subnet.cidr);
        return Err(Refusal::invalid("cidr", message));
    }
    let same = |property: &str, ip: IpAddr| same_family(property, subnet.cidr, ip);
    subnet
        .gateway_ip
        .map_or(Ok(()), |ip| same("gateway_ip", ip))?;
    for (i, route) in subnet.host_routes.iter().enumerate() {
        same(
            &format!("host_routes[{i}].destination"),
            route.destination.addr(),
        )?;
        same(&format!("host_routes[{i}].nexthop"), route.nexthop)?;
    }
    for (i, pool) in subnet.allocation_pools.iter().enumerate() {
        same(&format!("allocation_pools[{i}].start"), pool.start)?;
        same(&format!("allocation_pools[{i}].end"), pool.end)?;
    }
    let modes = [
        ("ipv6_ra_mode", subnet.ipv6_ra_mode),
        ("ipv6_address_mode", subnet.ipv6_address_mode),
    ];
    match modes
        .iter()
        .find(|(_, mode)| version == 4 && mode.is_some())
    {
        Some((property, _)) => Err(Refusal::invalid(*property, "the subnet is of IP version 4")),
        None => Ok(()),
    }
}

fn same_family(property: &str, cidr: IpNet, ip: IpAddr) -> Result<(), Refusal> {
    if cidr.addr().is_ipv4() == ip.is_ipv4() {
        return Ok(());
    }
    Err(Refusal::invalid(
        property,
        format!("{ip} is not of the IP version of {cidr}"),
    ))
}
