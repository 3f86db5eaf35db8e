//! Fragments for a router's own address, kept until their packet is whole (RFC 791, 3.2; RFC 8200,
//! 4.5). Everything else that comes in fragments goes on in fragments.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};
use wire::{
    ETHERNET_HEADER, Ethernet, IPV4_HEADER, IPV6_HEADER, Ip, bytes, ethertype, set_checksum_v4,
};

/// Packets of one tap that may be incomplete at a time.
pub const OF_TAP_MAX: usize = 4;
/// Packets that may be incomplete at a time.
pub const PACKETS_MAX: usize = 64;
/// Fragments of one packet: 64 KiB in those of the least MTU that hosts must take, 576 bytes.
pub const FRAGMENTS_MAX: usize = 128;
/// Nanoseconds that a packet may take to become whole, from its first fragment on.
const LIFETIME: u64 = 15_000_000_000;
/// Largest IP packet.
const PACKET_MAX: usize = 65_535;
const FRAGMENT_HEADER: usize = 8;
const FRAGMENT: u8 = 44;

/// See the module.
#[derive(Debug, Default)]
pub struct Reassembly {
    packets: HashMap<Key, Partial>,
}

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// Others are missing.
    Kept,
    /// The frame with the whole packet.
    Whole(Vec<u8>),
    /// It is none, or contradicts others of its packet, which is given up.
    Refused,
}

/// Fragments that were kept in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where they came in.
    pub tap: u32,
    /// How many.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What the fragments of a packet have in common, and the tap they came in at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    tap: u32,
    id: u32,
    proto: u8,
    addresses: Vec<u8>,
}

#[derive(Debug)]
struct Partial {
    since: u64,
    /// Ethernet and IP header of the first fragment.
    headers: Option<Vec<u8>>,
    /// Payload by offset.
    parts: BTreeMap<usize, Vec<u8>>,
    /// Length of the whole payload, once the last fragment is there.
    total: Option<usize>,
    bytes: u64,
}

/// A fragment taken apart.
struct Part<'a> {
    key: Key,
    headers: Vec<u8>,
    range: Range<usize>,
    last: bool,
    payload: &'a [u8],
}

impl Reassembly {
    /// Takes a fragment that came in at a tap at `now`, a time in nanoseconds. Also says what has
    /// been given up meanwhile.
    pub fn add(&mut self, tap: u32, frame: &[u8], now: u64) -> (Added, Vec<Lost>) {
        let mut lost = self.expire(now);
        let Some(part) = Part::read(tap, frame) else {
            return (Added::Refused, lost);
        };
        if !self.packets.contains_key(&part.key) {
            lost.extend(self.make_room(tap));
        }
        let key = part.key.clone();
        let fresh = Partial::new(now);
        let partial = self.packets.entry(key.clone()).or_insert(fresh);
        if !partial.take(part, frame.len()) {
            lost.extend(self.give_up(&key));
            return (Added::Refused, lost);
        }
        let whole = partial.whole();
        if whole.is_some() {
            self.packets.remove(&key);
        }
        (whole.map_or(Added::Kept, Added::Whole), lost)
    }

    /// Forgets what came in at a tap.
    pub fn forget(&mut self, tap: u32) {
        self.packets.retain(|key, _| key.tap != tap);
    }

    fn expire(&mut self, now: u64) -> Vec<Lost> {
        let late = |p: &Partial| now.saturating_sub(p.since) > LIFETIME;
        let keys = self.packets.iter().filter(|(_, p)| late(p));
        let keys: Vec<Key> = keys.map(|(key, _)| key.clone()).collect();
        keys.iter().filter_map(|key| self.give_up(key)).collect()
    }

    /// The oldest packet goes: of the tap if that has its share, of all if all have theirs.
    fn make_room(&mut self, tap: u32) -> Option<Lost> {
        let of_tap = self.packets.keys().filter(|key| key.tap == tap).count();
        if of_tap < OF_TAP_MAX && self.packets.len() < PACKETS_MAX {
            return None;
        }
        let own = of_tap >= OF_TAP_MAX;
        let candidates = self.packets.iter().filter(|(k, _)| !own || k.tap == tap);
        let oldest = candidates.min_by_key(|(_, p)| p.since);
        let key = oldest.map(|(key, _)| key.clone())?;
        self.give_up(&key)
    }

    fn give_up(&mut self, key: &Key) -> Option<Lost> {
        let partial = self.packets.remove(key)?;
        Some(Lost {
            tap: key.tap,
            frames: partial.parts.len() as u64,
            bytes: partial.bytes,
        })
    }
}

impl Partial {
    fn new(since: u64) -> Self {
        Self {
            since,
            headers: None,
            parts: BTreeMap::new(),
            total: None,
            bytes: 0,
        }
    }

    /// False if the fragment contradicts the others. Overlaps are not tolerated (RFC 5722).
    fn take(&mut self, part: Part<'_>, len: usize) -> bool {
        let Range { start, end } = part.range;
        let before = self.parts.range(..end).next_back();
        let overlaps = before.is_some_and(|(at, p)| at + p.len() > start);
        let beyond = self.total.is_some_and(|total| end > total);
        let last_end = self
            .parts
            .last_key_value()
            .map_or(0, |(at, p)| at + p.len());
        let ends_twice = part.last && (self.total.is_some() || last_end > end);
        if overlaps || beyond || ends_twice || self.parts.len() >= FRAGMENTS_MAX {
            return false;
        }
        if start == 0 {
            self.headers = Some(part.headers);
        }
        if part.last {
            self.total = Some(end);
        }
        self.bytes += len as u64;
        self.parts.insert(start, part.payload.to_vec());
        true
    }

    /// The frame, if nothing is missing.
    fn whole(&self) -> Option<Vec<u8>> {
        let held: usize = self.parts.values().map(Vec::len).sum();
        if self.total != Some(held) {
            return None;
        }
        let mut frame = self.headers.clone()?;
        frame.extend(self.parts.values().flatten());
        let (eth, packet) = frame.split_at_mut(ETHERNET_HEADER);
        let v4 = eth[12..14] == ethertype::IPV4.to_be_bytes();
        let counted = if v4 { packet.len() } else { held };
        let len = u16::try_from(counted).ok()?.to_be_bytes();
        if v4 {
            packet[2..4].copy_from_slice(&len);
            packet[6..8].fill(0);
            set_checksum_v4(packet);
        } else {
            packet[4..6].copy_from_slice(&len);
        }
        Some(frame)
    }
}

impl<'a> Part<'a> {
    fn read(tap: u32, frame: &'a [u8]) -> Option<Self> {
        let eth = Ethernet::read(frame)?;
        let part = match Ip::read(eth.ethertype, eth.payload)? {
            Ip::V4(ip) => {
                let header = ETHERNET_HEADER + usize::from(eth.payload[0] & 0xf) * 4;
                let start = usize::from(ip.fragment_offset);
                Self {
                    key: Key {
                        tap,
                        id: u32::from(bytes::be16(eth.payload, 4)?),
                        proto: ip.proto,
                        addresses: eth.payload.get(12..IPV4_HEADER)?.to_vec(),
                    },
                    headers: frame.get(..header)?.to_vec(),
                    range: start..start + ip.payload.len(),
                    last: !ip.more_fragments,
                    payload: ip.payload,
                }
            }
            Ip::V6(ip) if ip.next_header == FRAGMENT => {
                let offset = bytes::be16(ip.payload, 2)?;
                let payload = ip.payload.get(FRAGMENT_HEADER..)?;
                let mut headers = frame[..ETHERNET_HEADER + IPV6_HEADER].to_vec();
                headers[ETHERNET_HEADER + 6] = ip.payload[0];
                let start = usize::from(offset & !7);
                Self {
                    key: Key {
                        tap,
                        id: u32::from_be_bytes(bytes::array(ip.payload, 4)?),
                        proto: ip.payload[0],
                        addresses: eth.payload.get(8..IPV6_HEADER)?.to_vec(),
                    },
                    headers,
                    range: start..start + payload.len(),
                    last: offset & 1 == 0,
                    payload,
                }
            }
            Ip::V6(_) => return None,
        };
        let len = part.payload.len();
        let sound = len > 0 && (part.last || len % 8 == 0) && part.range.end <= PACKET_MAX;
        sound.then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use wire::{IpPacket, Mac};

    const NOW: u64 = 1_000;

    /// A packet of each family as one frame, and in fragments.
    fn packets(len: usize, id: u32) -> [(Vec<u8>, Vec<Vec<u8>>); 2] {
        [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")].map(|(src, dst)| {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let (src, dst): (IpAddr, IpAddr) = (src.parse().unwrap(), dst.parse().unwrap());
            let packet = IpPacket {
                src,
                dst,
                proto: 58,
                ttl: 9,
                payload: &payload,
            };
            let of = |mtu| packet.frames(Mac([2; 6]), Mac([4; 6]), mtu, id).unwrap();
            let mut whole = of(usize::MAX).swap_remove(0);
            if src.is_ipv4() {
                // as its source made it to be fragmented
                whole[18..20].copy_from_slice(&(id as u16).to_be_bytes());
                whole[20..22].fill(0);
                set_checksum_v4(&mut whole[14..]);
            }
            (whole, of(1280))
        })
    }

    #[test]
    fn the_whole_packet_comes_back_whatever_the_order() {
        for (whole, mut parts) in packets(60_000, 7) {
            for reverse in [false, true] {
                if reverse {
                    parts.reverse();
                }
                let mut held = Reassembly::default();
                let (last, before) = parts.split_last().unwrap();
                for part in before {
                    assert_eq!(held.add(1, part, NOW), (Added::Kept, vec![]));
                }
                assert_eq!(
                    held.add(1, last, NOW),
                    (Added::Whole(whole.clone()), vec![])
                );
                assert!(held.packets.is_empty());
            }
        }
    }

    #[test]
    fn fragments_that_overlap_end_their_packet() {
        for (_, parts) in packets(5_000, 7) {
            let mut held = Reassembly::default();
            held.add(1, &parts[0], NOW);
            let (added, lost) = held.add(1, &parts[0], NOW);
            assert_eq!((added, lost[0].frames), (Added::Refused, 1));
            assert!(held.packets.is_empty());
        }
    }

    #[test]
    fn taps_are_kept_apart() {
        let [(_, parts), _] = packets(2_000, 7);
        let mut held = Reassembly::default();
        assert_eq!(held.add(1, &parts[0], NOW).0, Added::Kept);
        assert_eq!(held.add(2, &parts[1], NOW).0, Added::Kept);
        held.forget(1);
        assert!(matches!(held.add(2, &parts[0], NOW).0, Added::Whole(_)));
    }

    #[test]
    fn the_oldest_packet_of_a_tap_makes_room_and_late_ones_go() {
        let mut held = Reassembly::default();
        let first = |id| packets(2_000, id)[0].1[0].clone();
        for id in 0..OF_TAP_MAX as u32 {
            assert_eq!(held.add(1, &first(id), NOW + u64::from(id)).1, []);
        }
        let lost = held.add(1, &first(99), NOW + 50).1;
        assert_eq!((lost.len(), lost[0].tap, lost[0].frames), (1, 1, 1));
        let lost = held.add(1, &first(100), NOW + 60 + LIFETIME).1;
        assert_eq!(lost.len(), OF_TAP_MAX);
        assert_eq!(held.packets.len(), 1);
    }

    #[test]
    fn all_taps_together_have_a_bound() {
        let mut held = Reassembly::default();
        let part = &packets(2_000, 7)[1].1[0];
        for tap in 0..2 * PACKETS_MAX as u32 {
            held.add(tap, part, NOW + u64::from(tap));
            assert!(held.packets.len() <= PACKETS_MAX);
        }
    }

    #[test]
    fn what_is_no_fragment_is_refused() {
        let mut held = Reassembly::default();
        let [_, (whole, mut parts)] = packets(1_000, 7);
        assert_eq!(held.add(1, &whole, NOW).0, Added::Refused);
        parts[0].truncate(60);
        assert_eq!(held.add(1, &parts[0], NOW).0, Added::Refused);
        assert_eq!(held.add(1, &[], NOW).0, Added::Refused);
    }
}
