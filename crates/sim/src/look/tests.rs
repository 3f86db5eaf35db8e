//! What each kind of look costs in mask bits.

use super::*;
use proptest::prelude::*;

fn key(family: u8, src: &str) -> FlowKey {
    let src = flow::mapped(src.parse().unwrap());
    FlowKey {
        family,
        src,
        proto: 6,
        sport: 40_000,
        dport: 8080,
        ..FlowKey::default()
    }
}

/// Number of source bits that a prefix test of an address costs.
fn cost(family: u8, src: &str, net: &str) -> (bool, u32) {
    let key = key(family, src);
    let mut look = Look::new(&key, false);
    let matches = look.address_in(Side::Src, &net.parse().unwrap());
    (matches, u128::from_be_bytes(look.mask.src).count_ones())
}

#[test]
fn prefixes_cost_what_settles_them() {
    assert_eq!(cost(4, "10.1.2.3", "10.1.0.0/16"), (true, 16));
    assert_eq!(cost(4, "10.1.2.3", "0.0.0.0/0"), (true, 0));
    assert_eq!(cost(4, "10.1.2.3", "192.168.0.0/16"), (false, 1));
    assert_eq!(cost(4, "10.1.2.3", "10.1.2.2/32"), (false, 32));
    assert_eq!(cost(4, "10.1.2.3", "fd00::/8"), (false, 0));
    assert_eq!(cost(6, "fd00::1", "fd00::/64"), (true, 64));
    assert_eq!(cost(6, "fd00::1", "2001:db8::/32"), (false, 1));
    assert_eq!(cost(6, "fd00::1", "fd00::1/128"), (true, 128));
    assert_eq!(cost(6, "fd00::1", "10.0.0.0/8"), (false, 0));
}

#[test]
fn ports_cost_what_settles_them() {
    assert_eq!(deciding_bits(22, 22, 22), 0xffff);
    assert_eq!(deciding_bits(8080, 22, 22), 0xf000);
    assert_eq!(deciding_bits(40_000, 22, 22), 0x8000);
    assert_eq!(deciding_bits(40_000, 32_768, 65_535), 0x8000);
    assert_eq!(deciding_bits(40_000, 0, 65_535), 0);
    assert_eq!(deciding_bits(81, 80, 443), 0xfff0);
}

#[test]
fn a_reply_to_an_echo_is_matched_by_the_request() {
    let key = FlowKey {
        family: 4,
        proto: 1,
        sport: 9,
        dport: 0,
        ..FlowKey::default()
    };
    let mut look = Look::new(&key, false);
    assert!(look.answered_icmp_is(8, None));
    assert!(look.answered_icmp_is(8, Some(0)));
    assert!(!look.answered_icmp_is(0, None));
    assert!(look.icmp_is(0, None));
}

proptest! {
    #[test]
    fn equal_under_the_mask_is_equal_in_range(value: u16, other: u16, a: u16, b: u16) {
        let (min, max) = (a.min(b), a.max(b));
        let bits = deciding_bits(value, min, max);
        let same = (value & bits) | (other & !bits);
        prop_assert_eq!((min..=max).contains(&value), (min..=max).contains(&same));
    }

    #[test]
    fn equal_under_the_mask_is_equal_in_prefix(src: u128, other: u128, net: u128, len in 0..=128u8) {
        let net = ipnet::Ipv6Net::new(net.into(), len).unwrap().into();
        let test = |src: u128| {
            let key = FlowKey { family: 6, src: src.to_be_bytes(), ..FlowKey::default() };
            let mut look = Look::new(&key, false);
            (look.address_in(Side::Src, &net), u128::from_be_bytes(look.mask.src))
        };
        let (matches, bits) = test(src);
        prop_assert_eq!(test((src & bits) | (other & !bits)).0, matches);
    }
}
