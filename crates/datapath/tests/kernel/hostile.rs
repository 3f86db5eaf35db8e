//! Guests that mean harm: fragments that hide or overwrite headers, and floods of state.

use crate::{
    frames::*,
    world::{CONNECTIONS, Fate, TAP_A, TAP_B, World, local},
};
use bpf_abi::*;
use datapath::Maps;
use flow::{DropReason, Mask};
use wire::protocol::{TCP, UDP};

/// Of `FRAGMENTS`, as its declaration says.
const FRAGMENTS_MAX: u16 = 16_384;

/// A fragment: `offset` in units of 8 bytes.
fn fragment(
    src: &str,
    dst: &str,
    proto: u8,
    (id, offset, more): (u16, u16, bool),
    payload: &[u8],
) -> Vec<u8> {
    let more = u16::from(more);
    if src.contains(':') {
        let [high, low] = (offset << 3 | more).to_be_bytes();
        let [id_high, id_low] = id.to_be_bytes();
        let header = [proto, 0, high, low, 0, 0, id_high, id_low];
        return raw_ip(src, dst, 44, &[&header[..], payload].concat());
    }
    let mut frame = raw_ip(src, dst, proto, payload);
    frame[18..20].copy_from_slice(&id.to_be_bytes());
    frame[20..22].copy_from_slice(&(more << 13 | offset).to_be_bytes());
    fix_ipv4(&mut frame);
    frame
}

/// The first 8 bytes of TCP or UDP from port 7.
fn to_port(port: u16) -> [u8; 8] {
    let [high, low] = port.to_be_bytes();
    [0, 7, high, low, 0, 0, 0, 0]
}

#[test]
fn fragments_that_hide_or_overwrite_a_header_are_dropped_by_name() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    let whole = [
        &to_port(80)[..],
        &[0, 0, 0, 0, 0x50, SYN, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    for (a, b) in [(A4, B4), (A6, B6)] {
        let cases = [
            ("TCP without its flags", TCP, (1, 0, true), &whole[..8]),
            ("TCP without its end", TCP, (1, 0, true), &whole[..16]),
            ("over the flags of TCP", TCP, (1, 1, false), &whole[8..]),
            ("UDP without its end", UDP, (1, 0, true), &[][..]),
            ("nothing", UDP, (1, 5, false), &[]),
            ("half a unit", UDP, (1, 0, true), &whole[..12]),
            ("beyond the end", UDP, (1, 0x1fff, false), &whole[..16]),
        ];
        for (name, proto, place, payload) in cases {
            let frame = fragment(a, b, proto, place, payload);
            let malformed = Fate::Dropped(DropReason::Malformed);
            assert_eq!(world.hand_in(TAP_A, &frame), malformed, "{name}");
        }
        let good = fragment(a, b, TCP, (2, 0, true), &whole);
        assert!(matches!(world.hand_in(TAP_A, &good), Fate::Sent(_)));
    }
}

/// A first fragment that is refused takes its later ones with it, also those of a former first one
/// that was allowed: what arrives never holds more than what was allowed.
#[test]
fn a_second_first_fragment_is_judged_by_its_own_ports() {
    for (a, b) in [(A4, B4), (A6, B6)] {
        let mut world = World::new();
        let web = FlowKey {
            in_port: TAP_A,
            dport: 80,
            ..FlowKey::default()
        };
        let on_port = Mask(FlowKey {
            in_port: u32::MAX,
            dport: u16::MAX,
            ..FlowKey::default()
        });
        world.install(web, on_port, local(TAP_B));
        let first = |port| fragment(a, b, UDP, (1, 0, true), &[to_port(port), [0; 8]].concat());
        let later = fragment(a, b, UDP, (1, 2, false), &[0; 8]);
        let mut hand_in = |frame: &[u8]| world.hand_in(TAP_A, frame);
        assert!(matches!(hand_in(&first(80)), Fate::Sent(_)));
        assert!(matches!(hand_in(&later), Fate::Sent(_)));
        assert_eq!(hand_in(&first(22)), Fate::Up(WHY_MISS));
        assert_eq!(hand_in(&later), Fate::Up(WHY_MISS));
        assert!(matches!(hand_in(&first(80)), Fate::Sent(_)));
        assert!(matches!(hand_in(&later), Fate::Sent(_)));
    }
}

#[test]
fn floods_of_fragments_and_connections_stay_inside_the_tables() {
    let mut world = World::new();
    world.decide(TAP_A, STATE_FORWARD, local(TAP_B));
    let first = |id| fragment(A4, B4, UDP, (id, 0, true), &[to_port(9), [0; 8]].concat());
    let later = |id| fragment(A4, B4, UDP, (id, 2, false), &[0; 8]);
    let last = FRAGMENTS_MAX + 4000;
    for id in 0..=last {
        assert!(matches!(world.hand_in(TAP_A, &first(id)), Fate::Sent(_)));
    }
    assert!(matches!(world.hand_in(TAP_A, &later(last)), Fate::Sent(_)));
    let unknown = Fate::Dropped(DropReason::FragmentUnknown);
    assert_eq!(world.hand_in(TAP_A, &later(0)), unknown);

    for port in 0..3 * CONNECTIONS as u16 {
        let probe = udp((A4, 7), (B4, port), b"x");
        assert!(matches!(world.hand_in(TAP_A, &probe), Fate::Sent(_)));
    }
    let held = world.table.maps().connections(usize::MAX).unwrap().len();
    assert!(held <= CONNECTIONS as usize, "{held} connections");
}
