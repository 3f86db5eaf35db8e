//! The options of HTB as the kernel reads them (`include/uapi/linux/pkt_sched.h`).

use super::Shape;

/// Nanoseconds of one tick, in which the kernel is told how long a burst lasts.
const TICK_NS: u128 = 64;
const NS_PER_SECOND: u128 = 1_000_000_000;
/// Version of the interface.
const VERSION: u32 = 3;
/// Only used for classes without a quantum of their own; ours have one.
const RATE_TO_QUANTUM: u32 = 10;
/// Bytes that a class may send in its turn when several may send: one aggregated frame.
const QUANTUM: u32 = 65_536;
/// `TC_LINKLAYER_ETHERNET`: with it no rate table is wanted.
const ETHERNET: u8 = 1;
/// `TCA_HTB_*`
const PARAMETERS: u16 = 1;
const INIT: u16 = 2;
const RATE64: u16 = 6;
const CEIL64: u16 = 7;

/// Options of the root: `struct tc_htb_glob`.
pub fn root(default: u16) -> Vec<u8> {
    let fields = [VERSION, RATE_TO_QUANTUM, u32::from(default), 0, 0];
    attribute(INIT, &fields.map(u32::to_ne_bytes).concat())
}

/// Options of a class: `struct tc_htb_opt`, and the rates once more for those that do not fit in it.
/// It never borrows: its ceiling is its rate.
pub fn class(shape: &Shape) -> Vec<u8> {
    let rate = ratespec(shape.rate);
    let buffer = ticks(shape.burst, shape.rate);
    let rest = [buffer, buffer, QUANTUM, 0, 0].map(u32::to_ne_bytes);
    let mut options = attribute(PARAMETERS, &[&rate[..], &rate, &rest.concat()].concat());
    if u32::try_from(shape.rate).is_err() {
        options.extend(attribute(RATE64, &shape.rate.to_ne_bytes()));
        options.extend(attribute(CEIL64, &shape.rate.to_ne_bytes()));
    }
    options
}

/// `struct tc_ratespec`
fn ratespec(rate: u64) -> [u8; 12] {
    let mut spec = [0; 12];
    spec[1] = ETHERNET;
    let rate = u32::try_from(rate).unwrap_or(u32::MAX);
    spec[8..].copy_from_slice(&rate.to_ne_bytes());
    spec
}

/// How long so many bytes take at a rate.
fn ticks(bytes: u64, rate: u64) -> u32 {
    let ns = u128::from(bytes) * NS_PER_SECOND / u128::from(rate.max(1));
    u32::try_from(ns / TICK_NS).unwrap_or(u32::MAX).max(1)
}

/// A netlink attribute, padded.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("attributes here are short");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_told_as_the_time_it_takes() {
        assert_eq!(ticks(125_000, 125_000), 15_625_000);
        assert_eq!(
            ticks(1, u64::MAX),
            1,
            "a class with no burst would never send"
        );
        assert_eq!(ticks(u64::MAX, 1), u32::MAX);
    }

    #[test]
    fn rates_beyond_32_bits_are_told_in_64() {
        let options = |rate| {
            class(&Shape {
                rate,
                burst: 1,
                queue: 1,
            })
            .len()
        };
        assert_eq!(options(u64::from(u32::MAX)) + 2 * 12, options(1 << 32));
    }
}
