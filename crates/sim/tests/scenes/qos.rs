//! Packets of ports that have a QoS policy.

use crate::{decide, send, send_reply};
use bpf_abi::STATE_FORWARD;
use flow::Verdict;
use sim::testing::{Payload, Town, World, key_of};
use topology::{Limits, Object, Policy, PolicyId, PortId, Snapshot, Tag};
use uuid::Uuid;

const POLICY: PolicyId = PolicyId(Uuid::from_u128(77));
const UDP: fn() -> Payload = || Payload::Udp(1000, 2000, vec![0; 8]);

/// A town whose VM `a` has a policy with this mark.
fn town(dscp: Option<u8>) -> (Town, Snapshot) {
    let mut town = Town::new(World::new(), None);
    let port = town.a.port;
    for object in &mut town.world.objects {
        if let Object::Port(p) = object
            && p.id == port
        {
            p.policy = Some(POLICY);
        }
    }
    town.world.objects.push(Object::Policy(Policy {
        id: POLICY,
        name: "gold".to_owned(),
        ingress: Limits::default(),
        egress: Limits::default(),
        dscp,
    }));
    let snapshot = town.snapshot();
    (town, snapshot)
}

fn mark(verdict: &Verdict) -> Option<u8> {
    match verdict {
        Verdict::Forward { rewrite, .. } => rewrite.dscp,
        other => panic!("not delivered: {other:?}"),
    }
}

#[test]
fn what_a_vm_sends_is_marked_with_and_without_a_router() {
    let (town, snapshot) = town(Some(46));
    for family in [4, 6] {
        let near = town.a.to(&town.b, family, UDP()).bytes();
        let far = town.a.via_gateway(town.c.ip(family), UDP()).bytes();
        for frame in [near, far] {
            assert_eq!(mark(&send(&snapshot, town.a.port, &frame)), Some(46));
            assert_eq!(mark(&send_reply(&snapshot, town.a.port, &frame)), Some(46));
        }
    }
}

#[test]
fn what_is_sent_to_it_is_not() {
    let (town, snapshot) = town(Some(46));
    let frame = town.b.to(&town.a, 4, UDP()).bytes();
    assert_eq!(mark(&send(&snapshot, town.b.port, &frame)), None);
}

#[test]
fn a_change_of_the_policy_takes_the_decisions_of_its_ports_and_no_others() {
    let (town, snapshot) = town(None);
    let depends = |port: PortId, frame: Vec<u8>| {
        let key = key_of(&frame, STATE_FORWARD);
        let decision = decide(&snapshot, port, key, &frame);
        decision.tags.contains(&Tag::Policy(POLICY))
    };
    assert!(depends(town.a.port, town.a.to(&town.b, 4, UDP()).bytes()));
    assert!(!depends(town.b.port, town.b.to(&town.a, 4, UDP()).bytes()));
}
