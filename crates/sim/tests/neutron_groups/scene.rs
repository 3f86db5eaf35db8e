//! Random clouds and what happens in them: small choices that are likely to matter to each other.

use crate::model::{Net, Remote, Rule, Way};
use proptest::{collection::vec, option, prelude::*, sample::select};

pub const GROUPS: usize = 3;
pub const ADDRESS_GROUPS: usize = 2;
pub const PORTS: usize = 4;
/// Rules of a group at the start.
const RULES: usize = 5;
/// What happens in one scene.
const EVENTS: usize = 90;

/// A cloud, and what happens in it.
#[derive(Clone, Debug)]
pub struct Scene {
    pub groups: Vec<(bool, Vec<Rule>)>,
    pub addresses: Vec<Vec<Net>>,
    pub ports: Vec<PortChoice>,
    pub events: Vec<Event>,
}

/// Groups of a port (none: no port security), and which pair it has.
#[derive(Clone, Debug)]
pub struct PortChoice {
    pub groups: Option<Vec<usize>>,
    pub pair: Option<usize>,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// A packet to a port.
    New {
        from: usize,
        to: usize,
        v4: bool,
        src: usize,
        dst: usize,
        load: Load,
    },
    /// What a receiver sends back to some earlier packet.
    Answer(usize),
    /// An earlier packet once more.
    Again(usize),
    /// An ICMP error about an earlier packet.
    Error(usize),
    AddRule(usize, Rule),
    /// One of the rules of a group, if it has any.
    RemoveRule(usize, usize),
    ChangePort(usize, PortChoice),
    ChangeAddresses(usize, Vec<Net>),
}

/// What a packet carries.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    Ports {
        proto: u8,
        src: u16,
        dst: u16,
        syn: bool,
    },
    Icmp {
        kind: usize,
        code: u8,
        id: u16,
    },
    Other(u8),
}

pub fn scene() -> impl Strategy<Value = Scene> {
    let group = (prop::bool::weighted(0.7), initial_rules());
    let parts = (
        vec(group, GROUPS),
        vec(nets(), ADDRESS_GROUPS),
        vec(port(), PORTS),
        vec(event(), EVENTS / 2..=EVENTS),
    );
    parts.prop_map(|(groups, addresses, ports, events)| Scene {
        groups,
        addresses,
        ports,
        events,
    })
}

/// As many groups do, most let everything out; some let in whatever is of one version.
fn initial_rules() -> impl Strategy<Value = Vec<Rule>> {
    let every = |way, version| Rule {
        way,
        version,
        protocol: None,
        min: None,
        max: None,
        remote: Remote::Any,
    };
    let often = || prop::bool::weighted(0.6);
    let rarely = || prop::bool::weighted(0.15);
    let broad = (often(), often(), rarely(), rarely()).prop_map(move |(a, b, c, d)| {
        let (out, into) = (Way::Egress, Way::Ingress);
        let all = [(a, out, 4), (b, out, 6), (c, into, 4), (d, into, 6)];
        let all = all.into_iter().filter(|(there, ..)| *there);
        all.map(|(_, way, version)| every(way, version)).collect()
    });
    (broad, vec(rule(), 0..=RULES)).prop_map(|(mut rules, others): (Vec<Rule>, _)| {
        rules.extend(others);
        rules
    })
}

fn port() -> impl Strategy<Value = PortChoice> {
    let groups = vec(0..GROUPS, 0..=3).prop_map(|mut groups| {
        groups.sort_unstable();
        groups.dedup();
        groups
    });
    let groups = option::weighted(0.85, groups);
    (groups, option::weighted(0.3, 0..PAIRS.len()))
        .prop_map(|(groups, pair)| PortChoice { groups, pair })
}

fn event() -> impl Strategy<Value = Event> {
    let new = (
        0..PORTS,
        1..PORTS,
        any::<bool>(),
        0..3_usize,
        0..3_usize,
        load(),
    );
    let new = new.prop_map(|(from, step, v4, src, dst, load)| Event::New {
        from,
        to: (from + step) % PORTS,
        v4,
        src,
        dst,
        load,
    });
    prop_oneof![
        8 => new,
        7 => (0..EVENTS).prop_map(Event::Answer),
        6 => (0..EVENTS).prop_map(Event::Again),
        3 => (0..EVENTS).prop_map(Event::Error),
        1 => (0..GROUPS, rule()).prop_map(|(group, rule)| Event::AddRule(group, rule)),
        1 => (0..GROUPS, 0..RULES).prop_map(|(group, rule)| Event::RemoveRule(group, rule)),
        1 => (0..PORTS, port()).prop_map(|(n, port)| Event::ChangePort(n, port)),
        1 => (0..ADDRESS_GROUPS, nets()).prop_map(|(n, nets)| Event::ChangeAddresses(n, nets)),
    ]
}

const TRANSPORT_PORTS: &[u16] = &[22, 53, 80, 443, 1000, 40_000];
/// Types that are no errors, and none of neighbour or listener discovery.
pub const ICMP_V4: [u8; 6] = [8, 0, 13, 14, 17, 42];
pub const ICMP_V6: [u8; 6] = [128, 129, 128, 129, 100, 139];

fn load() -> impl Strategy<Value = Load> {
    let ports = || select(TRANSPORT_PORTS);
    let proto = select(&[6, 6, 6, 17, 17, 132, 33, 136][..]);
    let with_ports = (proto, ports(), ports(), any::<bool>());
    let icmp = (0..ICMP_V4.len(), 0..2_u8, 1..3_u16);
    prop_oneof![
        6 => with_ports.prop_map(|(proto, src, dst, syn)| Load::Ports { proto, src, dst, syn }),
        3 => icmp.prop_map(|(kind, code, id)| Load::Icmp { kind, code, id }),
        1 => select(&[47, 50, 51, 112, 2, 89, 113, 46, 8, 4, 41, 253][..]).prop_map(Load::Other),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let way = select(&[Way::Ingress, Way::Egress][..]);
    let version = select(&[4_u8, 6][..]);
    (way, version).prop_flat_map(|(way, version)| {
        (transport(version), remote(version)).prop_map(move |((protocol, min, max), remote)| Rule {
            way,
            version,
            protocol,
            min,
            max,
            remote,
        })
    })
}

type Transport = (Option<&'static str>, Option<u16>, Option<u16>);

fn transport(version: u8) -> impl Strategy<Value = Transport> {
    const EVERY: &[Option<&str>] = &[None, None, None, Some("any"), Some("0"), Some("ip")];
    const WITH_PORTS: &[&str] = &[
        "tcp", "tcp", "6", "udp", "udp", "17", "sctp", "132", "dccp", "33", "udplite", "136",
    ];
    const RANGES: &[(u16, u16)] = &[(22, 22), (53, 80), (1, 65_535), (443, 1000), (80, 80)];
    const OTHERS: &[&str] = &[
        "gre", "47", "esp", "ah", "51", "vrrp", "112", "igmp", "ospf", "pgm", "rsvp", "egp",
        "ipip", "253", "hopopt",
    ];
    let (icmp, kinds): (&[&str], &[u16]) = match version {
        4 => (&["icmp", "1"], &[8, 0, 13, 3, 42]),
        _ => (
            &["icmp", "1", "icmpv6", "ipv6-icmp", "58"],
            &[128, 129, 1, 100],
        ),
    };
    let range = option::of(select(RANGES)).prop_map(Option::unzip);
    let with_ports = (select(WITH_PORTS), range).prop_map(|(p, (min, max))| (Some(p), min, max));
    let kind = option::of((select(kinds), option::of(0..2_u16)));
    let icmp = (select(icmp), kind).prop_map(|(p, kind)| match kind {
        None => (Some(p), None, None),
        Some((kind, code)) => (Some(p), Some(kind), code),
    });
    prop_oneof![
        4 => select(EVERY).prop_map(|p| (p, None, None)),
        5 => with_ports,
        2 => icmp,
        1 => select(OTHERS).prop_map(|p| (Some(p), None, None)),
    ]
}

fn remote(version: u8) -> impl Strategy<Value = Remote> {
    let nets: &[&str] = if version == 4 { NETS_V4 } else { NETS_V6 };
    prop_oneof![
        5 => Just(Remote::Any),
        2 => select(nets).prop_map(|text| Remote::Prefix(net(text))),
        2 => (0..GROUPS).prop_map(Remote::Group),
        2 => (0..ADDRESS_GROUPS).prop_map(Remote::Addresses),
    ]
}

fn nets() -> impl Strategy<Value = Vec<Net>> {
    vec(select([NETS_V4, NETS_V6].concat()).prop_map(net), 0..4)
}

/// Ports have 10.0.0.10 and so on; some of these have host bits.
const NETS_V4: &[&str] = &[
    "0.0.0.0/0",
    "10.0.0.0/24",
    "10.0.0.11/31",
    "10.0.0.10/32",
    "10.0.0.13/32",
    "10.0.0.130/25",
    "192.0.2.0/24",
];
const NETS_V6: &[&str] = &[
    "::/0",
    "fd00::/64",
    "fd00::11/127",
    "fd00::10/128",
    "fd00::13/128",
    "fd00:9::5/64",
];

/// Allowed pairs, each with an address in it.
pub const PAIRS: [(&str, &str); 4] = [
    ("10.0.0.128/25", "10.0.0.200"),
    ("192.0.2.5/32", "192.0.2.5"),
    ("fd00:9::/64", "fd00:9::9"),
    ("fd00::77/128", "fd00::77"),
];

/// A prefix as text.
pub fn net(text: &str) -> Net {
    let (ip, len) = text.split_once('/').unwrap();
    Net(ip.parse().unwrap(), len.parse().unwrap())
}
