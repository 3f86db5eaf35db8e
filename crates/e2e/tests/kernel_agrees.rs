//! The kernel program, fed with decisions of the simulation, does to every packet what a fresh
//! simulation of that packet says: also to packets it never asked about, and also after changes.
//!
//! Random topologies, packets and changes; the frames are rehearsed (`BPF_PROG_TEST_RUN`).
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use bpf_abi::{
    ConnKey, FLAG_ICMP_ERROR, FLAG_TRANSIT_ERROR, FlowKey, MARK_FROM_PORT, STATE_FORWARD,
    STATE_REPLY, WHY_MISS,
};
use datapath::{
    Datapath, Entry, KernelMaps, Maps, Options, Place, Places, Table, Upcalls, compile,
};
use flow::{Decision, DropReason, Rewrite, Verdict};
use sim::{
    Ingress, Packet,
    testing::{Dice, random_answer, random_change, random_frame, random_world},
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    path::{Path, PathBuf},
};
use topology::{PortId, RouterId, Snapshot, Tag};

const WORLDS: u64 = 24;
const PACKETS: usize = 400;
/// One in so many steps is a change of the topology.
const CHANGE: usize = 25;
/// One in so many packets is an answer to one of the last that were delivered.
const ANSWER: usize = 2;
const LAST: usize = 16;
const UPCALL_RATE: u32 = 1_000_000;
/// No device has such a number.
const FIRST_TAP: u32 = 1 << 20;

#[test]
fn the_kernel_does_what_the_simulation_says() {
    let mut kernel = Kernel::load();
    let (mut asked, mut cached) = (0, 0);
    for seed in 0..WORLDS {
        let mut dice = Dice::new(seed);
        let world = random_world(&mut dice);
        let mut snapshot = world.snapshot();
        kernel.table.clear().unwrap();
        kernel.plug(&snapshot);
        for step in 0..PACKETS {
            if dice.once_in(CHANGE) {
                let touched = snapshot.apply(random_change(&mut dice, &world, step as u64 + 2));
                kernel.table.invalidate(&touched).unwrap();
                continue;
            }
            if snapshot.ports().all(|p| p.router().is_some()) {
                break;
            }
            let answer = kernel.random_answer(&mut dice);
            let (port, frame) = answer.unwrap_or_else(|| {
                let (port, frame, _) = random_frame(&mut dice, &snapshot);
                (port, frame)
            });
            match kernel.check(&snapshot, port, &frame) {
                Ok(Asked::Yes) => asked += 1,
                Ok(Asked::No) => cached += 1,
                Err(wrong) => panic!("world {seed}, step {step}: {wrong}"),
            }
        }
    }
    // a check that never meets a cached decision shows nothing
    assert!(
        asked > 100 && cached > 100,
        "{asked} packets asked, {cached} did not"
    );
}

/// Whether the kernel had to ask the agent.
enum Asked {
    Yes,
    No,
}

/// What the kernel did to a frame.
#[derive(Debug, PartialEq)]
enum Fate {
    Sent(Vec<u8>),
    Up { why: u8, key: FlowKey },
    Dropped(Option<DropReason>),
}

struct Kernel {
    datapath: Option<Datapath>,
    table: Table<KernelMaps>,
    upcalls: Upcalls,
    taps: HashMap<PortId, u32>,
    next_tap: u32,
    /// The last frames that were delivered, as they were, and where.
    delivered: VecDeque<(PortId, Vec<u8>)>,
    /// What connection entries should be there, and of which direction.
    connections: HashMap<ConnKey, u8>,
}

/// Every second port is at another host.
struct Spread<'a>(&'a HashMap<PortId, u32>);

impl Places for Spread<'_> {
    fn place(&self, port: PortId) -> Place {
        match self.0.get(&port) {
            Some(&tap) if tap % 2 == 0 => Place::Local { ifindex: tap },
            Some(&tap) => Place::Remote {
                host: "far".to_owned(),
                address: [192, 0, 2, 9].into(),
                key: tap - FIRST_TAP + 1,
            },
            None => Place::Unbound,
        }
    }

    fn router(&self, _: RouterId, _: &str) -> Place {
        Place::Unbound
    }

    fn number(&self, _: RouterId) -> Option<u32> {
        None
    }
}

impl Kernel {
    fn load() -> Self {
        let pin_dir = pin_dir();
        let options = Options {
            pin_dir,
            connections: 65_536,
        };
        let datapath = Datapath::start(&options).expect("root and a BPF file system");
        let table = Table::new(datapath.maps().unwrap()).unwrap();
        let upcalls = datapath.upcalls().unwrap();
        Self {
            datapath: Some(datapath),
            table,
            upcalls,
            taps: HashMap::new(),
            next_tap: FIRST_TAP,
            delivered: VecDeque::new(),
            connections: HashMap::new(),
        }
    }

    /// New taps for the ports of a new world.
    fn plug(&mut self, snapshot: &Snapshot) {
        for (_, tap) in self.taps.drain() {
            self.table.maps_mut().remove_port(tap).unwrap();
        }
        self.connections.clear();
        self.delivered.clear();
        for port in snapshot.ports().filter(|p| p.router().is_none()) {
            self.tap(port.id);
        }
    }

    /// The tap of a port; a new one if it had none, and then what was decided without it is void.
    fn tap(&mut self, port: PortId) -> u32 {
        if let Some(&tap) = self.taps.get(&port) {
            return tap;
        }
        let tap = self.next_tap;
        self.next_tap += 1;
        self.table.maps_mut().set_port(tap, UPCALL_RATE).unwrap();
        self.taps.insert(port, tap);
        self.table
            .invalidate(&BTreeSet::from([Tag::Port(port)]))
            .unwrap();
        tap
    }

    fn check(&mut self, snapshot: &Snapshot, port: PortId, frame: &[u8]) -> Result<Asked, String> {
        let tap = self.tap(port);
        let parsed = match flow::parse(frame) {
            Ok(parsed) => parsed,
            Err(reason) => return expect(self.hand_in(tap, frame), Fate::Dropped(Some(reason))),
        };
        let key = FlowKey {
            in_port: tap,
            state: self.state(tap, &parsed.key, frame),
            ..parsed.key
        };
        let decision = decide(snapshot, port, key, frame);
        let compiled = compile(&decision, &Spread(&self.taps));
        let first = self.hand_in(tap, frame);
        let (asked, fate) = match (first, compiled) {
            // no decision is ever asked for what only the agent answers
            (Fate::Up { why, .. }, _) if why != WHY_MISS => return Ok(Asked::Yes),
            (Fate::Up { key: up, .. }, Some(compiled)) => {
                let up = FlowKey {
                    state: key.state,
                    ..up
                };
                if up != key {
                    return Err(format!("the kernel read {up:?}, not {key:?}"));
                }
                self.table.install(&key, &decision.mask, compiled).unwrap();
                (Asked::Yes, self.hand_in(tap, frame))
            }
            (Fate::Up { .. }, None) => return Ok(Asked::Yes),
            (fate, _) => (Asked::No, fate),
        };
        let wanted = match &decision.verdict {
            Verdict::Forward { rewrite, .. } => Fate::Sent(forwarded(frame, rewrite)),
            Verdict::Drop { reason, .. } => Fate::Dropped(Some(*reason)),
            // what ends behind a router ends whatever its TTL: the kernel program looks at the TTL
            // of what it sends on
            Verdict::Refuse {
                reason: DropReason::TtlExpired,
                ..
            } if matches!(fate, Fate::Dropped(_)) => return Ok(asked),
            other => return Err(format!("{fate:?} although the simulation says {other:?}")),
        };
        if let (Verdict::Forward { to, .. }, Fate::Sent(frame)) = (&decision.verdict, &fate)
            && let Some(port) = to.port()
        {
            self.delivered.push_front((port, frame.clone()));
            self.delivered.truncate(LAST);
        }
        if fate != wanted
            && self
                .passes_as_its_connection(snapshot, port, &key, frame)
                .as_ref()
                == Some(&fate)
        {
            return Ok(Asked::No);
        }
        self.note(&key, &decision.verdict);
        expect(fate, wanted)
            .map_err(|e| format!("{e}; {key:?}: {decision:?}"))
            .map(|_| asked)
    }

    /// What the receiver of one of the last packets sends back.
    fn random_answer(&mut self, dice: &mut Dice) -> Option<(PortId, Vec<u8>)> {
        if self.delivered.is_empty() || !dice.once_in(ANSWER) {
            return None;
        }
        let (port, frame) = &self.delivered[dice.below(self.delivered.len())];
        random_answer(dice, frame).map(|answer| (*port, answer))
    }

    /// An ICMP error passes by the entry of its connection as long as that is in force, whichever
    /// end opened it; the simulation, which is asked afterwards, knows of answered ends only.
    fn passes_as_its_connection(
        &self,
        snapshot: &Snapshot,
        port: PortId,
        key: &FlowKey,
        frame: &[u8],
    ) -> Option<Fate> {
        let known = self.connections.contains_key(&tuple(key.in_port, key));
        let passes = key.flags & (FLAG_ICMP_ERROR | FLAG_TRANSIT_ERROR) == FLAG_ICMP_ERROR;
        if !passes || !known {
            return None;
        }
        let flags = key.flags & !FLAG_ICMP_ERROR;
        [STATE_FORWARD, STATE_REPLY].into_iter().find_map(|state| {
            let key = FlowKey {
                flags,
                state,
                ..*key
            };
            match decide(snapshot, port, key, frame).verdict {
                Verdict::Forward { rewrite, .. } => Some(Fate::Sent(forwarded(frame, &rewrite))),
                _ => None,
            }
        })
    }

    /// The direction that the kernel should take a packet for.
    fn state(&self, tap: u32, key: &FlowKey, frame: &[u8]) -> u8 {
        let known = self
            .connections
            .get(&tuple(tap, key))
            .copied()
            .unwrap_or(STATE_FORWARD);
        let transport = flow::parse(frame).map_or(0, |p| p.transport);
        let opens = key.proto == wire::protocol::TCP
            && frame.get(transport + 13) == Some(&wire::tcp_flag::SYN);
        if opens { STATE_FORWARD } else { known }
    }

    /// Keeps the model of the connection table: `docs/adr/0003`.
    fn note(&mut self, key: &FlowKey, verdict: &Verdict) {
        let Verdict::Forward {
            ref to,
            track,
            reply,
            ..
        } = *verdict
        else {
            return;
        };
        let Some(port) = to.port() else { return };
        if key.flags & FLAG_ICMP_ERROR != 0 {
            return;
        }
        let state = if reply { STATE_REPLY } else { STATE_FORWARD };
        self.connections.insert(tuple(key.in_port, key), state);
        let tap = self.taps.get(&port).filter(|tap| *tap % 2 == 0 && track);
        let ports = bpf_abi::reverse_ports(key.proto, key.sport, key.dport);
        if let (Some(&tap), Some((sport, dport))) = (tap, ports) {
            let turned = FlowKey {
                src: key.dst,
                dst: key.src,
                sport,
                dport,
                ..*key
            };
            self.connections.insert(tuple(tap, &turned), STATE_REPLY);
        }
    }

    fn hand_in(&mut self, tap: u32, frame: &[u8]) -> Fate {
        let before = self.drops();
        let entry = Entry::Injected {
            mark: MARK_FROM_PORT | tap,
            gso_size: 0,
        };
        let datapath = self.datapath.as_mut().expect("loaded until the end");
        let done = datapath.rehearse(entry, frame).unwrap();
        if done.redirected {
            return Fate::Sent(done.frame);
        }
        let mut up = None;
        self.upcalls.drain(2, |f| up = Some(f.header));
        match up {
            Some(header) => Fate::Up {
                why: header.why,
                key: header.key,
            },
            None => {
                let after = self.drops();
                let new = after.difference(&before).next();
                Fate::Dropped(new.and_then(|(_, reason, _)| DropReason::from_number(*reason)))
            }
        }
    }

    fn drops(&self) -> BTreeSet<(u32, u32, u64)> {
        let drops = self.table.maps().drops().unwrap();
        drops
            .into_iter()
            .map(|(k, n)| (k.in_port, k.reason, n.packets))
            .collect()
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if let Some(Err(e)) = self.datapath.take().map(Datapath::remove) {
            eprintln!("the datapath of the test stays behind: {e}");
        }
    }
}

fn decide(snapshot: &Snapshot, port: PortId, key: FlowKey, frame: &[u8]) -> Decision {
    let packet = Packet {
        key,
        frame,
        gso_size: 0,
    };
    sim::simulate(snapshot, Ingress::Port(port), &packet)
}

fn expect(fate: Fate, wanted: Fate) -> Result<Asked, String> {
    if fate == wanted {
        Ok(Asked::No)
    } else {
        Err(format!("{fate:?}, not {wanted:?}"))
    }
}

fn tuple(in_port: u32, key: &FlowKey) -> ConnKey {
    let FlowKey {
        family,
        proto,
        src,
        dst,
        sport,
        dport,
        ..
    } = *key;
    ConnKey {
        in_port,
        family,
        proto,
        pad: 0,
        src,
        dst,
        sport,
        dport,
    }
}

/// The frame as it should leave.
fn forwarded(frame: &[u8], rewrite: &Rewrite) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if rewrite.hops == 0 {
        return frame;
    }
    frame[0..6].copy_from_slice(&rewrite.dmac.0);
    frame[6..12].copy_from_slice(&rewrite.smac.0);
    if frame[12..14] == [0x86, 0xdd] {
        frame[21] -= rewrite.hops;
    } else {
        frame[22] -= rewrite.hops;
        frame[24..26].fill(0);
        let header = usize::from(frame[14] & 0xf) * 4;
        let sum = wire::checksum(&frame[14..14 + header]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

fn pin_dir() -> PathBuf {
    lab::mount_bpffs().expect("a BPF file system");
    Path::new("/sys/fs/bpf").join(format!("midonet-agrees-{}", std::process::id()))
}
