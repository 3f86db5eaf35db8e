//! IEEE 802 MAC addresses.

use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv6Addr, str::FromStr};

/// A 48-bit IEEE 802 address. Text form: six lower-case hex pairs with colons.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Group bit set: multicast or broadcast (IEEE 802-2014, 8.2.2).
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// All 48 bits zero: never a valid source.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }

    /// The link-local IPv6 address a host derives from this MAC (RFC 4291 appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        Ipv6Addr::from((0xfe80_u128 << 112) | u128::from(self.interface_id()))
    }

    /// The modified EUI-64 interface identifier (RFC 4291, 2.5.1).
    pub fn interface_id(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }

    /// The MAC that a link-local address of the above form was derived from.
    pub fn from_link_local(ip: Ipv6Addr) -> Option<Mac> {
        let [.., a, b, c, _, _, d, e, f] = ip.octets();
        Some(Mac([a ^ 2, b, c, d, e, f])).filter(|mac| mac.link_local() == ip)
    }

    /// The Ethernet group address for an IPv6 multicast address (RFC 2464, 7).
    pub fn for_ipv6_multicast(group: Ipv6Addr) -> Mac {
        let o = group.octets();
        Mac([0x33, 0x33, o[12], o[13], o[14], o[15]])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six hex pairs separated by colons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a MAC address: six hex pairs with colons are wanted")]
pub struct ParseMacError(pub String);

impl FromStr for Mac {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseMacError(text.chars().take(64).collect());
        let mut mac = [0; 6];
        let mut pairs = text.split(':');
        for byte in &mut mac {
            let pair = pairs
                .next()
                .filter(|p| p.len() == 2 && !p.starts_with('+'))
                .ok_or_else(bad)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        if pairs.next().is_some() {
            Err(bad())
        } else {
            Ok(Mac(mac))
        }
    }
}

impl TryFrom<String> for Mac {
    type Error = ParseMacError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_refuses_what_is_not_a_mac() {
        let mac: Mac = "FA:16:3e:00:00:01".parse().unwrap();
        assert_eq!(mac.to_string(), "fa:16:3e:00:00:01");
        for bad in [
            "",
            "fa:16:3e:00:00",
            "fa:16:3e:00:00:01:02",
            "fa:16:3e:00:00:+1",
            "zz:16:3e:00:00:01",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }

    #[test]
    fn link_local_follows_rfc_4291() {
        let mac: Mac = "fa:16:3e:12:34:56".parse().unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::f816:3eff:fe12:3456");
        assert_eq!(Mac::from_link_local(mac.link_local()), Some(mac));
        assert_eq!(Mac::from_link_local("fe80::1".parse().unwrap()), None);
    }
}
