//! `/topology`: the objects that the Neutron resources became.

use super::{
    Shared,
    answer::{Failure, accepted, id, json},
};
use ::topology::{BridgeId, Change, Object, ObjectId, Snapshot, Versioned, View};
use api::{TopologyListing, media};
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;

/// What may be asked for; all objects if nothing is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Only objects of this kind.
    kind: Option<ObjectKind>,
    /// Only the object with this id.
    id: Option<String>,
    /// Only what this host is sent.
    host: Option<String>,
    /// Only this network and what is on it.
    network: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ObjectKind {
    Bridge,
    Subnet,
    Router,
    AddressGroup,
    Group,
    Policy,
    Host,
    Port,
    FloatingIp,
    Lease,
}

pub async fn get(
    State(app): Shared,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let media = accepted(&headers, media::JSON)?;
    let Query(asked) = asked.map_err(|rejection| Failure::bad("query", rejection.body_text()))?;
    let wanted = asked.id.as_deref().map(id).transpose()?;
    let network = asked.network.as_deref().map(id).transpose()?.map(BridgeId);
    let held = app.held();
    let all = &held.state.topology;
    let mut objects = match &asked.host {
        Some(host) => sent_to(host, all),
        None => all.objects().collect(),
    };
    objects.retain(|versioned| {
        let object = &versioned.object;
        asked.kind.is_none_or(|kind| kind == kind_of(object))
            && wanted.is_none_or(|id| id == id_of(object))
            && network.is_none_or(|network| is_on(object, network))
    });
    let listing = TopologyListing {
        instance: app.instance,
        revision: held.revision,
        objects,
    };
    Ok(json(StatusCode::OK, media, &listing))
}

fn sent_to(host: &str, all: &Snapshot) -> Vec<Versioned> {
    let changes = View::default().advance(all, host).into_iter();
    changes
        .filter_map(|change| match change {
            Change::Put(versioned) => Some(versioned),
            Change::Delete(_) => None,
        })
        .collect()
}

fn kind_of(object: &Object) -> ObjectKind {
    match object {
        Object::Bridge(_) => ObjectKind::Bridge,
        Object::Subnet(_) => ObjectKind::Subnet,
        Object::Router(_) => ObjectKind::Router,
        Object::AddressGroup(_) => ObjectKind::AddressGroup,
        Object::Group(_) => ObjectKind::Group,
        Object::Policy(_) => ObjectKind::Policy,
        Object::Host(_) => ObjectKind::Host,
        Object::Port(_) => ObjectKind::Port,
        Object::FloatingIp(_) => ObjectKind::FloatingIp,
        Object::Lease(_) => ObjectKind::Lease,
    }
}

fn id_of(object: &Object) -> uuid::Uuid {
    match object.id() {
        ObjectId::Bridge(id) => id.0,
        ObjectId::Subnet(id) => id.0,
        ObjectId::Router(id) => id.0,
        ObjectId::AddressGroup(id) => id.0,
        ObjectId::Group(id) => id.0,
        ObjectId::Policy(id) => id.0,
        ObjectId::Host(id) => id.0,
        ObjectId::Port(id) => id.0,
        ObjectId::FloatingIp(id) => id.0,
        ObjectId::Lease(id) => id.0,
    }
}

fn is_on(object: &Object, network: BridgeId) -> bool {
    match object {
        Object::Bridge(bridge) => bridge.id == network,
        Object::Subnet(subnet) => subnet.bridge == network,
        Object::Port(port) => port.bridge == Some(network),
        Object::FloatingIp(fip) => fip.bridge == network,
        Object::Router(_)
        | Object::Lease(_)
        | Object::AddressGroup(_)
        | Object::Group(_)
        | Object::Policy(_)
        | Object::Host(_) => false,
    }
}
