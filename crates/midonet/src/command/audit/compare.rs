//! Two lists of a resource, field by field.
//!
//! Both sides are read as what the cluster stores ([`Resource`]), so that fields it does not read
//! do not count, and addresses are compared by meaning.

use api::neutron::{Kind, Resource};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};

/// Fields that may differ: Neutron's own count of changes, what its API does not show, and rules,
/// which are compared by themselves.
const IGNORED: &[&str] = &["revision_number", "gw_port_id", "security_group_rules"];
/// Lists whose order means something.
const ORDERED: &[&str] = &["dns_nameservers"];
/// Two names of one field: the older one is kept.
const PROJECT: [&str; 2] = ["tenant_id", "project_id"];

/// Something that Neutron and the cluster do not agree on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    kind: Kind,
    id: String,
    name: String,
    #[serde(flatten)]
    what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "difference", rename_all = "snake_case")]
enum What {
    OnlyInNeutron,
    OnlyInCluster,
    NotUnderstood {
        why: String,
    },
    Field {
        field: String,
        neutron: Value,
        cluster: Value,
    },
}

/// All differences of a kind of resource, by id.
pub fn compare(kind: Kind, neutron: &[Value], cluster: &[Value]) -> Vec<Difference> {
    let (neutron, cluster) = (by_id(neutron), by_id(cluster));
    let mut found = Vec::new();
    for (id, resource) in &neutron {
        match cluster.get(id) {
            None => found.push(difference(kind, resource, What::OnlyInNeutron)),
            Some(other) => found.extend(compare_one(kind, resource, other)),
        }
    }
    let extra = cluster.iter().filter(|(id, _)| !neutron.contains_key(*id));
    found.extend(extra.map(|(_, resource)| difference(kind, resource, What::OnlyInCluster)));
    found
}

fn by_id(resources: &[Value]) -> BTreeMap<&str, &Value> {
    resources
        .iter()
        .filter_map(|r| Some((r["id"].as_str()?, r)))
        .collect()
}

fn compare_one(kind: Kind, neutron: &Value, cluster: &Value) -> Vec<Difference> {
    let sides = stored(kind, neutron).and_then(|ours| Ok((ours, stored(kind, cluster)?)));
    let (ours, theirs) = match sides {
        Ok(sides) => sides,
        Err(why) => return vec![difference(kind, neutron, What::NotUnderstood { why })],
    };
    let fields: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let value =
        |side: &Map<String, Value>, field: &str| side.get(field).cloned().unwrap_or(Value::Null);
    let differing = fields
        .into_iter()
        .filter(|f| ours.get(*f) != theirs.get(*f));
    differing
        .map(|field| {
            let (neutron_value, cluster_value) = (value(&ours, field), value(&theirs, field));
            let what = What::Field {
                field: field.clone(),
                neutron: neutron_value,
                cluster: cluster_value,
            };
            difference(kind, neutron, what)
        })
        .collect()
}

fn difference(kind: Kind, resource: &Value, what: What) -> Difference {
    let text = |field: &str| resource[field].as_str().unwrap_or_default().to_owned();
    Difference {
        kind,
        id: text("id"),
        name: text("name"),
        what,
    }
}

/// The fields of a resource that the cluster stores, each in one spelling.
fn stored(kind: Kind, resource: &Value) -> Result<Map<String, Value>, String> {
    let decoded = Resource::decode(kind, resource.clone()).map_err(|e| e.to_string())?;
    let Ok(Value::Object(mut fields)) = serde_json::to_value(decoded) else {
        return Err("not an object".to_owned());
    };
    let [older, newer] = PROJECT;
    if let Some(project) = fields.remove(newer) {
        fields.entry(older).or_insert(project);
    }
    fields.retain(|name, value| !IGNORED.contains(&name.as_str()) && !is_nothing(value));
    for (name, value) in &mut fields {
        if let (Value::Array(items), false) = (value, ORDERED.contains(&name.as_str())) {
            items.sort_by_cached_key(Value::to_string);
        }
    }
    Ok(fields)
}

/// Absent, null and empty all mean that there is nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)?;
        if !self.name.is_empty() {
            write!(f, " ({})", self.name)?;
        }
        match &self.what {
            What::OnlyInNeutron => write!(f, ": only in Neutron"),
            What::OnlyInCluster => write!(f, ": only in the cluster"),
            What::NotUnderstood { why } => write!(f, ": not understood: {why}"),
            What::Field {
                field,
                neutron,
                cluster,
            } => {
                write!(f, ": {field}: Neutron {neutron}, cluster {cluster}")
            }
        }
    }
}
