//! Security groups do what Neutron's API says: the whole way from Neutron's requests to verdicts
//! is compared with a small model of the API's text, over random groups, rules, members and
//! packets with what answers them, and with changes in between.
//!
//! `PROPTEST_CASES` sets the number of scenes; each has some dozens of packets.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod model;
mod product;
mod scene;

use model::{Cloud, Group, Kind, L4, Packet, Port, Tuple};
use product::Product;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use scene::{Event, ICMP_V4, ICMP_V6, Load, PAIRS, PortChoice, Scene};
use std::{cell::Cell, net::IpAddr};

/// Scenes, unless `PROPTEST_CASES` says otherwise.
const SCENES: u32 = 3000;
/// What that many scenes must amount to.
const PACKETS_MIN: u64 = 100_000;

#[test]
fn the_product_does_what_the_api_says() {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let scenes = asked.map_or(SCENES, |n| n.parse().unwrap());
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: 100_000,
        ..Config::with_cases(scenes)
    };
    let seen = Seen::default();
    let result = TestRunner::new(config).run(&scene::scene(), |scene| play(&scene, &seen));
    if let Err(failure) = result {
        panic!("{failure}");
    }
    println!("{scenes} scenes: {seen:?}");
    if scenes >= SCENES {
        seen.check();
    }
}

/// How often what happened: a comparison that never meets a case shows nothing about it.
#[derive(Debug, Default)]
struct Seen {
    packets: Cell<u64>,
    passed: Cell<u64>,
    answers: Cell<u64>,
    answers_passed: Cell<u64>,
    errors: Cell<u64>,
    errors_passed: Cell<u64>,
    /// Packets that had passed before and do no more, or the other way round.
    changed: Cell<u64>,
}

impl Seen {
    fn check(&self) {
        assert!(self.packets.get() >= PACKETS_MIN, "{self:?}");
        let part = |of: &Cell<u64>| of.get() >= self.packets.get() / 200;
        let all = [
            &self.passed,
            &self.answers,
            &self.answers_passed,
            &self.errors,
            &self.errors_passed,
            &self.changed,
        ];
        assert!(all.into_iter().all(part), "{self:?}");
    }
}

fn add(to: &Cell<u64>, what: bool) {
    to.set(to.get() + u64::from(what));
}

/// A packet that was sent, whether it was an answer, and whether it passed.
type Sent = Vec<(Packet, bool)>;

fn play(scene: &Scene, seen: &Seen) -> Result<(), TestCaseError> {
    let mut rules = 0;
    let mut model = cloud(scene, &mut rules);
    let mut product = Product::of(&model);
    let mut sent = Sent::new();
    for event in &scene.events {
        let Some(packet) = packet(event, &model, &sent) else {
            change(event, &mut model, &mut product, &mut rules);
            continue;
        };
        if !model.ports[packet.from].owns(packet.tuple.src) {
            continue;
        }
        let (wanted, found) = (model.passes(&packet), product.passes(&packet));
        if wanted != found {
            let text = format!("the model says {wanted}, the product {found}: {packet:?}");
            return Err(TestCaseError::fail(text));
        }
        let (is_answer, is_error) = (
            matches!(event, Event::Answer(_)),
            packet.kind == Kind::Error,
        );
        let before = matches!(event, Event::Again(_))
            .then(|| before(&sent, &packet))
            .flatten();
        add(&seen.packets, true);
        add(&seen.passed, found);
        add(&seen.answers, is_answer);
        add(&seen.answers_passed, is_answer && found);
        add(&seen.errors, is_error);
        add(&seen.errors_passed, is_error && found);
        add(&seen.changed, before.is_some_and(|before| before != found));
        sent.push((packet, found));
    }
    Ok(())
}

/// What became of a packet when it was sent the last time.
fn before(sent: &Sent, packet: &Packet) -> Option<bool> {
    let same = |p: &Packet| p.from == packet.from && p.tuple == packet.tuple;
    let last = sent
        .iter()
        .rev()
        .find(|(p, _)| same(p) && p.kind == packet.kind);
    last.map(|(_, passed)| *passed)
}

fn cloud(scene: &Scene, rules: &mut u32) -> Cloud {
    let groups = scene.groups.iter().map(|(stateful, list)| {
        let numbered = list.iter().map(|rule| {
            *rules += 1;
            (*rules, rule.clone())
        });
        Group {
            stateful: *stateful,
            rules: numbered.collect(),
        }
    });
    let ports = scene.ports.iter().enumerate().map(port);
    Cloud::new(groups.collect(), scene.addresses.clone(), ports.collect())
}

/// Port `n` has 10.0.0.1n and fd00::1n, the first one two more.
fn port((n, choice): (usize, &PortChoice)) -> Port {
    let mut addresses = vec![format!("10.0.0.1{n}"), format!("fd00::1{n}")];
    if n == 0 {
        addresses.extend(["10.0.0.20".to_owned(), "fd00::20".to_owned()]);
    }
    // Neutron has no pairs without port security
    let pair = choice.pair.filter(|_| choice.groups.is_some());
    Port {
        groups: choice.groups.clone(),
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        pairs: pair.map(|p| scene::net(PAIRS[p].0)).into_iter().collect(),
    }
}

/// The packet that an event is, if it is one.
fn packet(event: &Event, model: &Cloud, sent: &Sent) -> Option<Packet> {
    let earlier = |n: &usize| sent.get(*n % sent.len().max(1)).map(|(packet, _)| *packet);
    match event {
        Event::New {
            from,
            to,
            v4,
            src,
            dst,
            load,
        } => {
            let src = address(&model.ports[*from], *v4, *src);
            let dst = address(&model.ports[*to], *v4, *dst);
            Some(new(*from, *to, src, dst, load))
        }
        Event::Again(n) => earlier(n),
        Event::Answer(n) => back(earlier(n)?, Kind::Ordinary),
        Event::Error(n) => back(earlier(n)?, Kind::Error).filter(may_be_quoted),
        _ => None,
    }
}

/// One of the addresses of a port, or of its pairs.
fn address(port: &Port, v4: bool, n: usize) -> IpAddr {
    let own = port.addresses.iter().filter(|ip| ip.is_ipv4() == v4);
    let pairs = PAIRS.iter().map(|(_, ip)| ip.parse::<IpAddr>().unwrap());
    let pairs = pairs.filter(|ip| ip.is_ipv4() == v4 && port.pairs.iter().any(|n| n.has(*ip)));
    let all: Vec<IpAddr> = own.copied().chain(pairs).collect();
    all[n % all.len()]
}

fn new(from: usize, to: usize, src: IpAddr, dst: IpAddr, load: &Load) -> Packet {
    let v4 = src.is_ipv4();
    let (proto, l4, syn) = match *load {
        Load::Ports {
            proto,
            src,
            dst,
            syn,
        } => (proto, L4::Ports { src, dst }, syn && proto == 6),
        Load::Icmp { kind, code, id } => {
            let (proto, kind) = if v4 {
                (1, ICMP_V4[kind])
            } else {
                (58, ICMP_V6[kind])
            };
            // only echoes are told apart by what they carry
            let id = if matches!(kind, 0 | 8 | 128 | 129) {
                id
            } else {
                0
            };
            (proto, L4::Icmp { kind, code, id }, false)
        }
        Load::Other(proto) => (proto, L4::None, false),
    };
    let tuple = Tuple {
        proto,
        src,
        dst,
        l4,
    };
    let kind = if syn { Kind::Syn } else { Kind::Ordinary };
    Packet {
        from,
        to,
        tuple,
        kind,
    }
}

fn back(packet: Packet, kind: Kind) -> Option<Packet> {
    Some(Packet {
        from: packet.to,
        to: packet.from,
        tuple: packet
            .tuple
            .turned()
            .filter(|_| packet.kind != Kind::Error)?,
        kind,
    })
}

/// Errors about packets without ports cannot be told from each other.
fn may_be_quoted(error: &Packet) -> bool {
    match error.tuple.l4 {
        L4::Ports { .. } => true,
        L4::Icmp { kind, .. } => matches!(kind, 0 | 8 | 128 | 129),
        L4::None => false,
    }
}

fn change(event: &Event, model: &mut Cloud, product: &mut Product, rules: &mut u32) {
    match event {
        Event::AddRule(group, rule) => {
            *rules += 1;
            model.groups[*group].rules.insert(*rules, rule.clone());
            product.add_rule(*group, *rules, rule);
        }
        Event::RemoveRule(group, n) => {
            let rules = &mut model.groups[*group].rules;
            if let Some(&id) = rules.keys().nth(n % rules.len().max(1)) {
                rules.remove(&id);
                product.remove_rule(id);
            }
        }
        Event::ChangePort(n, choice) => {
            model.ports[*n] = port((*n, choice));
            product.put_port(*n, &model.ports[*n]);
        }
        Event::ChangeAddresses(n, nets) => {
            model.addresses[*n].clone_from(nets);
            product.put_addresses(*n, nets);
        }
        Event::New { .. } | Event::Answer(_) | Event::Again(_) | Event::Error(_) => {}
    }
}
