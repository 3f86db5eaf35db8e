//! QoS policy, and which one a port has.

use crate::{Op, Refusal, State, plan::check_unused};
use api::neutron::{Direction, Kind, Network, Port, QosPolicy, QosRuleKind, Resource, owner};
use topology::{Limits, Object, ObjectId, Policy, PolicyId, PortId, Rate};
use uuid::Uuid;

/// What Neutron counts in: thousands of bits and of packets.
const KILO: u64 = 1000;
/// Tenths of a second's worth that may pass at once where a rule says nothing: what Neutron's own
/// drivers take.
const DEFAULT_BURST_TENTHS: u64 = 8;
/// Largest DSCP (RFC 2474, section 3).
const DSCP_MAX: u8 = 63;

pub(crate) fn put(policy: &QosPolicy) -> Result<Vec<Op>, Refusal> {
    Ok(vec![
        Op::Keep(Resource::QosPolicy(policy.clone())),
        Op::Put(Object::Policy(translate(policy)?)),
    ])
}

/// Who has it keeps it from being deleted, as in Neutron.
pub(crate) fn delete(id: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    let name = (Kind::QosPolicy, id);
    check_unused(name, Kind::Network, state)?;
    check_unused(name, Kind::Port, state)?;
    check_unused(name, Kind::FloatingIp, state)?;
    Ok(vec![
        Op::Forget(Kind::QosPolicy, id),
        Op::Delete(ObjectId::Policy(PolicyId(id))),
    ])
}

/// The policy that applies to a port: its own, as a whole, or its network's. A network's is not for
/// ports of the network service itself, like those of routers.
pub(crate) fn of(port: &Port, network: Option<&Network>) -> Option<PolicyId> {
    let serves = owner::SERVICE_PREFIXES
        .iter()
        .any(|prefix| port.device_owner.starts_with(prefix));
    let inherited = network.and_then(|n| n.qos_policy_id).filter(|_| !serves);
    port.qos_policy_id.or(inherited).map(PolicyId)
}

/// What a network's new policy makes of its ports.
pub(crate) fn spread<'a>(network: &'a Network, state: &'a State) -> impl Iterator<Item = Op> + 'a {
    let ports = state
        .neutron
        .referrers((Kind::Network, network.id), Kind::Port);
    ports.filter_map(move |id| {
        let held = state.topology.port(PortId(id))?;
        let policy = of(state.neutron.port(id)?, Some(network));
        Some(Op::Put(Object::Port(topology::Port {
            policy,
            ..topology::Port::clone(held)
        })))
    })
}

fn translate(policy: &QosPolicy) -> Result<Policy, Refusal> {
    let mut made = Policy {
        id: PolicyId(policy.id),
        name: policy.name.clone(),
        ingress: Limits::default(),
        egress: Limits::default(),
        dscp: None,
    };
    for (i, rule) in policy.rules.iter().enumerate() {
        let refused = |message: &str| Refusal::invalid(format!("rules[{i}]"), message);
        let taken = match &rule.rule {
            QosRuleKind::BandwidthLimit {
                max_kbps,
                max_burst_kbps,
                direction,
            } => made
                .limits(*direction)
                .bandwidth
                .replace(rate(*max_kbps, *max_burst_kbps))
                .is_some(),
            QosRuleKind::PacketRateLimit {
                max_kpps,
                max_burst_kpps,
                direction,
            } => made
                .limits(*direction)
                .packets
                .replace(rate(*max_kpps, *max_burst_kpps))
                .is_some(),
            QosRuleKind::DscpMarking { dscp_mark } if *dscp_mark > DSCP_MAX => {
                return Err(refused("a DSCP is at most 63"));
            }
            QosRuleKind::Other => false,
            QosRuleKind::DscpMarking { dscp_mark } => made.dscp.replace(*dscp_mark).is_some(),
        };
        if taken {
            return Err(refused("there is another rule of this type and direction"));
        }
    }
    Ok(made)
}

trait LimitsOf {
    fn limits(&mut self, direction: Direction) -> &mut Limits;
}

impl LimitsOf for Policy {
    fn limits(&mut self, direction: Direction) -> &mut Limits {
        match direction {
            Direction::Ingress => &mut self.ingress,
            Direction::Egress => &mut self.egress,
        }
    }
}

/// A limit of 0 is the smallest there is: nothing but a trickle.
fn rate(kilo: u64, burst: u64) -> Rate {
    let rate = kilo.max(1).saturating_mul(KILO);
    let burst = match burst {
        0 => rate / 10 * DEFAULT_BURST_TENTHS,
        some => some.saturating_mul(KILO),
    };
    Rate { rate, burst }
}
