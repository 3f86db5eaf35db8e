//! Port: a port of the bridge, linked to a host, to a router, or to nothing yet.

use crate::{Op, Refusal, State, network, plan::check_fixed, policy, router_interface, trunk};
use api::neutron::{AddressPair, Kind, Port, Resource, owner};
use ipnet::IpNet;
use std::net::IpAddr;
use topology::{
    Address, BridgeId, GroupId, Instance, Link, Object, ObjectId, PolicyId, PortId, Security,
    SubnetId, TunnelKey,
};
use uuid::Uuid;

pub(crate) fn put(port: &Port, state: &State) -> Result<Vec<Op>, Refusal> {
    let held = state.neutron.port(port.id);
    check_fixed("network_id", held.map(|p| p.network_id), port.network_id)?;
    check(port, state)?;
    let security = security(port)?;
    let mut ops = vec![Op::Keep(Resource::Port(port.clone()))];
    let id = ObjectId::Port(PortId(port.id));
    if !is_in_topology(port, state) {
        ops.push(Op::Delete(id));
        return Ok(ops);
    }
    let key = match state.key_of(id) {
        Some(key) => key,
        None => {
            let key = state.keys.next()?;
            ops.push(Op::KeyTaken(key));
            key
        }
    };
    let policy = policy::of(port, state.neutron.network(port.network_id));
    ops.push(Op::Put(Object::Port(translate(
        port, key, security, policy,
    ))));
    Ok(ops)
}

/// Neutron takes floating IPs off a deleted port by itself, without a request of their own.
pub(crate) fn delete(id: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    let mut ops = Vec::new();
    for fip in state.neutron.referrers((Kind::Port, id), Kind::FloatingIp) {
        let Some(fip) = state.neutron.floating_ip(fip) else {
            continue;
        };
        let mut fip = fip.clone();
        (fip.port_id, fip.router_id, fip.fixed_ip_address) = (None, None, None);
        ops.push(Op::Keep(Resource::FloatingIp(fip)));
    }
    ops.push(Op::Forget(Kind::Port, id));
    ops.push(Op::Delete(ObjectId::Port(PortId(id))));
    Ok(ops)
}

/// A floating IP's port only holds an address; an uplink's ports are outside.
fn is_in_topology(port: &Port, state: &State) -> bool {
    let uplink = state
        .neutron
        .network(port.network_id)
        .is_some_and(network::is_uplink);
    port.device_owner != owner::FLOATING_IP && !uplink
}

fn translate(
    port: &Port,
    key: TunnelKey,
    security: Option<Security>,
    policy: Option<PolicyId>,
) -> topology::Port {
    topology::Port {
        id: PortId(port.id),
        name: port.name.clone(),
        bridge: Some(BridgeId(port.network_id)),
        admin_up: port.admin_state_up,
        mac: port.mac_address,
        outside: false,
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
        dhcp_options: vec![],
    }
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

/// A router's gateway port stays unlinked as long as there is no translation of addresses: linked,
/// it would let the outside into the tenant's networks.
fn link(port: &Port) -> Link {
    if let Some(router) = router_interface::router_of(port) {
        return Link::Router(topology::RouterId(router));
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
