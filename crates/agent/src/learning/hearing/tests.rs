//! Agents of two hosts that talk with each other, over fake maps.

use super::*;
use crate::{plug::Plugged, world::Upcall};
use datapath::FakeMaps;
use sim::testing::{World as Made, key_of, mac};
use std::net::Ipv4Addr;
use topology::{Change, Object, Versioned};
use uuid::Uuid;
use wire::{Arp, ArpOperation, Mac};

const SECOND: u64 = 1_000_000_000;
const SHARED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);
const FOREIGN: Mac = Mac([2, 9, 9, 9, 9, 9]);

/// One network with port `a` on host1 and `b` on host2, both without port security, and the agents
/// of the two hosts.
struct Pair {
    bridge: BridgeId,
    ports: [PortId; 2],
    agents: [World<FakeMaps>; 2],
}

impl Pair {
    fn new() -> Self {
        let mut made = Made::new();
        let bridge = made.bridge();
        let subnet = made.subnet(bridge, "10.0.0.0/24");
        let a = made.vm(bridge, "host1", &[(subnet, "10.0.0.11")], None);
        let b = made.vm(bridge, "host2", &[(subnet, "10.0.0.12")], None);
        let agents = ["host1", "host2"].map(|host| {
            let mut world = World::new(host.into(), FakeMaps::default());
            let put = |object: &Object| {
                Change::Put(Versioned {
                    revision: 1,
                    object: object.clone(),
                })
            };
            let changes = made.objects.iter().map(put).collect();
            world.apply(Uuid::nil(), 1, changes).unwrap();
            world
        });
        let mut pair = Self {
            bridge,
            ports: [a, b],
            agents,
        };
        for (agent, port) in pair.agents.iter_mut().zip(pair.ports) {
            let key = agent.snapshot().port(port).unwrap().key;
            let plugged = Plugged {
                port,
                name: "tap7".into(),
                vlan: None,
                key,
                flood_key: agent.snapshot().bridge(bridge).unwrap().flood_key,
                mtu: 1450,
                uplink: false,
            };
            agent.plugged(7, plugged).unwrap();
            agent.speak(0).unwrap();
        }
        pair
    }

    /// A frame comes up at an agent's tap.
    fn say(&mut self, host: usize, bytes: &[u8], now: u64) {
        let len = bytes.len() as u32;
        let header = bpf_abi::Upcall {
            key: key_of(bytes, 0),
            why: bpf_abi::WHY_CONTROL,
            len,
            captured: len,
            time_ns: now,
            ..Default::default()
        };
        self.agents[host].decide(&Upcall { header, bytes });
    }

    /// What an agent says now.
    fn speech(&mut self, host: usize, now: u64) -> Vec<Message> {
        let messages = self.agents[host].speak(now).unwrap().messages;
        let to_other = |(to, message)| {
            assert_eq!(to, address(1 - host));
            message
        };
        messages.into_iter().map(to_other).collect()
    }

    fn deliver(&mut self, to: usize, messages: &[Message], now: u64) {
        for message in messages {
            let from = address(1 - to);
            self.agents[to].hear(from, message.clone(), now).unwrap();
        }
    }

    /// Where each agent thinks that the shared address is.
    fn holders(&self) -> [Option<PortId>; 2] {
        let tag = Tag::Neighbor(self.bridge, SHARED.into());
        self.agents
            .each_ref()
            .map(|agent| agent.snapshot().station(&tag).map(|s| s.port))
    }
}

fn address(host: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, host as u8 + 1])
}

fn announcement() -> Vec<u8> {
    let arp = Arp {
        operation: ArpOperation::Request,
        sender_mac: FOREIGN,
        sender_ip: SHARED,
        target_mac: Mac::default(),
        target_ip: SHARED,
    };
    arp.frame(Mac::BROADCAST)
}

#[test]
fn what_one_host_hears_the_other_is_told() {
    let mut pair = Pair::new();
    let [a, b] = pair.ports;
    pair.say(0, &announcement(), SECOND);
    assert!(pair.agents[0].book().has_news());
    let news = pair.speech(0, SECOND);
    pair.deliver(1, &news, SECOND);
    assert_eq!(pair.holders(), [Some(a); 2]);
    // it moves, and back
    pair.say(1, &announcement(), 2 * SECOND);
    let news = pair.speech(1, 2 * SECOND);
    pair.deliver(0, &news, 2 * SECOND);
    assert_eq!(pair.holders(), [Some(b); 2]);
    pair.say(0, &announcement(), 2 * SECOND + 1);
    let news = pair.speech(0, 2 * SECOND + 1);
    pair.deliver(1, &news, 2 * SECOND + 1);
    assert_eq!(pair.holders(), [Some(a); 2]);
}

#[test]
fn news_that_cross_or_come_late_end_in_one_place() {
    let mut pair = Pair::new();
    let b = pair.ports[1];
    pair.say(0, &announcement(), SECOND);
    pair.say(1, &announcement(), SECOND + 5_000_000);
    let old = pair.speech(0, SECOND);
    let new = pair.speech(1, SECOND + 5_000_000);
    // the older is rejected, and its host is put right
    pair.deliver(1, &old, 2 * SECOND);
    assert_eq!(pair.holders()[1], Some(b));
    pair.deliver(0, &new, 2 * SECOND);
    pair.deliver(1, &old, 3 * SECOND);
    assert_eq!(pair.holders(), [Some(b); 2]);
    let repeated = pair.speech(0, 4 * SECOND);
    assert_eq!(repeated, []);
}

#[test]
fn a_host_speaks_for_its_own_ports_only() {
    let mut pair = Pair::new();
    let [a, _] = pair.ports;
    let claim = |port, mac, ip| {
        Message::Claims(vec![Claim {
            port,
            mac,
            ip,
            version: u64::MAX,
            parted: false,
        }])
    };
    let shared = Some(IpAddr::V4(SHARED));
    // host2 about a port of host1, a stranger, and an address that is another's
    pair.deliver(0, &[claim(a, FOREIGN, shared)], SECOND);
    let b = pair.ports[1];
    let stranger = IpAddr::from([198, 51, 100, 1]);
    pair.agents[0]
        .hear(stranger, claim(b, FOREIGN, shared), SECOND)
        .unwrap();
    let fixed = Some(IpAddr::from([10, 0, 0, 11]));
    pair.deliver(0, &[claim(b, FOREIGN, fixed)], SECOND);
    assert_eq!(pair.agents[0].snapshot().stations().count(), 0);
    assert_eq!(pair.agents[0].book().ignored(), 2);
}

#[test]
fn a_host_that_starts_late_asks_and_is_told() {
    let mut pair = Pair::new();
    let a = pair.ports[0];
    pair.say(0, &announcement(), SECOND);
    pair.speech(0, SECOND); // lost
    let bridge = pair.bridge;
    pair.agents[1].book.enter(bridge, SECOND);
    let asked = pair.speech(1, SECOND);
    assert_eq!(asked, [Message::Ask(vec![bridge])]);
    pair.deliver(0, &asked, SECOND);
    let told = pair.speech(0, SECOND);
    pair.deliver(1, &told, SECOND);
    assert_eq!(pair.holders(), [Some(a); 2]);
}

#[test]
fn who_was_behind_a_tap_is_gone_with_it_everywhere() {
    let mut pair = Pair::new();
    pair.say(0, &announcement(), SECOND);
    let news = pair.speech(0, SECOND);
    pair.deliver(1, &news, SECOND);
    assert_eq!(pair.agents[1].snapshot().stations().count(), 2);
    pair.agents[0].unplugged(7).unwrap();
    let news = pair.speech(0, SECOND);
    pair.deliver(1, &news, SECOND);
    assert_eq!(pair.holders(), [None; 2]);
    assert_eq!(pair.agents[1].snapshot().stations().count(), 0);
}

#[test]
fn decisions_about_a_station_go_with_what_was_known_of_it() {
    let mut pair = Pair::new();
    let [a, b] = pair.ports;
    pair.say(0, &announcement(), SECOND);
    let frame = sim::testing::Frame {
        smac: mac(a.0.as_u128() as u16),
        dmac: FOREIGN,
        src: Ipv4Addr::new(10, 0, 0, 11).into(),
        dst: SHARED.into(),
        ttl: 64,
        payload: sim::testing::Payload::Udp(1, 2, vec![0; 8]),
    };
    let bytes = frame.bytes();
    let header = bpf_abi::Upcall {
        key: key_of(&bytes, 0),
        why: bpf_abi::WHY_MISS,
        len: bytes.len() as u32,
        captured: bytes.len() as u32,
        time_ns: SECOND,
        ..Default::default()
    };
    let bytes = &bytes[..];
    let decided = |agent: &mut World<FakeMaps>| {
        agent.decide(&Upcall { header, bytes });
        let maps = agent.table_mut().unwrap().maps_mut();
        maps.look_up(&header.key).map(|(_, action)| action.kind)
    };
    // behind its own port: it would go back where it came from
    assert_eq!(decided(&mut pair.agents[0]), Some(bpf_abi::ACTION_DROP));
    pair.say(1, &announcement(), 2 * SECOND);
    let news = pair.speech(1, 2 * SECOND);
    pair.deliver(0, &news, 2 * SECOND);
    assert_eq!(pair.holders(), [Some(b); 2]);
    assert_eq!(decided(&mut pair.agents[0]), Some(bpf_abi::ACTION_TUNNEL));
}

/// A router with an uplink at each of two gateways, the agent of the first one and that of a host
/// with neither.
#[test]
fn a_gateway_tells_of_its_plug_and_the_others_leave_it_at_once_or_when_it_is_silent() {
    let mut made = Made::new();
    let router = made.router(Vec::new());
    let plugs = ["host1", "host2"].map(|host| {
        let bridge = made.bridge();
        let subnet = made.subnet(bridge, "192.0.2.0/30");
        made.interface(router, bridge, &[(subnet, "192.0.2.2")]);
        let plug = made.vm(bridge, host, &[], None);
        made.change_port(plug, |port| port.outside = true);
        plug
    });
    let put = |object: &Object| {
        Change::Put(Versioned {
            revision: 1,
            object: object.clone(),
        })
    };
    let mut agents = ["host1", "host2"].map(|host| {
        let mut world = World::new(host.into(), FakeMaps::default());
        let changes = made.objects.iter().map(put).collect();
        world.apply(Uuid::nil(), 1, changes).unwrap();
        world
    });
    let start = linux::monotonic_ns();
    let alive = |world: &World<FakeMaps>| plugs.map(|plug| world.snapshot().has_carrier(plug));
    assert_eq!(alive(&agents[1]), [true, true], "until it is known better");

    let told = |world: &mut World<FakeMaps>, now| {
        let carriers = |message: &Message| matches!(message, Message::Carriers { .. });
        let messages = world.speak(now).unwrap().messages;
        let messages = messages.into_iter().map(|(_, message)| message);
        messages.filter(carriers).collect::<Vec<_>>()
    };
    let pass_on = |agents: &mut [World<FakeMaps>; 2], now: u64| {
        let said = told(&mut agents[0], now);
        let count = said.len();
        for message in said {
            agents[1].hear(address(0), message, now).unwrap();
        }
        count
    };
    agents[0].set_up(&BTreeSet::from([plugs[0]])).unwrap();
    agents[1].set_up(&BTreeSet::from([plugs[1]])).unwrap();
    assert_eq!(pass_on(&mut agents, start), 1);
    assert_eq!(alive(&agents[1]), [true, true]);
    assert_eq!(pass_on(&mut agents, start + SECOND / 20), 0, "not so soon");

    // the cable is out, and in again
    agents[0].set_up(&BTreeSet::new()).unwrap();
    assert!(!alive(&agents[0])[0]);
    assert_eq!(pass_on(&mut agents, start + SECOND / 20), 1);
    assert_eq!(alive(&agents[1]), [false, true]);
    agents[0].set_up(&BTreeSet::from([plugs[0]])).unwrap();
    assert_eq!(pass_on(&mut agents, start + SECOND / 5), 1);
    assert_eq!(alive(&agents[1]), [true, true]);

    // its agent dies; the way by the own plug is still there
    agents[1].speak(start + 2 * SECOND).unwrap();
    assert_eq!(alive(&agents[1]), [false, true]);
    // without any other it is used again
    agents[1].set_up(&BTreeSet::new()).unwrap();
    agents[1].speak(start + 3 * SECOND).unwrap();
    assert_eq!(alive(&agents[1]), [true, false]);
    // a host says nothing of plugs that are not its own
    let lie = Message::Carriers {
        version: u64::MAX,
        plugs: vec![(plugs[1], true)],
    };
    agents[1].hear(address(0), lie, start + 3 * SECOND).unwrap();
    assert!(!alive(&agents[1])[1]);
}
