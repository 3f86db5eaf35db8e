//! Resources in, objects out; and that the way does not matter, only where it leads.

mod address_groups;
mod history;
mod objects;
mod outside;
mod policies;
mod refusals;

use crate::{Op, Refusal, Request, State, plan};
use api::neutron::{Kind, Resource};
use serde_json::{Value, json};
use topology::{Object, Snapshot};
use uuid::Uuid;

/// The id that tests write as a small number.
fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn resource(kind: Kind, body: Value) -> Resource {
    Resource::decode(kind, body).unwrap()
}

/// Carries a request out.
fn run(state: &mut State, request: &Request) -> Result<Vec<Op>, Refusal> {
    let ops = plan(request, state)?;
    ops.iter().for_each(|op| drop(state.apply(op.clone(), 1)));
    Ok(ops)
}

fn create(state: &mut State, kind: Kind, body: Value) -> Result<Vec<Op>, Refusal> {
    run(state, &Request::Create(resource(kind, body)))
}

fn update(state: &mut State, kind: Kind, body: Value) -> Result<Vec<Op>, Refusal> {
    run(state, &Request::Update(resource(kind, body)))
}

fn delete(state: &mut State, kind: Kind, n: u128) -> Result<Vec<Op>, Refusal> {
    run(state, &Request::Delete(kind, id(n)))
}

/// Network 1 with subnets 2 (10.0.0.0/24) and 3 (fd00::/64), group 4, router 5.
fn town() -> State {
    let mut state = State::default();
    let bodies = [
        (
            Kind::Network,
            json!({"id": id(1), "name": "blue", "mtu": 1400}),
        ),
        (
            Kind::Subnet,
            json!({"id": id(2), "network_id": id(1), "cidr": "10.0.0.0/24", "ip_version": 4,
                   "gateway_ip": "10.0.0.1"}),
        ),
        (
            Kind::Subnet,
            json!({"id": id(3), "network_id": id(1), "cidr": "fd00::/64", "ip_version": 6,
                   "gateway_ip": "fd00::1", "ipv6_ra_mode": "slaac",
                   "ipv6_address_mode": "slaac"}),
        ),
        (Kind::SecurityGroup, json!({"id": id(4), "name": "default"})),
        (Kind::Router, json!({"id": id(5), "name": "r"})),
    ];
    for (kind, body) in bodies {
        create(&mut state, kind, body).unwrap();
    }
    state
}

fn port(n: u128, extra: Value) -> Value {
    let mut body = json!({
        "id": id(n), "network_id": id(1), "mac_address": format!("fa:16:3e:00:00:{n:02x}"),
        "fixed_ips": [{"subnet_id": id(2), "ip_address": format!("10.0.0.{n}")}],
        "security_groups": [id(4)],
    });
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    body
}

fn rule(n: u128, extra: Value) -> Value {
    let mut body = json!({
        "id": id(n), "security_group_id": id(4), "direction": "ingress", "ethertype": "IPv4",
    });
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    body
}

/// The topology with tunnel keys and revisions left out: what follows from the resources alone.
fn without_keys(topology: &Snapshot) -> Vec<Object> {
    topology
        .objects()
        .map(|versioned| match versioned.object {
            Object::Bridge(mut bridge) => {
                bridge.flood_key = 0;
                Object::Bridge(bridge)
            }
            Object::Port(mut port) => {
                port.key = 0;
                Object::Port(port)
            }
            Object::Router(mut router) => {
                router.key = 0;
                Object::Router(router)
            }
            other => other,
        })
        .collect()
}
