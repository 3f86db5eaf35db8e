//! Address groups and the rules that name them.

use super::*;
use topology::{AddressGroupId, GroupId, Remote};

fn group(addresses: &[&str]) -> Value {
    json!({"id": id(50), "name": "offices", "addresses": addresses, "revision_number": 1})
}

fn nets(state: &State) -> Vec<String> {
    let group = state.topology.address_group(AddressGroupId(id(50)));
    let nets = group.map(|group| group.nets.clone()).unwrap_or_default();
    nets.iter().map(ToString::to_string).collect()
}

#[test]
fn it_becomes_its_prefixes_each_once_and_without_host_bits() {
    let mut state = town();
    let addresses = ["fd00::1/128", "10.1.2.3/16", "10.1.0.0/16", "192.0.2.9"];
    create(&mut state, Kind::AddressGroup, group(&addresses)).unwrap();
    assert_eq!(nets(&state), ["10.1.0.0/16", "192.0.2.9/32", "fd00::1/128"]);
    let ops = update(&mut state, Kind::AddressGroup, group(&["10.1.0.0/16"])).unwrap();
    assert_eq!(nets(&state), ["10.1.0.0/16"]);
    // one object changes, whatever the number of rules that name it
    let puts = ops.iter().filter(|op| matches!(op, Op::Put(_)));
    assert_eq!(puts.count(), 1);
}

#[test]
fn an_address_that_is_none_is_refused_by_its_place() {
    let mut state = town();
    let refusal = create(
        &mut state,
        Kind::AddressGroup,
        group(&["10.0.0.0/8", "ten"]),
    );
    let Err(Refusal::Invalid { property, .. }) = refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!(property, "addresses[1]");
}

#[test]
fn rules_name_it_and_keep_it() {
    let mut state = town();
    let names_it = rule(30, json!({"remote_address_group_id": id(50)}));
    let early = create(&mut state, Kind::SecurityGroupRule, names_it.clone());
    let unknown = Refusal::UnknownReference {
        property: "remote_address_group_id".to_owned(),
        kind: Kind::AddressGroup,
        id: id(50),
    };
    assert_eq!(early, Err(unknown));
    create(&mut state, Kind::AddressGroup, group(&["10.0.0.0/8"])).unwrap();
    create(&mut state, Kind::SecurityGroupRule, names_it).unwrap();
    let remote = state.topology.group(GroupId(id(4))).unwrap().rules[0].remote;
    assert_eq!(remote, Remote::Addresses(AddressGroupId(id(50))));
    let used = delete(&mut state, Kind::AddressGroup, 50);
    assert!(matches!(used, Err(Refusal::InUse { .. })), "{used:?}");
    delete(&mut state, Kind::SecurityGroupRule, 30).unwrap();
    delete(&mut state, Kind::AddressGroup, 50).unwrap();
    assert_eq!(nets(&state), Vec::<String>::new());
}

#[test]
fn a_rule_has_one_remote() {
    let mut state = town();
    create(&mut state, Kind::AddressGroup, group(&[])).unwrap();
    for other in [
        json!({"remote_ip_prefix": "10.0.0.0/8"}),
        json!({"remote_group_id": id(4)}),
    ] {
        let mut body = rule(30, json!({"remote_address_group_id": id(50)}));
        let more = other.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        let refusal = create(&mut state, Kind::SecurityGroupRule, body);
        let Err(Refusal::Invalid { property, .. }) = refusal else {
            panic!("{refusal:?}")
        };
        assert_eq!(property, "remote_address_group_id");
    }
}
