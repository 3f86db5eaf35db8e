//! A loaded kernel program of the test's own.

use aya::maps::{HashMap, Map, MapData};
use bpf_abi::{
    ACTION_DROP, ACTION_LOCAL, ACTION_TRACK, Action, Conn, ConnKey, FlowKey, MARK_FROM_PORT,
    Mapping, MappingKey, Upcall,
};
use datapath::{Compiled, Datapath, Entry, KernelMaps, Maps, Options, Rehearsal, Table, Upcalls};
use flow::{DropReason, Mask, mapped};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};
use topology::Tag;

/// Taps of the tests. No device has these numbers: frames are rehearsed, not sent.
pub const TAP_A: u32 = 1001;
/// The other one.
pub const TAP_B: u32 = 1002;
/// Upcalls a second that tests grant.
pub const RATE: u32 = 1000;
/// Size of the connection table.
pub const CONNECTIONS: u32 = 4096;
const BPFFS: &str = "/sys/fs/bpf";

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Left by a device.
    Sent(Vec<u8>),
    /// Went to the agent.
    Up(u8),
    /// Counted under this reason.
    Dropped(DropReason),
}

/// Program, tables and upcalls.
pub struct World {
    pub datapath: Option<Datapath>,
    pub table: Table<KernelMaps>,
    pub upcalls: Upcalls,
    pub last_upcall: Option<(Upcall, Vec<u8>)>,
    pin_dir: PathBuf,
}

impl World {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("midonet-test-{}-{number}", std::process::id());
        linux::mount_bpffs().expect("these tests need root and a BPF file system");
        Self::at(Path::new(BPFFS).join(name))
    }

    /// Loads over whatever is pinned there.
    pub fn at(pin_dir: PathBuf) -> Self {
        let options = Options {
            pin_dir: pin_dir.clone(),
            connections: CONNECTIONS,
        };
        let datapath = Datapath::start(&options).unwrap();
        let mut table = Table::new(datapath.maps().unwrap()).unwrap();
        for port in [0, TAP_A, TAP_B] {
            table.maps_mut().set_port(port, RATE).unwrap();
        }
        let upcalls = datapath.upcalls().unwrap();
        Self {
            datapath: Some(datapath),
            table,
            upcalls,
            last_upcall: None,
            pin_dir,
        }
    }

    /// Goes as a killed agent goes: without tidying up. Returns where its pins are.
    pub fn crash(mut self) -> PathBuf {
        drop(self.datapath.take());
        self.pin_dir.clone()
    }

    /// Makes a connection entry look this much older.
    pub fn age(&mut self, key: &ConnKey, by_ns: u64) {
        const SEEN: usize = std::mem::offset_of!(Conn, seen_ns);
        let mut conns = self.raw_connections();
        let key = raw_key(key);
        let mut entry = conns.get(&key, 0).unwrap();
        let seen = u64::from_ne_bytes(entry[SEEN..SEEN + 8].try_into().unwrap());
        entry[SEEN..SEEN + 8].copy_from_slice(&seen.wrapping_sub(by_ns).to_ne_bytes());
        conns.insert(key, entry, 0).unwrap();
    }

    /// Empties the connection table.
    pub fn forget_connections(&mut self) {
        let mut conns = self.raw_connections();
        for (key, _) in self.table.maps().connections(usize::MAX).unwrap() {
            conns.remove(&raw_key(&key)).unwrap();
        }
    }

    /// Takes one connection entry away.
    pub fn forget_connection(&mut self, key: &ConnKey) {
        self.raw_connections().remove(&raw_key(key)).unwrap();
    }

    /// Makes all mappings of ports look this much older.
    pub fn age_mappings(&mut self, by_ns: u64) {
        let map = MapData::from_pin(self.pin_dir.join("MAPPINGS")).unwrap();
        let mut map: RawMappings = HashMap::try_from(Map::from_map_data(map).unwrap()).unwrap();
        let all: Vec<_> = map.iter().map(|entry| entry.unwrap()).collect();
        for (key, mut mapping) in all {
            let seen = u64::from_ne_bytes(mapping[..8].try_into().unwrap());
            mapping[..8].copy_from_slice(&seen.wrapping_sub(by_ns).to_ne_bytes());
            map.insert(key, mapping, 0).unwrap();
        }
    }

    /// CLOCK_MONOTONIC, ns.
    pub fn now(&self) -> u64 {
        // SAFETY: all zero is a valid timespec, and the call writes no more than one.
        let time = unsafe {
            let mut time: libc::timespec = std::mem::zeroed();
            libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
            time
        };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    fn raw_connections(&self) -> RawConnections {
        let map = MapData::from_pin(self.pin_dir.join("CONNS")).unwrap();
        HashMap::try_from(Map::from_map_data(map).unwrap()).unwrap()
    }

    /// Hands a frame in at a tap.
    pub fn hand_in(&mut self, port: u32, frame: &[u8]) -> Fate {
        self.inject(MARK_FROM_PORT | port, 0, frame)
    }

    /// Hands a frame to `inject`.
    pub fn inject(&mut self, mark: u32, gso_size: u32, frame: &[u8]) -> Fate {
        let before = self.drop_counts();
        let entry = Entry::Injected { mark, gso_size };
        let done = self
            .datapath
            .as_mut()
            .unwrap()
            .rehearse(entry, frame)
            .unwrap();
        let Rehearsal {
            redirected, frame, ..
        } = done;
        if redirected {
            return Fate::Sent(frame);
        }
        let mut up = None;
        let count = self
            .upcalls
            .drain(10, |f| up = Some((f.header, f.bytes.to_vec())));
        assert!(count <= 1, "one frame made {count} upcalls");
        if let Some(up) = up {
            let why = up.0.why;
            self.last_upcall = Some(up);
            return Fate::Up(why);
        }
        Fate::Dropped(self.new_drop(&before))
    }

    /// The reason of the one frame that was dropped since `before`.
    pub fn new_drop(&self, before: &BTreeSet<(u32, u32, u64)>) -> DropReason {
        let after = self.drop_counts();
        let new: Vec<_> = after.difference(before).collect();
        assert_eq!(
            new.len(),
            1,
            "a frame vanished or was counted twice: {new:?}"
        );
        DropReason::from_number(new[0].1).unwrap()
    }

    /// Drop counters by port, reason and packets.
    pub fn drop_counts(&self) -> BTreeSet<(u32, u32, u64)> {
        let all = self.table.maps().drops().unwrap();
        all.into_iter()
            .map(|(k, c)| (k.in_port, k.reason, c.packets))
            .collect()
    }

    /// Installs an action for the packets that equal `key` under `mask`.
    pub fn install(&mut self, key: FlowKey, mask: Mask, action: Action) {
        let tags = BTreeSet::from([Tag::Host("test".into())]);
        self.table
            .install(
                &key,
                &mask,
                Compiled {
                    action,
                    tags,
                    cause: None,
                },
            )
            .unwrap();
    }

    /// Installs an action for all packets of one state from a tap.
    pub fn decide(&mut self, in_port: u32, state: u8, action: Action) {
        let key = FlowKey {
            in_port,
            state,
            ..FlowKey::default()
        };
        let mask = Mask(FlowKey {
            in_port: u32::MAX,
            state: 0xff,
            ..FlowKey::default()
        });
        self.install(key, mask, action);
    }

    /// The connection entry of a tuple.
    pub fn conn(
        &self,
        in_port: u32,
        proto: u8,
        src: (&str, u16),
        dst: (&str, u16),
    ) -> Option<Conn> {
        let wanted = conn_key(in_port, proto, src, dst);
        let all = self.table.maps().connections(usize::MAX).unwrap();
        all.into_iter()
            .find(|(key, _)| *key == wanted)
            .map(|(_, conn)| conn)
    }
}

/// The connection table as bytes: only tests write to it.
type RawConnections = HashMap<MapData, [u8; size_of::<ConnKey>()], [u8; size_of::<Conn>()]>;

type RawMappings = HashMap<MapData, [u8; size_of::<MappingKey>()], [u8; size_of::<Mapping>()]>;

fn raw_key(key: &ConnKey) -> [u8; size_of::<ConnKey>()] {
    // SAFETY: plain integers and bytes without padding.
    unsafe { std::mem::transmute(*key) }
}

/// Key of the entry of a tuple.
pub fn conn_key(in_port: u32, proto: u8, src: (&str, u16), dst: (&str, u16)) -> ConnKey {
    let (from, to): (IpAddr, IpAddr) = (src.0.parse().unwrap(), dst.0.parse().unwrap());
    ConnKey {
        in_port,
        family: if from.is_ipv4() { 4 } else { 6 },
        proto,
        pad: 0,
        src: mapped(from),
        dst: mapped(to),
        sport: src.1,
        dport: dst.1,
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(datapath) = self.datapath.take() {
            datapath.remove().unwrap();
        }
    }
}

/// Delivers at a tap, tracked.
pub fn local(ifindex: u32) -> Action {
    Action {
        kind: ACTION_LOCAL,
        ifindex,
        flags: ACTION_TRACK,
        ..Action::default()
    }
}

/// Drops under this reason.
pub fn refuse(reason: DropReason) -> Action {
    Action {
        kind: ACTION_DROP,
        reason: reason as u8,
        ..Action::default()
    }
}
