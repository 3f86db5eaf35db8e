//! What `midonet trace` has to tell.

use bpf_abi::STATE_FORWARD;
use sim::testing::{Payload, Town, World, key_of};
use sim::{Ingress, Packet, Step, simulate, trace};
use topology::Object;
use wire::tcp_flag;

fn steps(town: &Town, frame: &[u8]) -> Vec<Step> {
    let snapshot = town.snapshot();
    let packet = Packet {
        key: key_of(frame, STATE_FORWARD),
        frame,
        gso_size: 0,
    };
    let (decision, steps) = trace(&snapshot, Ingress::Port(town.a.port), &packet);
    assert_eq!(
        decision,
        simulate(&snapshot, Ingress::Port(town.a.port), &packet)
    );
    steps
}

fn text(steps: &[Step]) -> String {
    steps.iter().map(|s| format!("{s}\n")).collect()
}

#[test]
fn the_rules_that_allow_are_named() {
    let town = Town::with_default_group();
    let frame = town
        .a
        .via_gateway(town.c.v6, Payload::Tcp(1, 22, tcp_flag::SYN))
        .bytes();
    let steps = steps(&town, &frame);
    let rules = town.world.objects.iter().find_map(|o| match o {
        Object::Group(group) => Some(&group.rules),
        _ => None,
    });
    let rules: Vec<_> = rules.unwrap().iter().map(|r| r.id.0).collect();
    let causes: Vec<_> = steps.iter().filter_map(|s| s.cause).collect();
    assert_eq!(causes, [rules[2], rules[3]], "{}", text(&steps));
    let last = steps.last().unwrap();
    assert_eq!(
        (last.device.id, &*last.what),
        (town.c.port.0, "delivered on host host2")
    );
    let json = serde_json::to_value(last).unwrap();
    assert_eq!(json["device"]["kind"], "port");
}

#[test]
fn the_groups_that_refuse_are_named() {
    let mut world = World::new();
    let group = world.group(true, vec![]);
    let town = Town::new(world, Some(&[group]));
    let frame = town
        .a
        .to(&town.b, 4, Payload::Tcp(1, 22, tcp_flag::SYN))
        .bytes();
    let steps = steps(&town, &frame);
    let last = steps.last().unwrap();
    assert_eq!(last.cause, Some(group.0));
    assert!(
        last.to_string().contains(&group.to_string()),
        "{}",
        text(&steps)
    );
    assert!(
        last.to_string().contains("no egress rule allows it"),
        "{}",
        text(&steps)
    );
}

#[test]
fn a_packet_without_bytes_can_be_traced() {
    let town = Town::with_default_group();
    let frame = town
        .a
        .via_gateway(town.c.v4, Payload::Tcp(1, 22, tcp_flag::SYN))
        .bytes();
    let packet = Packet {
        key: key_of(&frame, STATE_FORWARD),
        frame: &[],
        gso_size: 0,
    };
    let (decision, _) = trace(&town.snapshot(), Ingress::Port(town.a.port), &packet);
    assert!(matches!(decision.verdict, flow::Verdict::Forward { .. }));
}
