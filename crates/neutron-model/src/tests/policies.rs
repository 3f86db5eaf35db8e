//! QoS policies: what their rules become, and which ports have them.

use super::*;
use topology::{Limits, Policy, PolicyId, PortId, Rate};

fn policy(n: u128, rules: Value) -> Value {
    json!({"id": id(n), "name": "gold", "rules": rules})
}

fn limit(kbps: u64, burst: u64, direction: &str) -> Value {
    json!({"id": id(90), "type": "bandwidth_limit", "max_kbps": kbps, "max_burst_kbps": burst,
           "direction": direction, "qos_policy_id": id(7)})
}

fn held(state: &State, n: u128) -> Policy {
    Policy::clone(state.topology.policy(PolicyId(id(n))).unwrap())
}

fn policy_of(state: &State, n: u128) -> Option<u128> {
    let port = state.topology.port(PortId(id(n))).unwrap();
    port.policy.map(|policy| policy.0.as_u128())
}

#[test]
fn rules_become_limits_and_a_mark() {
    let mut state = town();
    let rules = json!([
        limit(1000, 0, "ingress"),
        limit(10_000, 300, "egress"),
        {"id": id(91), "type": "packet_rate_limit", "max_kpps": 5, "max_burst_kpps": 0,
         "direction": "egress"},
        {"id": id(92), "type": "dscp_marking", "dscp_mark": 46},
        {"id": id(93), "type": "minimum_bandwidth", "min_kbps": 1, "direction": "egress"},
    ]);
    create(&mut state, Kind::QosPolicy, policy(7, rules)).unwrap();
    let of = |rate, burst| Some(Rate { rate, burst });
    let made = held(&state, 7);
    let ingress = Limits {
        bandwidth: of(1_000_000, 800_000),
        packets: None,
    };
    let egress = Limits {
        bandwidth: of(10_000_000, 300_000),
        packets: of(5_000, 4_000),
    };
    assert_eq!((made.ingress, made.egress), (ingress, egress));
    assert_eq!(made.dscp, Some(46));
}

#[test]
fn a_limit_of_nothing_is_the_smallest_one() {
    let mut state = town();
    create(
        &mut state,
        Kind::QosPolicy,
        policy(7, json!([limit(0, 0, "egress")])),
    )
    .unwrap();
    assert_eq!(held(&state, 7).egress.bandwidth.unwrap().rate, 1000);
}

#[test]
fn rules_that_contradict_or_cannot_be_are_refused() {
    let twice = json!([limit(1, 0, "egress"), limit(2, 0, "egress")]);
    let mark = json!([{"id": id(90), "type": "dscp_marking", "dscp_mark": 64}]);
    for (rules, at) in [(twice, "rules[1]"), (mark, "rules[0]")] {
        let mut state = town();
        match create(&mut state, Kind::QosPolicy, policy(7, rules)) {
            Err(Refusal::Invalid { property, .. }) => assert_eq!(property, at),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_network_s_policy_is_for_ports_without_their_own_and_not_for_those_of_the_service() {
    let mut state = town();
    for n in [7, 8] {
        create(&mut state, Kind::QosPolicy, policy(n, json!([]))).unwrap();
    }
    let ports = [
        (20, json!({"device_owner": "compute:nova"})),
        (
            21,
            json!({"device_owner": "compute:nova", "qos_policy_id": id(8)}),
        ),
        (22, json!({"device_owner": "network:dhcp"})),
        (
            23,
            json!({"device_owner": "network:dhcp", "qos_policy_id": id(8)}),
        ),
        (24, json!({})),
    ];
    for (n, extra) in &ports {
        create(&mut state, Kind::Port, port(*n, extra.clone())).unwrap();
    }
    let all = |state: &State| [20, 21, 22, 23, 24].map(|n| policy_of(state, n));
    assert_eq!(all(&state), [None, Some(8), None, Some(8), None]);

    let network = |policy: Value| json!({"id": id(1), "name": "blue", "qos_policy_id": policy});
    let ops = update(&mut state, Kind::Network, network(json!(id(7)))).unwrap();
    assert_eq!(all(&state), [Some(7), Some(8), None, Some(8), Some(7)]);
    let ports_written = ops
        .iter()
        .filter(|op| matches!(op, Op::Put(Object::Port(_))));
    assert_eq!(ports_written.count(), 2, "only the ports that changed");

    create(&mut state, Kind::Port, port(25, json!({}))).unwrap();
    assert_eq!(policy_of(&state, 25), Some(7), "also ports that come later");
    update(&mut state, Kind::Network, network(Value::Null)).unwrap();
    assert_eq!(all(&state), [None, Some(8), None, Some(8), None]);
}

#[test]
fn a_change_of_a_policy_is_one_object_whoever_has_it() {
    let mut state = town();
    create(&mut state, Kind::QosPolicy, policy(7, json!([]))).unwrap();
    create(
        &mut state,
        Kind::Port,
        port(20, json!({"qos_policy_id": id(7)})),
    )
    .unwrap();
    let changed = policy(7, json!([limit(5, 0, "egress")]));
    let ops = update(&mut state, Kind::QosPolicy, changed).unwrap();
    let topology = ops.iter().filter(|op| matches!(op, Op::Put(_)));
    assert_eq!(topology.count(), 1);
}

#[test]
fn a_policy_in_use_stays_and_an_unknown_one_is_refused() {
    let mut state = town();
    let with = json!({"qos_policy_id": id(7)});
    let unknown = create(&mut state, Kind::Port, port(20, with.clone()));
    assert!(matches!(
        unknown,
        Err(Refusal::UnknownReference { property, .. }) if property == "qos_policy_id"
    ));
    create(&mut state, Kind::QosPolicy, policy(7, json!([]))).unwrap();
    create(&mut state, Kind::Port, port(20, with)).unwrap();
    let refused = delete(&mut state, Kind::QosPolicy, 7);
    assert!(matches!(refused, Err(Refusal::InUse { .. })));
    delete(&mut state, Kind::Port, 20).unwrap();
    delete(&mut state, Kind::QosPolicy, 7).unwrap();
    assert!(state.topology.policy(PolicyId(id(7))).is_none());
}
