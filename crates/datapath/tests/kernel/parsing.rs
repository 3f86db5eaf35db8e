//! The kernel program reads every frame as `flow::parse` does.

use crate::{
    frames::*,
    world::{TAP_A, World},
};
use bpf_abi::{FLAG_FRAGMENT, FlowKey, MARK_FROM_PORT};
use datapath::{Entry, Maps};
use flow::DropReason;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};

/// Frames that are mutated.
const CASES: u32 = 6000;

/// What a parser says of a frame.
type Reading = Result<FlowKey, DropReason>;

/// One of each kind of frame that the rules speak of.
fn samples() -> Vec<Vec<u8>> {
    let udp_bytes = [0, 7, 0, 8, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut frames = vec![[&[0xff; 6][..], &MAC_A, &[8, 6], &[0; 28]].concat()];
    for (a, b) in [(A4, B4), (A6, B6)] {
        let (datagram, segment) = (udp((a, 7), (b, 8), b"payload"), tcp((a, 7), (b, 80), SYN));
        frames.extend([ping(a, b, 9), pong(a, b, 9)]);
        for about in [&datagram, &segment, &ping(a, b, 3)] {
            frames.extend([icmp_error(b, a, about), icmp_error(a, b, about)]);
        }
        frames.extend([datagram, segment]);
        for proto in [1, 2, 33, 47, 50, 51, 58, 59, 132, 136] {
            frames.push(raw_ip(
                a,
                b,
                proto,
                &[8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            ));
        }
    }
    frames.extend(ipv4_samples());
    for headers in ipv6_headers() {
        let (first, rest) = headers;
        frames.push(raw_ip(A6, B6, first, &[&rest[..], &udp_bytes].concat()));
    }
    frames
}

fn ipv4_samples() -> Vec<Vec<u8>> {
    let mut options = udp((A4, 7), (B4, 8), b"x");
    options.splice(34..34, [7, 7, 4, 0, 0, 0, 0, 0]);
    options[14] = 0x47;
    options[17] += 8;
    let fragments = [0x2000u16, 0x0003, 0x2001, 0x1fff, 0x4000, 0x8000].map(|bits| {
        let mut frame = udp((A4, 7), (B4, 8), &[0; 16]);
        frame[20..22].copy_from_slice(&bits.to_be_bytes());
        frame
    });
    let mut all = [&[options][..], &fragments].concat();
    all.iter_mut().for_each(|frame| fix_ipv4(frame));
    all
}

/// Next header and extension headers, ending in UDP.
fn ipv6_headers() -> Vec<(u8, Vec<u8>)> {
    let plain = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let routing = |next: u8, left: u8| vec![next, 0, 0, left, 0, 0, 0, 0];
    let fragment =
        |next: u8, bits: u16| [&[next, 0][..], &bits.to_be_bytes(), &[0, 0, 0, 9]].concat();
    vec![
        (0, plain(17)),
        (60, plain(17)),
        (60, vec![17, 9, 1, 4, 0, 0, 0, 0]),
        (0, [plain(60), plain(17)].concat()),
        (60, [plain(0), plain(17)].concat()),
        (43, routing(17, 0)),
        (43, routing(17, 1)),
        (44, fragment(17, 0)),
        (44, fragment(17, 1)),
        (44, fragment(17, 8)),
        (44, fragment(17, 0xfff8)),
        (44, fragment(6, 8)),
        (44, fragment(60, 8)),
        (44, [fragment(44, 0), fragment(17, 0)].concat()),
        (44, [fragment(60, 1), plain(17)].concat()),
        (
            60,
            [
                plain(60),
                plain(60),
                plain(60),
                plain(60),
                plain(60),
                plain(17),
            ]
            .concat(),
        ),
        (
            60,
            [
                plain(60),
                plain(60),
                plain(60),
                plain(60),
                plain(60),
                plain(60),
                plain(17),
            ]
            .concat(),
        ),
    ]
}

/// What the kernel program says, and `None` for a frame too short for a rehearsal.
fn by_kernel(world: &mut World, frame: &[u8]) -> Option<Reading> {
    let entry = Entry::Injected {
        mark: MARK_FROM_PORT | TAP_A,
        gso_size: 0,
    };
    let before = world.drop_counts();
    world
        .datapath
        .as_mut()
        .unwrap()
        .rehearse(entry, frame)
        .ok()?;
    let mut key = None;
    world.upcalls.drain(10, |f| key = Some(f.header.key));
    Some(key.ok_or_else(|| world.new_drop(&before)))
}

/// What `flow::parse` says, as the kernel program would put it.
fn by_flow(frame: &[u8]) -> Reading {
    flow::parse(frame).map(|parsed| FlowKey {
        in_port: TAP_A,
        ..parsed.key
    })
}

fn agree(world: &mut World, frame: &[u8]) {
    let Some(kernel) = by_kernel(world, frame) else {
        assert!(
            frame.len() < 54,
            "the kernel refuses to rehearse {frame:x?}"
        );
        return;
    };
    let ours = by_flow(frame);
    let without_ports = |key: FlowKey| FlowKey {
        sport: 0,
        dport: 0,
        ..key
    };
    match (&kernel, &ours) {
        // later fragments: the kernel adds the ports that it knows, if it does
        (Err(DropReason::FragmentUnknown), Ok(key)) if key.flags & FLAG_FRAGMENT != 0 => {}
        (Ok(k), Ok(o)) if o.flags & FLAG_FRAGMENT != 0 => assert_eq!(without_ports(*k), *o),
        _ => assert_eq!(kernel, ours, "{frame:x?}"),
    }
}

#[test]
fn every_kind_of_frame_reads_the_same() {
    let mut world = World::new();
    world.table.maps_mut().set_port(TAP_A, u32::MAX).unwrap();
    for frame in samples() {
        agree(&mut world, &frame);
        for length in 14..frame.len() {
            agree(&mut world, &frame[..length]);
        }
    }
}

/// All orders of up to four extension headers, and more of one kind than are followed, before each
/// kind of end.
#[test]
fn every_chain_of_extension_headers_reads_the_same() {
    let mut world = World::new();
    world.table.maps_mut().set_port(TAP_A, u32::MAX).unwrap();
    let kinds = [0u8, 43, 44, 60];
    let mut chains: Vec<Vec<u8>> = (0..=9).map(|n| vec![60; n]).collect();
    for length in 1..=4u32 {
        chains.extend((0..4usize.pow(length)).map(|n| {
            let kind = |i| kinds[n / 4usize.pow(i) % 4];
            (0..length).map(kind).collect()
        }));
    }
    for chain in chains {
        for end in [6u8, 17, 58, 59, 51, 135] {
            let mut nexts = chain.iter().skip(1).copied().chain([end]);
            let header = |_: &u8| [nexts.next().unwrap(), 0, 0, 0, 0, 0, 0, 0];
            let headers: Vec<u8> = chain.iter().flat_map(header).collect();
            let payload = [&headers[..], &[0x50; 24]].concat();
            let first = chain.first().copied().unwrap_or(end);
            agree(&mut world, &raw_ip(A6, B6, first, &payload));
        }
    }
}

#[test]
fn mutated_frames_read_the_same() {
    let mut world = World::new();
    world.table.maps_mut().set_port(TAP_A, u32::MAX).unwrap();
    let samples = samples();
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let strategy = (0..samples.len(), changes, 0usize..8, any::<bool>());
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let world = std::cell::RefCell::new(&mut world);
    let run = |(sample, changes, padding, repair): (usize, Vec<_>, usize, bool)| {
        let mut frame = samples[sample].clone();
        for (at, byte) in &changes {
            let at: &prop::sample::Index = at;
            let at = at.index(frame.len());
            frame[at] = *byte;
        }
        frame.extend(std::iter::repeat_n(0xaa, padding));
        let header_fits = 14 + usize::from(frame[14] & 15) * 4 <= frame.len();
        if repair && frame[12..14] == [8, 0] && header_fits {
            fix_ipv4(&mut frame);
        }
        agree(*world.borrow_mut(), &frame);
        Ok(())
    };
    TestRunner::new(config).run(&strategy, run).unwrap();
}
