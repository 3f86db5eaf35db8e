//! Port forwarding: a floating IP of which only some ports lead to a port.

use crate::{Op, Refusal, State, floating_ip};
use api::neutron::{FloatingIp, Kind, PortForwarding, PortRange, Resource};
use topology::{BridgeId, FloatingIpId, Forwarded, PolicyId, PortId, RouterId};
use uuid::Uuid;

/// IP protocol numbers of what has ports to forward: TCP and UDP.
const PROTOCOLS: [u8; 2] = [6, 17];

pub(crate) fn put(forwarding: &PortForwarding, state: &State) -> Result<Vec<Op>, Refusal> {
    let fip = state.neutron.floating_ip(forwarding.floatingip_id);
    Ok(vec![
        Op::Keep(Resource::PortForwarding(forwarding.clone())),
        object(forwarding, fip)?,
    ])
}

pub(crate) fn delete(id: Uuid) -> Vec<Op> {
    vec![
        Op::Forget(Kind::PortForwarding, id),
        floating_ip::or_delete(id, None),
    ]
}

/// What it is in the topology as long as its floating IP has a router.
pub(crate) fn object(forwarding: &PortForwarding, fip: Option<&FloatingIp>) -> Result<Op, Refusal> {
    let forwarded = forwarded(forwarding)?;
    let object = fip.and_then(|fip| {
        Some(topology::FloatingIp {
            id: FloatingIpId(forwarding.id),
            address: fip.floating_ip_address,
            bridge: BridgeId(fip.floating_network_id),
            router: RouterId(fip.router_id?),
            port: PortId(forwarding.internal_port_id),
            fixed: forwarding.internal_ip_address,
            forwarded: Some(forwarded),
            policy: fip.qos_policy_id.map(PolicyId),
        })
    });
    Ok(floating_ip::or_delete(forwarding.id, object))
}

fn forwarded(forwarding: &PortForwarding) -> Result<Forwarded, Refusal> {
    let number = forwarding.protocol.number();
    let Some(protocol) = number.filter(|number| PROTOCOLS.contains(number)) else {
        let message = format!("{} is not forwarded, tcp and udp are", forwarding.protocol);
        return Err(Refusal::invalid("protocol", message));
    };
    if forwarding.internal_ip_address.is_ipv6() {
        let message = "a floating IP leads to an IPv4 address; IPv6 addresses are routed";
        return Err(Refusal::invalid("internal_ip_address", message));
    }
    let range = |property, range: Option<PortRange>| {
        let range = range.filter(|range| range.first > 0);
        range.ok_or_else(|| Refusal::invalid(property, "a port or a range of ports is wanted"))
    };
    let external = range("external_port", forwarding.external())?;
    let internal = range("internal_port", forwarding.internal())?;
    let width = |range: PortRange| range.last - range.first;
    if width(internal) > 0 && width(internal) != width(external) {
        let message = format!("{internal} is neither one port nor as many as {external}");
        return Err(Refusal::invalid("internal_port_range", message));
    }
    let range = |PortRange { first, last }| topology::PortRange { first, last };
    Ok(Forwarded {
        protocol,
        external: range(external),
        internal: range(internal),
    })
}
