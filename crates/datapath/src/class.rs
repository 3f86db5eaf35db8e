//! Classes: the few masks that all decisions are rounded up to.
//!
//! The kernel asks the decision table once per class until one knows the packet, so there must be
//! few. More bits than a decision needs are always sound: it then holds for fewer packets.

use bpf_abi::{FLOW_KEY_WORDS, FlowKey};
use flow::{Mask, key_bytes};

/// Rounds the mask of a key up to the next class. MACs and small fields are all or nothing, IPv4
/// prefixes 0, 8, 16, 24 or 32, IPv6 prefixes 0, 32, 64 or 128, ports 0, 4, 8, 12 or 16 leading
/// bits.
pub fn widen(mask: &Mask, family: u8) -> Mask {
    let m = &mask.0;
    let address = if family == 4 { ipv4 } else { ipv6 };
    Mask(FlowKey {
        in_port: if m.in_port == 0 { 0 } else { u32::MAX },
        state: all_or_nothing([m.state])[0],
        family: all_or_nothing([m.family])[0],
        proto: all_or_nothing([m.proto])[0],
        flags: all_or_nothing([m.flags])[0],
        smac: all_or_nothing(m.smac),
        dmac: all_or_nothing(m.dmac),
        src: address(&m.src),
        dst: address(&m.dst),
        sport: port(m.sport),
        dport: port(m.dport),
    })
}

fn all_or_nothing<const N: usize>(bytes: [u8; N]) -> [u8; N] {
    if bytes == [0; N] { bytes } else { [0xff; N] }
}

fn ipv4(mask: &[u8; 16]) -> [u8; 16] {
    match prefix_length(mask) {
        0 => [0; 16],
        n => prefix(n.max(96).next_multiple_of(8)),
    }
}

fn ipv6(mask: &[u8; 16]) -> [u8; 16] {
    match prefix_length(mask) {
        0 => [0; 16],
        1..=32 => prefix(32),
        33..=64 => prefix(64),
        _ => prefix(128),
    }
}

/// Length of the shortest prefix that covers all set bits.
fn prefix_length(mask: &[u8; 16]) -> u32 {
    128 - u128::from_be_bytes(*mask).trailing_zeros()
}

fn prefix(length: u32) -> [u8; 16] {
    u128::MAX
        .checked_shl(128 - length)
        .unwrap_or(0)
        .to_be_bytes()
}

fn port(mask: u16) -> u16 {
    let length = (16 - mask.trailing_zeros()).next_multiple_of(4);
    u16::MAX.checked_shl(16 - length).unwrap_or(0)
}

/// Whether every bit of `coarse` is in `fine` as well.
pub(crate) fn covers(fine: &Mask, coarse: &Mask) -> bool {
    words(&fine.0)
        .iter()
        .zip(words(&coarse.0))
        .all(|(f, c)| f & c == c)
}

/// Number of bits that matter.
pub(crate) fn weight(mask: &Mask) -> u32 {
    words(&mask.0).iter().map(|w| w.count_ones()).sum()
}

/// A flow key as the kernel program masks and hashes it.
pub(crate) fn words(key: &FlowKey) -> [u64; FLOW_KEY_WORDS] {
    let bytes = key_bytes(key);
    std::array::from_fn(|i| u64::from_ne_bytes(std::array::from_fn(|j| bytes[i * 8 + j])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(prefix: u32) -> [u8; 16] {
        let mut mask = [0; 16];
        let bits = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        mask[12..].copy_from_slice(&bits.to_be_bytes());
        mask
    }

    #[test]
    fn ipv4_prefixes_are_rounded_up_to_whole_bytes() {
        for (asked, given) in [
            (1, 8),
            (8, 8),
            (9, 16),
            (20, 24),
            (24, 24),
            (25, 32),
            (32, 32),
        ] {
            let mask = Mask(FlowKey {
                src: v4(asked),
                ..FlowKey::default()
            });
            assert_eq!(widen(&mask, 4).0.src, prefix(96 + given), "/{asked}");
        }
        assert_eq!(widen(&Mask::default(), 4), Mask::default());
    }

    #[test]
    fn ipv6_prefixes_are_0_32_64_or_128() {
        for (asked, given) in [
            (0, 0),
            (1, 32),
            (32, 32),
            (48, 64),
            (64, 64),
            (65, 128),
            (128, 128),
        ] {
            let mask = Mask(FlowKey {
                dst: prefix(asked),
                ..FlowKey::default()
            });
            assert_eq!(widen(&mask, 6).0.dst, prefix(given), "/{asked}");
        }
    }

    #[test]
    fn ports_keep_leading_bits_in_steps_of_four() {
        let cases = [
            (0, 0),
            (0x8000, 0xf000),
            (0xf800, 0xff00),
            (0xfff0, 0xfff0),
            (0xffff, 0xffff),
            (1, 0xffff),
        ];
        for (asked, given) in cases {
            let mask = Mask(FlowKey {
                dport: asked,
                ..FlowKey::default()
            });
            assert_eq!(widen(&mask, 4).0.dport, given, "{asked:#x}");
        }
    }

    #[test]
    fn one_bit_of_a_small_field_takes_the_whole_field() {
        let mask = Mask(FlowKey {
            flags: 1,
            dmac: [1, 0, 0, 0, 0, 0],
            ..FlowKey::default()
        });
        let wide = widen(&mask, 4);
        assert_eq!(
            (wide.0.flags, wide.0.dmac, wide.0.smac),
            (0xff, [0xff; 6], [0; 6])
        );
    }
}
