//! Any bytes as a frame from a VM, or as a copy on its network, in a small topology. What leaves
//! must be a frame, and must not reach a network that no router joins to the sender's.
#![no_main]

use flow::Verdict;
use libfuzzer_sys::fuzz_target;
use sim::testing::{Town, key_of};
use sim::{Ingress, Packet};
use std::sync::LazyLock;
use topology::{Object, Snapshot};

struct World {
    town: Town,
    whole: Snapshot,
    /// Without the router.
    split: Snapshot,
    frames: Vec<Vec<u8>>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let town = Town::with_default_group();
    let mut split = town.clone();
    split
        .world
        .objects
        .retain(|o| !matches!(o, Object::Router(_)));
    let (whole, split) = (town.snapshot(), split.snapshot());
    let frames = midonet_fuzz::good_frames(&town);
    World {
        town,
        whole,
        split,
        frames,
    }
});

fuzz_target!(|data: &[u8]| {
    let [choice, data @ ..] = data else { return };
    let frame = match choice & 1 {
        0 => data.to_vec(),
        _ => midonet_fuzz::patched(&WORLD.frames, data),
    };
    let key = key_of(&frame, choice >> 1 & 1);
    let gso_size = if choice & 4 != 0 { 1400 } else { 0 };
    let packet = Packet {
        key,
        frame: &frame,
        gso_size,
    };
    run(Ingress::Port(WORLD.town.a.port), &packet);
    run(Ingress::Network(WORLD.town.red), &packet);
});

fn run(ingress: Ingress, packet: &Packet<'_>) {
    let (decision, _) = sim::trace(&WORLD.whole, ingress, packet);
    assert_eq!(decision, sim::simulate(&WORLD.whole, ingress, packet));
    match &decision.verdict {
        Verdict::Answer(frames) => frames.iter().for_each(|f| assert_sound(f)),
        Verdict::Refuse {
            answer: Some(frame),
            ..
        } => assert_sound(frame),
        _ => {}
    }
    let reached = match sim::simulate(&WORLD.split, ingress, packet).verdict {
        Verdict::Forward { to, .. } => to.port().into_iter().collect(),
        Verdict::Flood { ports } => ports,
        _ => vec![],
    };
    assert!(!reached.contains(&WORLD.town.c.port));
}

/// Lengths and checksums of a frame that goes to a VM are right. (A router's ICMP error is not one
/// that a VM could send, and may speak of a packet that has no connection.)
fn assert_sound(frame: &[u8]) {
    use flow::DropReason::{SpoofedIp, UnrelatedIcmpError};
    let read = flow::parse(frame).map(|_| ());
    assert!(
        matches!(read, Ok(()) | Err(SpoofedIp | UnrelatedIcmpError)),
        "{read:?} {frame:x?}"
    );
}
