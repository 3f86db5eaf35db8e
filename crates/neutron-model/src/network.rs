//! Network: a bridge, unless it is of type `uplink`.

use crate::{
    Op, Refusal, State,
    keys::Keying,
    next::Next,
    plan::{check_fixed, check_unused},
    policy, uplink,
};
use api::neutron::{Kind, Network, NetworkType, Resource};
use topology::{Bridge, BridgeId, Object, ObjectId, SubnetId};
use uuid::Uuid;

/// MTU of a network whose body names none.
const DEFAULT_MTU: u16 = 1450;
/// Smallest MTU of IPv4 (RFC 791).
const LEAST_MTU: u16 = 68;

pub(crate) fn put(network: &Network, state: &State) -> Result<Vec<Op>, Refusal> {
    let held = state.neutron.network(network.id);
    check_fixed(
        "provider:network_type",
        held.map(is_uplink),
        is_uplink(network),
    )?;
    let mtu = mtu(network)?;
    let kept = Resource::Network(network.clone());
    let mut keys = Keying::new(state);
    let mut ops = vec![];
    if is_uplink(network) {
        let next = Next::with(&kept, state);
        ops.extend(uplink::again(network, next, &mut keys)?);
        ops.push(Op::Keep(kept));
        ops.extend(keys.taken());
        return Ok(ops);
    }
    let id = BridgeId(network.id);
    ops.push(Op::Keep(kept));
    ops.push(Op::Put(Object::Bridge(Bridge {
        id,
        name: network.name.clone(),
        admin_up: network.admin_state_up,
        mtu,
        flood_key: keys.key(ObjectId::Bridge(id))?,
    })));
    ops.extend(keys.taken());
    if held.is_some_and(|held| held.qos_policy_id != network.qos_policy_id) {
        ops.extend(policy::spread(network, state));
    }
    Ok(ops)
}

/// Ports keep a network from being deleted; subnets go with it.
pub(crate) fn delete(id: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    let name = (Kind::Network, id);
    check_unused(name, Kind::Port, state)?;
    check_unused(name, Kind::FloatingIp, state)?;
    let mut ops = Vec::new();
    for subnet in state.neutron.referrers(name, Kind::Subnet) {
        ops.push(Op::Forget(Kind::Subnet, subnet));
        ops.push(Op::Delete(ObjectId::Subnet(SubnetId(subnet))));
    }
    ops.push(Op::Forget(Kind::Network, id));
    ops.push(Op::Delete(ObjectId::Bridge(BridgeId(id))));
    Ok(ops)
}

/// Networks of type `uplink` are outside: they have no bridge, and their subnets are not in the
/// topology; for their ports see [`uplink`].
pub(crate) fn is_uplink(network: &Network) -> bool {
    network.network_type == Some(NetworkType::Uplink)
}

pub(crate) fn mtu(network: &Network) -> Result<u16, Refusal> {
    match network.mtu {
        None | Some(0) => Ok(DEFAULT_MTU),
        Some(mtu) if mtu < LEAST_MTU => Err(Refusal::invalid(
            "mtu",
            format!("at least {LEAST_MTU} is wanted"),
        )),
        Some(mtu) => Ok(mtu),
    }
}
