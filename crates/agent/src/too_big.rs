//! Frames that are larger than the next network's MTU and may be split: what routers do to IPv4
//! packets whose sender does not forbid it (RFC 1812, 5.2.6).

use wire::{ETHERNET_HEADER, Ethernet, Ip, fragment_v4, segments_v4};

/// What a fragment grows by, beside its header, when it becomes one of IPv6.
const FRAGMENT_HEADER: usize = 8;

/// The frame as frames whose IP packets fit; an aggregated one is cut into its segments first.
/// `None` if it fits already, may not be split, or is not whole. `family` is the IP version of the
/// packet on the next network, whose larger header `mtu` leaves room for already.
pub fn split(frame: &[u8], gso_size: u16, mtu: u16, family: u8) -> Option<Vec<Vec<u8>>> {
    let mtu = match family {
        6 => usize::from(mtu).checked_sub(FRAGMENT_HEADER)?,
        _ => usize::from(mtu),
    };
    if frame.len() <= ETHERNET_HEADER + mtu {
        return None;
    }
    let eth = Ethernet::read(frame)?;
    match Ip::read(eth.ethertype, eth.payload)? {
        Ip::V4(ip) if !ip.dont_fragment => {}
        _ => return None,
    }
    let segments = segments_v4(eth.payload, usize::from(gso_size))?;
    if segments.iter().all(|segment| segment.len() <= mtu) {
        return None;
    }
    let header = &frame[..ETHERNET_HEADER];
    let mut frames = Vec::new();
    for segment in segments {
        let pieces = fragment_v4(&segment, mtu)?;
        frames.extend(pieces.iter().map(|piece| [header, piece].concat()));
    }
    Some(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::parse;
    use sim::testing::{Frame, Payload, mac};

    fn datagram(len: usize, dont_fragment: bool) -> Vec<u8> {
        let (src, dst) = ("10.0.0.1".parse().unwrap(), "10.0.1.1".parse().unwrap());
        let payload = Payload::Udp(1, 2, vec![7; len]);
        let frame = Frame {
            smac: mac(1),
            dmac: mac(2),
            src,
            dst,
            ttl: 64,
            payload,
        };
        let mut bytes = frame.bytes();
        bytes[20] = if dont_fragment { 0x40 } else { 0 };
        wire::set_checksum_v4(&mut bytes[ETHERNET_HEADER..]);
        bytes
    }

    #[test]
    fn a_datagram_is_split_into_fragments_that_the_kernel_program_can_read() {
        let frames = split(&datagram(2000, false), 0, 800, 4).unwrap();
        let parsed: Vec<_> = frames.iter().map(|f| parse(f).unwrap()).collect();
        assert_eq!(parsed.len(), 3);
        assert!(frames.iter().all(|f| f.len() <= 814));
        let first = parsed[0].fragment.unwrap();
        assert_eq!((first.first, parsed[0].key.dport), (true, 2));
        assert!(parsed[1..].iter().all(|p| !p.fragment.unwrap().first));
    }

    #[test]
    fn an_aggregated_one_is_cut_into_its_datagrams_first() {
        let frames = split(&datagram(3000, false), 1400, 800, 4).unwrap();
        let first = |f: &&Vec<u8>| parse(f).unwrap().fragment.is_some_and(|part| part.first);
        let firsts = frames.iter().filter(first);
        // 1400 and 1400 bytes in two fragments each, 200 in one that is no fragment
        assert_eq!(firsts.count(), 2);
        assert_eq!(frames.len(), 5);
    }

    #[test]
    fn fragments_that_become_ipv6_have_room_for_their_header() {
        let frames = split(&datagram(2000, false), 0, 800, 6).unwrap();
        assert!(frames.iter().all(|f| f.len() <= ETHERNET_HEADER + 792));
        // one that came as a fragment and fits as such
        let first = &frames[0];
        assert_eq!(split(first, 0, 800, 6), None);
        let again = split(first, 0, 790, 6).unwrap();
        assert!(again.iter().all(|f| f.len() <= ETHERNET_HEADER + 782));
    }

    #[test]
    fn what_fits_or_must_stay_whole_is_left() {
        assert_eq!(split(&datagram(2000, true), 0, 800, 4), None);
        assert_eq!(split(&datagram(700, false), 0, 800, 4), None);
        assert_eq!(split(&datagram(7000, false), 700, 800, 4), None);
        assert_eq!(split(&datagram(2000, false)[..900], 0, 800, 4), None);
    }
}
