//! Address group: a set of prefixes that rules name.

use crate::{Op, Refusal, State, plan::check_unused, port::prefix};
use api::neutron::{AddressGroup, Kind, Resource};
use std::collections::BTreeSet;
use topology::{AddressGroupId, Object, ObjectId};
use uuid::Uuid;

pub(crate) fn put(group: &AddressGroup) -> Result<Vec<Op>, Refusal> {
    let addresses = group.addresses.iter().enumerate();
    let nets = addresses
        .map(|(i, text)| prefix(text).map_err(|m| Refusal::invalid(format!("addresses[{i}]"), m)))
        .collect::<Result<BTreeSet<_>, _>>()?;
    let object = Object::AddressGroup(topology::AddressGroup {
        id: AddressGroupId(group.id),
        name: group.name.clone(),
        nets: nets.into_iter().collect(),
    });
    let kept = Resource::AddressGroup(group.clone());
    Ok(vec![Op::Keep(kept), Op::Put(object)])
}

/// Rules keep an address group from being deleted, as in Neutron.
pub(crate) fn delete(id: Uuid, state: &State) -> Result<Vec<Op>, Refusal> {
    let kind = Kind::AddressGroup;
    check_unused((kind, id), Kind::SecurityGroupRule, state)?;
    let object = ObjectId::AddressGroup(AddressGroupId(id));
    Ok(vec![Op::Forget(kind, id), Op::Delete(object)])
}
