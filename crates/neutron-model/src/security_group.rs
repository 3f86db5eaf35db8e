//! Security group: a group with all its rules.

use crate::{Op, Refusal, State, plan::check_unused, security_group_rule};
use api::neutron::{Kind, Resource, SecurityGroup, SecurityGroupRule};
use std::collections::{BTreeMap, BTreeSet};
use topology::{Group, GroupId, Object, ObjectId};
use uuid::Uuid;

/// The rules in the body count when the group is new. Later each rule has requests of its own, and
/// a group sent again must not bring back a rule deleted meanwhile.
pub(crate) fn put(group: &SecurityGroup, state: &State) -> Result<Vec<Op>, Refusal> {
    let is_new = state.neutron.security_group(group.id).is_none();
    let embedded = if is_new {
        check_embedded(group, state)?
    } else {
        Vec::new()
    };
    let held = state.neutron.rules_of(group.id).cloned();
    let rules: Vec<SecurityGroupRule> = held.chain(embedded.iter().cloned()).collect();

    let mut kept = group.clone();
    kept.security_group_rules.clear();
    let mut ops = vec![Op::Keep(Resource::SecurityGroup(kept))];
    ops.extend(
        embedded
            .into_iter()
            .map(Resource::SecurityGroupRule)
            .map(Op::Keep),
    );
    ops.push(Op::Put(translate(group, &rules)?));
    Ok(ops)
}

/// Ports keep a group from being deleted. Its rules go with it, and so do the rules of other groups
/// that name it, as in Neutron.
pub(crate) fn delete(id: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    let name = (Kind::SecurityGroup, id);
    check_unused(name, Kind::Port, state)?;
    let doomed: BTreeSet<Uuid> = state
        .neutron
        .referrers(name, Kind::SecurityGroupRule)
        .collect();
    let mut ops: Vec<Op> = doomed
        .iter()
        .map(|rule| Op::Forget(Kind::SecurityGroupRule, *rule))
        .collect();
    let owners: BTreeSet<Uuid> = doomed
        .iter()
        .filter_map(|rule| state.neutron.security_group_rule(*rule))
        .map(|rule| rule.security_group_id)
        .filter(|group| *group != id)
        .collect();
    for owner in owners {
        ops.extend(with_rules(owner, state, |rules| {
            rules.retain(|id, _| !doomed.contains(id));
        })?);
    }
    ops.push(Op::Forget(Kind::SecurityGroup, id));
    ops.push(Op::Delete(ObjectId::Group(GroupId(id))));
    Ok(ops)
}

/// The step that gives a group's object other rules; none if there is no such group.
pub(crate) fn with_rules(
    group: Uuid,
    state: &State,
    change: impl FnOnce(&mut BTreeMap<Uuid, SecurityGroupRule>),
) -> Result<Option<Op>, Refusal> {
    let Some(group) = state.neutron.security_group(group) else {
        return Ok(None);
    };
    let mut rules = state
        .neutron
        .rules_of(group.id)
        .map(|r| (r.id, r.clone()))
        .collect();
    change(&mut rules);
    let rules: Vec<SecurityGroupRule> = rules.into_values().collect();
    translate(group, &rules).map(Op::Put).map(Some)
}

fn translate(group: &SecurityGroup, rules: &[SecurityGroupRule]) -> Result<Object, Refusal> {
    let mut rules = rules
        .iter()
        .map(security_group_rule::translate)
        .collect::<Result<Vec<_>, _>>()?;
    rules.sort_by_key(|rule| rule.id);
    Ok(Object::Group(Group {
        id: GroupId(group.id),
        name: group.name.clone(),
        stateful: group.stateful,
        rules,
    }))
}

/// A remote group may be one that is not known yet: two groups that name each other could not be
/// made otherwise. Until it is known it has no members.
fn check_embedded(group: &SecurityGroup, state: &State) -> Result<Vec<SecurityGroupRule>, Refusal> {
    let mut seen = BTreeSet::new();
    for (i, rule) in group.security_group_rules.iter().enumerate() {
        let part = format!("security_group_rules[{i}]");
        if rule.security_group_id != group.id {
            let message = format!("the rule is embedded in group {}", group.id);
            return Err(Refusal::invalid("security_group_id", message).within(&part));
        }
        if state.neutron.security_group_rule(rule.id).is_some() || !seen.insert(rule.id) {
            return Err(Refusal::Exists {
                kind: Kind::SecurityGroupRule,
                id: rule.id,
            });
        }
        security_group_rule::translate(rule).map_err(|refusal| refusal.within(&part))?;
    }
    Ok(group.security_group_rules.clone())
}
