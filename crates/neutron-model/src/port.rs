//! Port: a port of the bridge, linked to a host, to a router, or to nothing yet. Ports on networks of
//! type `uplink` are something else, see [`uplink`].

use crate::{
    Op, Refusal, State, dhcp_option, floating_ip, keys::Keying, network, next::Next,
    plan::check_fixed, policy, port_forwarding, router, router_interface, trunk, uplink,
};
use api::neutron::{AddressPair, Kind, Port, Resource, owner};
use ipnet::IpNet;
use std::{collections::BTreeSet, net::IpAddr};
use topology::{
    Address, BridgeId, GroupId, Instance, Link, Object, ObjectId, PolicyId, PortId, RouterId,
    Security, SubnetId, TunnelKey,
};
use uuid::Uuid;

pub(crate) fn put(port: &Port, state: &State) -> Result<Vec<Op>, Refusal> {
    let held = state.neutron.port(port.id);
    check_fixed("network_id", held.map(|p| p.network_id), port.network_id)?;
    check(port, state)?;
    let security = security(port)?;
    let kept = Resource::Port(port.clone());
    let next = Next::with(&kept, state);
    let mut keys = Keying::new(state);
    let mut ops = match state.neutron.network(port.network_id) {
        Some(network) if network::is_uplink(network) => {
            uplink::check(port)?;
            uplink::objects(port, network, next, &mut keys)?
        }
        network => {
            let policy = policy::of(port, network);
            vec![object(port, security, policy, &mut keys)?]
        }
    };
    for router in gateway_of(&[held, Some(port)]) {
        ops.extend(router::again(router, next, &mut keys)?);
    }
    ops.extend(keys.taken());
    ops.push(Op::Keep(kept));
    Ok(ops)
}

/// Neutron takes floating IPs and port forwardings off a deleted port by itself, and not always with
/// a request of their own.
pub(crate) fn delete(id: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    let name = (Kind::Port, id);
    let next = Next::without(Kind::Port, id, state);
    let mut keys = Keying::new(state);
    let mut ops = Vec::new();
    for forwarding in state.neutron.referrers(name, Kind::PortForwarding) {
        ops.extend(port_forwarding::delete(forwarding));
    }
    for fip in state.neutron.referrers(name, Kind::FloatingIp) {
        ops.extend(floating_ip::without_port(fip, state));
    }
    for router in gateway_of(&[state.neutron.port(id)]) {
        ops.extend(router::again(router, next, &mut keys)?);
    }
    ops.push(Op::Forget(Kind::Port, id));
    match state
        .neutron
        .port(id)
        .and_then(|p| next.network(p.network_id))
    {
        Some(network) if network::is_uplink(network) => ops.extend(uplink::gone(id, next)),
        _ => ops.push(Op::Delete(ObjectId::Port(PortId(id)))),
    }
    ops.extend(keys.taken());
    Ok(ops)
}

/// The routers that these are the gateway of.
fn gateway_of(ports: &[Option<&Port>]) -> BTreeSet<Uuid> {
    let ports = ports.iter().flatten();
    ports.filter_map(|port| router::of_gateway(port)).collect()
}

/// A floating IP's port only holds an address; it is not in the topology.
fn object(
    port: &Port,
    security: Option<Security>,
    policy: Option<PolicyId>,
    keys: &mut Keying<'_>,
) -> Result<Op, Refusal> {
    let id = ObjectId::Port(PortId(port.id));
    if port.device_owner == owner::FLOATING_IP {
        return Ok(Op::Delete(id));
    }
    let key = keys.key(id)?;
    let port = translate(port, key, security, policy)?;
    Ok(Op::Put(Object::Port(port)))
}

fn translate(
    port: &Port,
    key: TunnelKey,
    security: Option<Security>,
    policy: Option<PolicyId>,
) -> Result<topology::Port, Refusal> {
    Ok(topology::Port {
        id: PortId(port.id),
        name: port.name.clone(),
        bridge: Some(BridgeId(port.network_id)),
        admin_up: port.admin_state_up,
        mac: port.mac_address,
        outside: router::of_gateway(port).is_some(),
        addresses: port
            .fixed_ips
            .iter()
            .map(|fixed| Address {
                ip: fixed.ip_address,
                subnet: SubnetId(fixed.subnet_id),
            })
            .collect(),
        link: link(port),
        key,
        security,
        policy,
        instance: instance(port),
        dhcp_options: dhcp_option::translate(port)?,
    })
}

/// The server that Nova plugged it into.
fn instance(port: &Port) -> Option<Instance> {
    let project = port.project_id.as_ref().or(port.tenant_id.as_ref());
    let server = port.device_owner.starts_with(owner::COMPUTE_PREFIX) && !port.device_id.is_empty();
    server.then(|| Instance {
        id: port.device_id.clone(),
        project: project.cloned().unwrap_or_default(),
    })
}

fn link(port: &Port) -> Link {
    if let Some(router) = router_interface::router_of(port).or(router::of_gateway(port)) {
        return Link::Router(RouterId(router));
    }
    if port.device_owner == owner::ROUTER_GATEWAY || port.host_id.is_empty() {
        return Link::None;
    }
    Link::Host {
        host: port.host_id.clone(),
        interface: port.profile.interface_name.clone(),
        trunk: trunk::of(port),
        vlan: None,
    }
}

/// Ports of the network service itself are trusted, as in Neutron. A port without an owner is
/// not: anything may be plugged there.
fn security(port: &Port) -> Result<Option<Security>, Refusal> {
    let pairs = port.allowed_address_pairs.iter().enumerate();
    let pairs = pairs
        .map(|(i, pair)| address_pair(i, pair, port))
        .collect::<Result<_, _>>()?;
    if !port.port_security_enabled || port.device_owner.starts_with(owner::NETWORK_PREFIX) {
        return Ok(None);
    }
    let groups = port.security_groups.iter().copied().map(GroupId).collect();
    Ok(Some(Security { groups, pairs }))
}

fn address_pair(
    index: usize,
    pair: &AddressPair,
    port: &Port,
) -> Result<topology::AddressPair, Refusal> {
    let net = prefix(&pair.ip_address).map_err(|message| {
        Refusal::invalid(
            format!("allowed_address_pairs[{index}].ip_address"),
            message,
        )
    })?;
    Ok(topology::AddressPair {
        net,
        mac: pair.mac_address.unwrap_or(port.mac_address),
    })
}

/// A prefix, or one address as the prefix of itself. Host bits do not matter.
pub(crate) fn prefix(text: &str) -> Result<IpNet, String> {
    let net = text
        .parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    net.map(|net| net.trunc()).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        format!("'{shown}' is not an IP address or prefix")
    })
}

fn check(port: &Port, state: &State) -> Result<(), Refusal> {
    if port.mac_address.is_multicast() || port.mac_address.is_zero() {
        let message = format!("{} is not the address of one device", port.mac_address);
        return Err(Refusal::invalid("mac_address", message));
    }
    router_interface::check_device(port)?;
    trunk::check(port)?;
    for (i, fixed) in port.fixed_ips.iter().enumerate() {
        let Some(subnet) = state.neutron.subnet(fixed.subnet_id) else {
            continue;
        };
        if subnet.network_id != port.network_id {
            let message = format!("subnet {} is on network {}", subnet.id, subnet.network_id);
            return Err(Refusal::invalid(
                format!("fixed_ips[{i}].subnet_id"),
                message,
            ));
        }
        if !subnet.cidr.contains(&fixed.ip_address) {
            let message = format!("{} is not in {}", fixed.ip_address, subnet.cidr);
            return Err(Refusal::invalid(
                format!("fixed_ips[{i}].ip_address"),
                message,
            ));
        }
    }
    Ok(())
}
