//! Costs of the slow path's pure parts: reading a frame, judging a packet, applying a change.
//!
//! `cargo bench -p bench --bench simulation`

use bpf_abi::{STATE_FORWARD, STATE_REPLY};
use criterion::{Criterion, criterion_group, criterion_main};
use sim::{
    Ingress, Packet, simulate,
    testing::{Frame, Payload, Town, World, key_of},
};
use std::{fmt::Write, hint::black_box};
use topology::{Change, GroupId, Object, Snapshot, Versioned};

/// VMs beside those of the town, all in its group.
const CROWD: usize = 10_000;
/// TCP flag of an opening segment.
const SYN: u8 = 2;

fn syn() -> Payload {
    Payload::Tcp(40_000, 80, SYN)
}

/// A town whose first network has many more VMs.
fn crowded() -> (Town, GroupId) {
    let mut world = World::new();
    let group = world.default_group();
    let mut town = Town::new(world, Some(&[group]));
    let subnet = town.world.subnet(town.red, "10.2.0.0/16");
    let mut address = String::new();
    for number in 0..CROWD {
        address.clear();
        write!(address, "10.2.{}.{}", number / 256, number % 256)
            .expect("writing to a string succeeds");
        town.world
            .vm(town.red, "host2", &[(subnet, &address)], Some(&[group]));
    }
    (town, group)
}

fn reading(criterion: &mut Criterion) {
    let town = Town::with_default_group();
    for (name, family) in [("tcp over ipv4", 4), ("tcp over ipv6", 6)] {
        let frame = town.a.to(&town.b, family, syn()).bytes();
        criterion.bench_function(&format!("read {name}"), |b| {
            b.iter(|| flow::parse(black_box(&frame)));
        });
    }
}

fn judging(criterion: &mut Criterion) {
    let town = Town::with_default_group();
    let (crowd, _) = crowded();
    let judge = |criterion: &mut Criterion, name: &str, town: &Town, frame: Frame, state| {
        let snapshot = town.snapshot();
        let bytes = frame.bytes();
        let packet = Packet {
            key: key_of(&bytes, state),
            frame: &bytes,
            gso_size: 0,
        };
        criterion.bench_function(name, |b| {
            b.iter(|| simulate(black_box(&snapshot), Ingress::Port(town.a.port), &packet));
        });
    };
    let near = town.a.to(&town.b, 4, syn());
    let far = town.a.via_gateway(town.c.v4, syn());
    let far6 = town.a.via_gateway(town.c.v6, syn());
    judge(
        criterion,
        "judge on one network",
        &town,
        near.clone(),
        STATE_FORWARD,
    );
    judge(criterion, "judge a reply", &town, near.clone(), STATE_REPLY);
    judge(
        criterion,
        "judge through a router",
        &town,
        far,
        STATE_FORWARD,
    );
    judge(
        criterion,
        "judge through a router, ipv6",
        &town,
        far6,
        STATE_FORWARD,
    );
    judge(
        criterion,
        "judge among 10000 members",
        &crowd,
        near,
        STATE_FORWARD,
    );
}

fn changing(criterion: &mut Criterion) {
    let (town, _) = crowded();
    let mut snapshot: Snapshot = town.snapshot();
    let mut port = snapshot
        .port(town.b.port)
        .expect("the town has it")
        .as_ref()
        .clone();
    let mut revision = 1;
    criterion.bench_function("change a port among 10000", |b| {
        b.iter(|| {
            revision += 1;
            port.admin_up = !port.admin_up;
            let object = Object::Port(port.clone());
            snapshot.apply(Change::Put(Versioned { revision, object }))
        });
    });
}

criterion_group!(simulation, reading, judging, changing);
criterion_main!(simulation);
