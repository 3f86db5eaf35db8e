//! The second stage of a traced packet: as what it goes on at the router where it is handed over.

use bpf_abi::{FLAG_TRANSLATED, FlowKey, STATE_REPLY};
use flow::{Question, Rewrite, mapped, unmapped};
use std::net::IpAddr;
use topology::{Learned, RouterId, Snapshot, Station};
use wire::{ETHERNET_HEADER, Mac};

/// What stands for the MAC of an upstream router, which the cluster does not know.
const UPSTREAM: Mac = Mac([0x02, 0x4d, 0x4e, 0, 0, 4]);

/// Takes the station that a router asks for behind an uplink to be there; false if it asks elsewhere.
pub fn assume_upstream(topology: &mut Snapshot, question: &Question) -> bool {
    let plugs = question.ports.iter().filter_map(|id| topology.port(*id));
    let Some(port) = plugs.filter(|p| p.outside).map(|p| p.id).next() else {
        return false;
    };
    let station = Station {
        bridge: question.bridge,
        port,
        mac: UPSTREAM,
        ip: Some(question.ip),
    };
    topology.learn(station) == Learned::Changed
}

/// The packet as it is handed over at a router; `None` if only the record of its connection knows whom
/// it is for.
pub fn handed_over(
    topology: &Snapshot,
    router: RouterId,
    (rewrite, record): (&Rewrite, Option<RouterId>),
    key: FlowKey,
    frame: &[u8],
) -> Option<(FlowKey, Vec<u8>)> {
    let mut key = key;
    if rewrite.hops > 0 {
        (key.smac, key.dmac) = (rewrite.smac.0, rewrite.dmac.0);
    }
    let shared = record.filter(|_| rewrite.snat);
    let shared = shared.and_then(|router| topology.snat_address(router));
    if let Some(src) = rewrite.src.or(shared.map(IpAddr::V4)) {
        key.src = mapped(src);
    }
    let frame = carried(&key, rewrite.hops, frame);
    let dst = unmapped(key.family, key.dst);
    if let Some(fip) = topology.router_floating_ips_at(router, dst).next() {
        if key.state == STATE_REPLY {
            key.dst = mapped(fip.fixed);
            key.flags |= FLAG_TRANSLATED;
        }
    } else if topology.snat_address(router).map(IpAddr::V4) == Some(dst) {
        return None;
    }
    Some((key, frame))
}

/// The frame with the MACs and the source of a key, after some routers. Checksums are those of before:
/// nothing reads them.
fn carried(key: &FlowKey, hops: u8, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = frame.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, &key.dmac);
    put(6, &key.smac);
    let (ttl, src, from) = match key.family {
        4 => (8, 12, 12),
        _ => (7, 8, 0),
    };
    put(ETHERNET_HEADER + src, &key.src[from..]);
    if let Some(ttl) = frame.get_mut(ETHERNET_HEADER + ttl) {
        *ttl = ttl.saturating_sub(hops);
    }
    frame
}
