//! The Neutron resources that are kept, and who refers to whom.

use crate::reference::references;
use api::neutron::{
    FloatingIp, Kind, Network, Port, PortForwarding, Resource, Router, SecurityGroup,
    SecurityGroupRule, Subnet,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use uuid::Uuid;

type Name = (Kind, Uuid);

/// Neutron resources by kind and id, with an index of references.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    resources: BTreeMap<Name, Arc<Resource>>,
    referrers: HashMap<Name, BTreeSet<Name>>,
}

macro_rules! getters {
    ($($name:ident: $kind:ident;)*) => {$(
        pub(crate) fn $name(&self, id: Uuid) -> Option<&$kind> {
            match self.stored(Kind::$kind, id) {
                Some(Resource::$kind(resource)) => Some(resource),
                _ => None,
            }
        }
    )*};
}

impl Model {
    getters! {
        network: Network;
        subnet: Subnet;
        security_group: SecurityGroup;
        security_group_rule: SecurityGroupRule;
        router: Router;
        port: Port;
        floating_ip: FloatingIp;
        port_forwarding: PortForwarding;
    }

    /// One resource as the API shows it: a security group with its rules.
    pub fn get(&self, kind: Kind, id: Uuid) -> Option<Resource> {
        self.stored(kind, id).map(|resource| self.shown(resource))
    }

    /// All resources of a kind as the API shows them, by id.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = Resource> {
        let range = (kind, Uuid::nil())..=(kind, Uuid::max());
        self.resources
            .range(range)
            .map(|(_, resource)| self.shown(resource))
    }

    /// How many resources of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.resources
            .range((kind, Uuid::nil())..=(kind, Uuid::max()))
            .count()
    }

    /// A resource as it is kept: a security group without its rules.
    pub(crate) fn stored(&self, kind: Kind, id: Uuid) -> Option<&Resource> {
        self.resources.get(&(kind, id)).map(Arc::as_ref)
    }

    /// The resources of a kind that name this one.
    pub(crate) fn referrers(&self, target: Name, kind: Kind) -> impl Iterator<Item = Uuid> {
        let all = self.referrers.get(&target).into_iter().flatten();
        all.filter(move |(k, _)| *k == kind).map(|(_, id)| *id)
    }

    /// The rules of a security group, by id.
    pub(crate) fn rules_of(&self, group: Uuid) -> impl Iterator<Item = &SecurityGroupRule> {
        self.referrers((Kind::SecurityGroup, group), Kind::SecurityGroupRule)
            .filter_map(|id| self.security_group_rule(id))
            .filter(move |rule| rule.security_group_id == group)
    }

    pub(crate) fn keep(&mut self, resource: Resource) {
        let name = (resource.kind(), resource.id());
        self.forget(name);
        for reference in references(&resource) {
            self.referrers
                .entry(reference.target())
                .or_default()
                .insert(name);
        }
        self.resources.insert(name, Arc::new(resource));
    }

    pub(crate) fn forget(&mut self, name: Name) {
        let Some(old) = self.resources.remove(&name) else {
            return;
        };
        for reference in references(&old) {
            let target = reference.target();
            let Some(set) = self.referrers.get_mut(&target) else {
                continue;
            };
            set.remove(&name);
            if set.is_empty() {
                self.referrers.remove(&target);
            }
        }
    }

    fn shown(&self, resource: &Resource) -> Resource {
        let mut resource = resource.clone();
        if let Resource::SecurityGroup(group) = &mut resource {
            group.security_group_rules = self.rules_of(group.id).cloned().collect();
        }
        resource
    }
}
