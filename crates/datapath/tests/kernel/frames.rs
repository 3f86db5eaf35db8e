//! Frames to hand in.

use etherparse::{PacketBuilder, checksum::u32_16bit_word};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
pub const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];
pub const A4: &str = "10.0.0.1";
pub const B4: &str = "10.0.0.2";
pub const A6: &str = "2001:db8::1";
pub const B6: &str = "2001:db8::2";

/// FIN, SYN, RST, ACK as the wire has them.
pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

pub fn v4(text: &str) -> [u8; 4] {
    text.parse::<Ipv4Addr>().unwrap().octets()
}

pub fn v6(text: &str) -> [u8; 16] {
    text.parse::<Ipv6Addr>().unwrap().octets()
}

macro_rules! ip {
    ($src:expr, $dst:expr) => {{
        let ethernet = PacketBuilder::ethernet2(MAC_A, MAC_B);
        match $src.parse().unwrap() {
            IpAddr::V4(src) => ethernet.ipv4(src.octets(), v4($dst), 64),
            IpAddr::V6(src) => ethernet.ipv6(src.octets(), v6($dst), 64),
        }
    }};
}

/// A UDP datagram from A's MAC to B's.
pub fn udp(src: (&str, u16), dst: (&str, u16), payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ip!(src.0, dst.0)
        .udp(src.1, dst.1)
        .write(&mut out, payload)
        .unwrap();
    out
}

/// A TCP segment without payload.
pub fn tcp(src: (&str, u16), dst: (&str, u16), flags: u8) -> Vec<u8> {
    let mut tcp = ip!(src.0, dst.0).tcp(src.1, dst.1, 1, 1000);
    if flags & SYN != 0 {
        tcp = tcp.syn();
    }
    if flags & FIN != 0 {
        tcp = tcp.fin();
    }
    if flags & RST != 0 {
        tcp = tcp.rst();
    }
    if flags & ACK != 0 {
        tcp = tcp.ack(1);
    }
    let mut out = Vec::new();
    tcp.write(&mut out, &[]).unwrap();
    out
}

/// An echo request.
pub fn ping(src: &str, dst: &str, id: u16) -> Vec<u8> {
    let mut out = Vec::new();
    match src.parse().unwrap() {
        IpAddr::V4(_) => ip!(src, dst)
            .icmpv4_echo_request(id, 1)
            .write(&mut out, b"ping"),
        IpAddr::V6(_) => ip!(src, dst)
            .icmpv6_echo_request(id, 1)
            .write(&mut out, b"ping"),
    }
    .unwrap();
    out
}

/// An echo reply.
pub fn pong(src: &str, dst: &str, id: u16) -> Vec<u8> {
    let mut out = Vec::new();
    match src.parse().unwrap() {
        IpAddr::V4(_) => ip!(src, dst)
            .icmpv4_echo_reply(id, 1)
            .write(&mut out, b"ping"),
        IpAddr::V6(_) => ip!(src, dst)
            .icmpv6_echo_reply(id, 1)
            .write(&mut out, b"ping"),
    }
    .unwrap();
    out
}

/// An IP packet of any protocol around these bytes.
pub fn raw_ip(src: &str, dst: &str, proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&MAC_B[..], &MAC_A[..]].concat();
    match src.parse().unwrap() {
        IpAddr::V4(src) => {
            let total = (20 + payload.len() as u16).to_be_bytes();
            frame.extend([
                8, 0, 0x45, 0, total[0], total[1], 0, 7, 0, 0, 64, proto, 0, 0,
            ]);
            frame.extend(src.octets());
            frame.extend(v4(dst));
            frame.extend(payload);
            fix_ipv4(&mut frame);
        }
        IpAddr::V6(src) => {
            let length = (payload.len() as u16).to_be_bytes();
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, length[0], length[1], proto, 64]);
            frame.extend(src.octets());
            frame.extend(v6(dst));
            frame.extend(payload);
        }
    }
    frame
}

/// Makes the IPv4 header checksum right.
pub fn fix_ipv4(frame: &mut [u8]) {
    let end = 14 + usize::from(frame[14] & 15) * 4;
    frame[24..26].fill(0);
    let sum = u32_16bit_word::add_slice(0, &frame[14..end]);
    let check = u32_16bit_word::ones_complement(sum);
    frame[24..26].copy_from_slice(&check.to_ne_bytes());
}

/// An ICMP error from `src` about a frame that `dst` had sent.
pub fn icmp_error(src: &str, dst: &str, about: &[u8]) -> Vec<u8> {
    let v4 = src.parse::<IpAddr>().unwrap().is_ipv4();
    let mut payload = if v4 { vec![3, 3] } else { vec![1, 4] };
    payload.extend([0; 6]);
    payload.extend(&about[14..about.len().min(14 + 64)]);
    raw_ip(src, dst, if v4 { 1 } else { 58 }, &payload)
}
