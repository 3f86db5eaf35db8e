//! What the receiver of a frame might send back.

use super::{Dice, Frame, Payload};
use bpf_abi::{FLAG_FRAGMENT, FLAG_ICMP_ERROR, FlowKey};
use wire::{ETHERNET_HEADER, Icmp, Mac, icmp4, icmp6, protocol, tcp_flag};

/// An answer to a frame as it was delivered, or at times an ICMP error about it. None if it has
/// no answer.
pub fn random_answer(dice: &mut Dice, delivered: &[u8]) -> Option<Vec<u8>> {
    let parsed = flow::parse(delivered).ok()?;
    let key = parsed.key;
    if key.family == 0 || key.flags & (FLAG_ICMP_ERROR | FLAG_FRAGMENT) != 0 {
        return None;
    }
    let payload = match dice.once_in(3) {
        true => error(dice, &key, &delivered[ETHERNET_HEADER..parsed.end]),
        false => answer(&key)?,
    };
    let frame = Frame {
        smac: Mac(key.dmac),
        dmac: Mac(key.smac),
        src: flow::unmapped(key.family, key.dst),
        dst: flow::unmapped(key.family, key.src),
        ttl: 64,
        payload,
    };
    Some(frame.bytes())
}

fn answer(key: &FlowKey) -> Option<Payload> {
    let (sport, dport) = bpf_abi::reverse_ports(key.proto, key.sport, key.dport)?;
    Some(match key.proto {
        protocol::TCP => Payload::Tcp(sport, dport, tcp_flag::ACK),
        protocol::UDP => Payload::Udp(sport, dport, vec![0; 4]),
        protocol::ICMP | protocol::ICMPV6 => {
            let [kind, code] = dport.to_be_bytes();
            let [a, b] = sport.to_be_bytes();
            Payload::Other(key.proto, vec![kind, code, 0, 0, a, b, 0, 0])
        }
        _ => {
            let mut bytes = vec![0; 20];
            bytes[..2].copy_from_slice(&sport.to_be_bytes());
            bytes[2..4].copy_from_slice(&dport.to_be_bytes());
            Payload::Other(key.proto, bytes)
        }
    })
}

fn error(dice: &mut Dice, key: &FlowKey, quoted: &[u8]) -> Payload {
    let (proto, kind) = match key.family {
        4 => (protocol::ICMP, *dice.pick(&icmp4::ERRORS)),
        _ => (protocol::ICMPV6, *dice.pick(&icmp6::ERRORS)),
    };
    let error = Icmp {
        kind,
        code: 0,
        rest: [0; 4],
        body: quoted,
    };
    let [src, dst] = [key.dst, key.src].map(|bytes| flow::unmapped(key.family, bytes));
    Payload::Other(proto, error.message(src, dst))
}
