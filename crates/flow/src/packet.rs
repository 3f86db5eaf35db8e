//! Addresses as flow keys write them.

use std::net::{IpAddr, Ipv6Addr};

/// The 16 bytes of an address in a flow key: IPv4 as IPv4-mapped IPv6.
pub fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address that 16 bytes of a flow key of this family (4 or 6) mean.
pub fn unmapped(family: u8, bytes: [u8; 16]) -> IpAddr {
    match family {
        4 => IpAddr::from([bytes[12], bytes[13], bytes[14], bytes[15]]),
        _ => IpAddr::V6(Ipv6Addr::from(bytes)),
    }
}
