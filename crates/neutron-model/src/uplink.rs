//! Uplink: an interface of a router that is a physical interface of a host.
//!
//! A network of type `uplink` only groups such ports, which may be far from each other: it is no
//! bridge. Each port that is an interface of a router becomes a bridge of its own with two ports: the
//! router's, and the plug, which is the host's interface and behind which the neighbours are.

use crate::{Op, Refusal, keys::Keying, next::Next, policy, router_interface, trunk::VLANS};
use api::neutron::{Kind, Network, Port, Subnet};
use topology::{
    Address, Bridge, BridgeId, Link, Object, ObjectId, PortId, RouterId, SubnetId, TunnelKey,
};
use uuid::Uuid;
use wire::Mac;

/// What a port on an uplink network is in the topology, and what it is there no longer.
pub(crate) fn objects(
    port: &Port,
    network: &Network,
    next: Next<'_>,
    keys: &mut Keying<'_>,
) -> Result<Vec<Op>, Refusal> {
    let Some(router) = router_interface::router_of(port) else {
        return Ok(gone(port.id, next));
    };
    let bridge = BridgeId(port.id);
    let subnets: Vec<&Subnet> = port
        .fixed_ips
        .iter()
        .filter_map(|fixed| next.subnet(fixed.subnet_id))
        .collect();
    let mut made = vec![Object::Bridge(Bridge {
        id: bridge,
        name: network.name.clone(),
        admin_up: network.admin_state_up,
        mtu: crate::network::mtu(network)?,
        flood_key: keys.key(ObjectId::Bridge(bridge))?,
    })];
    made.extend(subnets.iter().map(|s| Object::Subnet(subnet(s, port.id))));
    let plug = plug_id(port.id);
    made.push(Object::Port(router_port(
        port,
        RouterId(router),
        policy::of(port, Some(network)),
        keys.key(ObjectId::Port(PortId(port.id)))?,
    )));
    made.push(Object::Port(plug_of(port, keys.key(ObjectId::Port(plug))?)));
    let left = gone(port.id, next).into_iter();
    let left = left.filter(|op| matches!(op, Op::Delete(id) if made.iter().all(|o| o.id() != *id)));
    let mut ops: Vec<Op> = left.collect();
    ops.extend(made.into_iter().map(Op::Put));
    Ok(ops)
}

/// The steps that take away all that a port on an uplink network may be.
pub(crate) fn gone(port: Uuid, next: Next<'_>) -> Vec<Op> {
    let topology = &next.state.topology;
    let bridge = BridgeId(port);
    let subnets = topology.bridge_subnets(bridge);
    let mut ids: Vec<ObjectId> = subnets.map(|s| ObjectId::Subnet(s.id)).collect();
    ids.push(ObjectId::Port(plug_id(port)));
    ids.push(ObjectId::Port(PortId(port)));
    ids.push(ObjectId::Bridge(bridge));
    ids.into_iter().map(Op::Delete).collect()
}

/// What a change of an uplink network makes of the interfaces on it.
pub(crate) fn again(
    network: &Network,
    next: Next<'_>,
    keys: &mut Keying<'_>,
) -> Result<Vec<Op>, Refusal> {
    let name = (Kind::Network, network.id);
    let mut ops = Vec::new();
    for id in next.state.neutron.referrers(name, Kind::Port) {
        if let Some(port) = next.port(id) {
            ops.extend(objects(port, network, next, keys)?);
        }
    }
    Ok(ops)
}

/// An interface of a router is somewhere.
pub(crate) fn check(port: &Port) -> Result<(), Refusal> {
    let profile = &port.profile;
    let is_interface = router_interface::is_interface(port);
    if is_interface && port.host_id.is_empty() {
        let message = "an uplink's port that is an interface of a router is on a host";
        return Err(Refusal::invalid("binding:host_id", message));
    }
    if is_interface && profile.interface_name.as_ref().is_none_or(String::is_empty) {
        let message = "an uplink's port that is an interface of a router names one of the host";
        return Err(Refusal::invalid("binding:profile.interface_name", message));
    }
    match profile.vlan.filter(|vlan| !VLANS.contains(vlan)) {
        Some(vlan) => {
            let message = format!("{vlan} is not in {} to {}", VLANS.start(), VLANS.end());
            Err(Refusal::invalid("binding:profile.vlan", message))
        }
        None => Ok(()),
    }
}

/// The plug of an uplink's port.
fn plug_id(port: Uuid) -> PortId {
    PortId(Uuid::new_v5(&port, b"plug"))
}

fn subnet_id(subnet: Uuid, port: Uuid) -> SubnetId {
    SubnetId(Uuid::new_v5(&subnet, port.as_bytes()))
}

fn subnet(subnet: &Subnet, port: Uuid) -> topology::Subnet {
    topology::Subnet {
        id: subnet_id(subnet.id, port),
        bridge: BridgeId(port),
        cidr: subnet.cidr.trunc(),
        gateway: None,
        dhcp: false,
        dns: vec![],
        host_routes: vec![],
        ipv6_mode: None,
        ipv6_address_mode: None,
    }
}

fn router_port(
    port: &Port,
    router: RouterId,
    policy: Option<topology::PolicyId>,
    key: TunnelKey,
) -> topology::Port {
    topology::Port {
        id: PortId(port.id),
        name: port.name.clone(),
        bridge: Some(BridgeId(port.id)),
        admin_up: port.admin_state_up,
        mac: port.mac_address,
        outside: true,
        addresses: port
            .fixed_ips
            .iter()
            .map(|fixed| Address {
                ip: fixed.ip_address,
                subnet: subnet_id(fixed.subnet_id, port.id),
            })
            .collect(),
        link: Link::Router(router),
        key,
        security: None,
        policy,
        instance: None,
        dhcp_options: vec![],
    }
}

fn plug_of(port: &Port, key: TunnelKey) -> topology::Port {
    let id = plug_id(port.id);
    topology::Port {
        id,
        name: port.profile.interface_name.clone().unwrap_or_default(),
        bridge: Some(BridgeId(port.id)),
        admin_up: port.admin_state_up,
        mac: mac_of(id),
        outside: true,
        addresses: vec![],
        link: Link::Host {
            host: port.host_id.clone(),
            interface: port.profile.interface_name.clone(),
            trunk: None,
            vlan: port.profile.vlan,
        },
        key,
        security: None,
        policy: None,
        instance: None,
        dhcp_options: vec![],
    }
}

/// A locally administered address (IEEE 802-2014, 8.2.2): nobody else's, and not used on the wire,
/// where frames have the router's.
fn mac_of(plug: PortId) -> Mac {
    let [a, b, c, d, e, ..] = *plug.0.as_bytes();
    Mac([0x02, a, b, c, d, e])
}
