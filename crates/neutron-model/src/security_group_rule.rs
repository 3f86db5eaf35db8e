//! Security group rule: a rule of its group.

use crate::{Op, Refusal, State, plan::check_fixed, port::prefix, security_group::with_rules};
use api::neutron::{Direction, Ethertype, Kind, Resource, SecurityGroupRule};
use topology::{AddressGroupId, Family, GroupId, Layer4, Remote, Rule, RuleId};
use uuid::Uuid;
use wire::protocol;

/// Number 0 by any name: Neutron's API says that it means all protocols.
const EVERY_PROTOCOL: u8 = 0;

pub(crate) fn put(rule: &SecurityGroupRule, state: &State) -> Result<Vec<Op>, Refusal> {
    let held = state.neutron.security_group_rule(rule.id);
    check_fixed(
        "security_group_id",
        held.map(|r| r.security_group_id),
        rule.security_group_id,
    )?;
    let mut ops = vec![Op::Keep(Resource::SecurityGroupRule(rule.clone()))];
    ops.extend(with_rules(rule.security_group_id, state, |rules| {
        rules.insert(rule.id, rule.clone());
    })?);
    Ok(ops)
}

pub(crate) fn delete(id: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    let mut ops = vec![Op::Forget(Kind::SecurityGroupRule, id)];
    if let Some(rule) = state.neutron.security_group_rule(id) {
        ops.extend(with_rules(rule.security_group_id, state, |rules| {
            rules.remove(&id);
        })?);
    }
    Ok(ops)
}

pub(crate) fn translate(rule: &SecurityGroupRule) -> Result<Rule, Refusal> {
    let family = match rule.ethertype {
        Ethertype::IPv4 => Family::V4,
        Ethertype::IPv6 => Family::V6,
    };
    let protocol = number(rule, family);
    Ok(Rule {
        id: RuleId(rule.id),
        direction: match rule.direction {
            Direction::Ingress => topology::Direction::Ingress,
            Direction::Egress => topology::Direction::Egress,
        },
        family,
        protocol,
        layer4: layer4(rule, protocol)?,
        remote: remote(rule, family)?,
    })
}

/// Neutron takes `icmp` of an IPv6 rule for ICMPv6, and 0 for every protocol.
fn number(rule: &SecurityGroupRule, family: Family) -> Option<u8> {
    match rule.protocol.as_ref().and_then(|p| p.number()) {
        Some(EVERY_PROTOCOL) => None,
        Some(protocol::ICMP) if family == Family::V6 => Some(protocol::ICMPV6),
        other => other,
    }
}

fn layer4(rule: &SecurityGroupRule, number: Option<u8>) -> Result<Layer4, Refusal> {
    let (min, max) = (rule.port_range_min, rule.port_range_max);
    match number {
        _ if min.is_none() && max.is_none() => Ok(Layer4::Any),
        Some(protocol::ICMP | protocol::ICMPV6) => icmp(min, max),
        Some(
            protocol::TCP | protocol::UDP | protocol::DCCP | protocol::SCTP | protocol::UDP_LITE,
        ) => ports(min, max),
        _ => {
            let message = "only TCP, UDP, UDP-Lite, DCCP, SCTP and ICMP have a range";
            let property = if min.is_some() {
                "port_range_min"
            } else {
                "port_range_max"
            };
            Err(Refusal::invalid(property, message))
        }
    }
}

fn ports(min: Option<u16>, max: Option<u16>) -> Result<Layer4, Refusal> {
    match (min, max) {
        (Some(min), Some(max)) if min <= max => Ok(Layer4::Ports { min, max }),
        (Some(min), Some(_)) => {
            let message = format!("must not be below port_range_min, {min}");
            Err(Refusal::invalid("port_range_max", message))
        }
        (None, _) => Err(Refusal::invalid(
            "port_range_min",
            "wanted with port_range_max",
        )),
        (_, None) => Err(Refusal::invalid(
            "port_range_max",
            "wanted with port_range_min",
        )),
    }
}

fn icmp(kind: Option<u16>, code: Option<u16>) -> Result<Layer4, Refusal> {
    let byte = |property: &str, value: u16| {
        u8::try_from(value)
            .map_err(|_| Refusal::invalid(property, "an ICMP type or code is at most 255"))
    };
    let kind =
        kind.ok_or_else(|| Refusal::invalid("port_range_min", "an ICMP code needs a type here"))?;
    let code = code.map(|code| byte("port_range_max", code)).transpose()?;
    Ok(Layer4::Icmp {
        kind: byte("port_range_min", kind)?,
        code,
    })
}

fn remote(rule: &SecurityGroupRule, family: Family) -> Result<Remote, Refusal> {
    let excluded = |property: &str, by: &str| {
        let message = format!("excluded by {by}: a rule has one remote");
        Err(Refusal::invalid(property, message))
    };
    let (group, addresses) = (rule.remote_group_id, rule.remote_address_group_id);
    match (&rule.remote_ip_prefix, group, addresses) {
        (Some(_), Some(_), _) => excluded("remote_group_id", "remote_ip_prefix"),
        (Some(_), _, Some(_)) => excluded("remote_address_group_id", "remote_ip_prefix"),
        (_, Some(_), Some(_)) => excluded("remote_address_group_id", "remote_group_id"),
        (None, Some(group), None) => Ok(Remote::Group(GroupId(group))),
        (None, None, Some(addresses)) => Ok(Remote::Addresses(AddressGroupId(addresses))),
        (None, None, None) => Ok(Remote::Any),
        (Some(text), None, None) => remote_prefix(text, family),
    }
}

fn remote_prefix(text: &str, family: Family) -> Result<Remote, Refusal> {
    let net = prefix(text).map_err(|m| Refusal::invalid("remote_ip_prefix", m))?;
    if net.addr().is_ipv4() != (family == Family::V4) {
        let message = format!("{net} is not of the rule's ethertype");
        return Err(Refusal::invalid("remote_ip_prefix", message));
    }
    Ok(Remote::Prefix(net))
}
