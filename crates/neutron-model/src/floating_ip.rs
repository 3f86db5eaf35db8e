//! Floating IP: an address that a router translates to a port's, and back. One that leads nowhere is
//! not in the topology.

use crate::{Op, Refusal, State, network, plan::check_fixed, port_forwarding};
use api::neutron::{FloatingIp, Kind, Resource};
use topology::{BridgeId, FloatingIpId, Object, ObjectId, PolicyId, PortId, RouterId};
use uuid::Uuid;

pub(crate) fn put(fip: &FloatingIp, state: &State) -> Result<Vec<Op>, Refusal> {
    let held = state.neutron.floating_ip(fip.id);
    let network = fip.floating_network_id;
    check_fixed(
        "floating_network_id",
        held.map(|f| f.floating_network_id),
        network,
    )?;
    check(fip, state)?;
    let mut ops = vec![Op::Keep(Resource::FloatingIp(fip.clone()))];
    ops.push(or_delete(fip.id, translate(fip)));
    for forwarding in forwardings(fip.id, state) {
        if let Some(forwarding) = state.neutron.port_forwarding(forwarding) {
            ops.push(port_forwarding::object(forwarding, Some(fip))?);
        }
    }
    Ok(ops)
}

/// Its port forwardings go with it, as in Neutron.
pub(crate) fn delete(id: Uuid, state: &State) -> Vec<Op> {
    let mut ops: Vec<Op> = forwardings(id, state)
        .flat_map(port_forwarding::delete)
        .collect();
    ops.push(Op::Forget(Kind::FloatingIp, id));
    ops.push(or_delete(id, None));
    ops
}

/// What its port's going leaves of it.
pub(crate) fn without_port(id: Uuid, state: &State) -> Vec<Op> {
    let Some(held) = state.neutron.floating_ip(id) else {
        return Vec::new();
    };
    let mut fip = held.clone();
    (fip.port_id, fip.router_id, fip.fixed_ip_address) = (None, None, None);
    vec![
        Op::Keep(Resource::FloatingIp(fip)),
        or_delete(held.id, None),
    ]
}

/// The step that gives the topology a floating IP or port forwarding, or takes it away.
pub(crate) fn or_delete(id: Uuid, object: Option<topology::FloatingIp>) -> Op {
    match object {
        Some(object) => Op::Put(Object::FloatingIp(object)),
        None => Op::Delete(ObjectId::FloatingIp(FloatingIpId(id))),
    }
}

fn forwardings(id: Uuid, state: &State) -> impl Iterator<Item = Uuid> {
    state
        .neutron
        .referrers((Kind::FloatingIp, id), Kind::PortForwarding)
}

fn translate(fip: &FloatingIp) -> Option<topology::FloatingIp> {
    Some(topology::FloatingIp {
        id: FloatingIpId(fip.id),
        address: fip.floating_ip_address,
        bridge: BridgeId(fip.floating_network_id),
        router: RouterId(fip.router_id?),
        port: PortId(fip.port_id?),
        fixed: fip.fixed_ip_address?,
        forwarded: None,
        policy: fip.qos_policy_id.map(PolicyId),
    })
}

fn check(fip: &FloatingIp, state: &State) -> Result<(), Refusal> {
    if fip.fixed_ip_address.is_some_and(|ip| ip.is_ipv6()) {
        let message = "a floating IP leads to an IPv4 address; IPv6 addresses are routed";
        return Err(Refusal::invalid("fixed_ip_address", message));
    }
    let network = state.neutron.network(fip.floating_network_id);
    if network.is_some_and(network::is_uplink) {
        let message = "a network of type uplink has no floating IPs";
        return Err(Refusal::invalid("floating_network_id", message));
    }
    Ok(())
}
