//! IP protocols by Neutron's names and by number.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Names that Neutron accepts (neutron-lib `IP_PROTOCOL_MAP`), with the older spellings of v5.
const NAMES: &[(&str, u8)] = &[
    ("ah", 51),
    ("dccp", 33),
    ("egp", 8),
    ("esp", 50),
    ("gre", 47),
    ("hopopt", 0),
    ("icmp", 1),
    ("icmpv6", 58),
    ("igmp", 2),
    ("ipip", 4),
    ("ipv6-encap", 41),
    ("ipv6-frag", 44),
    ("ipv6-icmp", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("ipv6-route", 43),
    ("ipv6_encap", 41),
    ("ipv6_frag", 44),
    ("ipv6_nonxt", 59),
    ("ipv6_opts", 60),
    ("ipv6_route", 43),
    ("ospf", 89),
    ("pgm", 113),
    ("rsvp", 46),
    ("sctp", 132),
    ("tcp", 6),
    ("udp", 17),
    ("udplite", 136),
    ("vrrp", 112),
];

/// Names that mean every protocol.
const ANY: &[&str] = &["any", "ip"];

/// A protocol. It is written as it was read: Neutron compares text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    text: String,
    number: Option<u8>,
}

impl Protocol {
    /// Its number; `None` for every protocol.
    pub fn number(&self) -> Option<u8> {
        self.number
    }
}

/// Neither a name nor a number of a protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a protocol: a name that Neutron knows or a number from 0 to 255 is wanted")]
pub struct UnknownProtocol(pub String);

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        let named = NAMES
            .iter()
            .find(|(name, _)| *name == lower)
            .map(|(_, number)| *number);
        let plain = !text.starts_with('+');
        let number = match named.or_else(|| lower.parse().ok().filter(|_| plain)) {
            None if ANY.contains(&lower.as_str()) => None,
            None => return Err(UnknownProtocol(text.chars().take(64).collect())),
            known => known,
        };
        Ok(Self {
            text: text.to_owned(),
            number,
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a protocol's name or number is wanted")]
        enum Either {
            Text(String),
            Number(u8),
        }
        let text = match Either::deserialize(deserializer)? {
            Either::Text(text) => text,
            Either::Number(number) => number.to_string(),
        };
        text.parse().map_err(de::Error::custom)
    }
}
