//! A DHCP option's value: from the text of the request to the bytes of the message.

use super::shown;
use ipnet::Ipv4Net;
use std::net::{IpAddr, Ipv4Addr};
use topology::Family;

/// Longest part of a domain name, and longest name with its lengths (RFC 1035, 2.3.4).
const LABEL_MAX: usize = 63;
const DOMAIN_MAX: usize = 255;

/// What a value is. Lists are separated by commas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IP addresses of the family; IPv6 ones may stand in brackets.
    Addresses,
    /// A number of so many bytes.
    Number(usize),
    /// Seconds, or another unit: `90`, `15m`, `2h`, `7d`, `1w`, `infinite`.
    Time,
    /// Characters as they are.
    Text,
    /// Several of them, each with its length before it.
    Texts,
    /// Domain names (RFC 1035, 3.1), not compressed.
    Domains,
    /// Prefix and next hop, prefix and next hop (RFC 3442).
    Routes,
    /// Domain names or addresses of SIP servers (RFC 3361).
    Sip,
    /// Addresses or domain names of time servers (RFC 5908).
    TimeServers,
    /// Guessed by its looks: addresses, bytes as `0a:1b`, a number, else text.
    Any,
}

impl Kind {
    /// The value as bytes. An empty text is an empty value whatever the kind.
    pub(super) fn encode(self, family: Family, text: &str) -> Result<Vec<u8>, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Kind::Addresses => addresses(family, text),
            Kind::Number(bytes) => number(bytes, text),
            Kind::Time => time(text),
            Kind::Text => Ok(text.as_bytes().to_vec()),
            Kind::Texts => Ok(texts(text)),
            Kind::Domains => domains(text),
            Kind::Routes => routes(text),
            Kind::Sip => sip(text),
            Kind::TimeServers => time_servers(text),
            Kind::Any => Ok(guess(family, text)),
        }
    }

    /// What the plugin calls it.
    #[cfg(test)]
    pub(super) fn name(self) -> String {
        match self {
            Kind::Number(bytes) => format!("number({bytes})"),
            Kind::TimeServers => "time_servers".to_owned(),
            Kind::Any => "anything".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        }
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

/// The bytes of every part, one after the other.
fn concat(text: &str, encode: impl Fn(&str) -> Result<Vec<u8>, String>) -> Result<Vec<u8>, String> {
    let encoded: Result<Vec<Vec<u8>>, String> = parts(text).map(encode).collect();
    Ok(encoded?.concat())
}

fn addresses(family: Family, text: &str) -> Result<Vec<u8>, String> {
    concat(text, |part| address(family, part))
}

fn address(family: Family, part: &str) -> Result<Vec<u8>, String> {
    let bare = part.strip_prefix('[').and_then(|p| p.strip_suffix(']'));
    let bare = bare.filter(|_| family == Family::V6).unwrap_or(part);
    match (family, bare.parse::<IpAddr>()) {
        (Family::V4, Ok(IpAddr::V4(ip))) => Ok(ip.octets().to_vec()),
        (Family::V6, Ok(IpAddr::V6(ip))) => Ok(ip.octets().to_vec()),
        (Family::V4, _) => Err(format!("'{}' is not an IPv4 address", shown(part))),
        (Family::V6, _) => Err(format!("'{}' is not an IPv6 address", shown(part))),
    }
}

/// A number in decimal or hexadecimal; a negative one for what counts seconds from UTC.
fn number(bytes: usize, text: &str) -> Result<Vec<u8>, String> {
    let value = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let bits = 8 * bytes as u32;
    let value = value.filter(|v| (-(1 << (bits - 1))..1 << bits).contains(v));
    let value =
        value.ok_or_else(|| format!("'{}' is not a number of {bytes} bytes", shown(text)))?;
    Ok(value.to_be_bytes()[8 - bytes..].to_vec())
}

fn time(text: &str) -> Result<Vec<u8>, String> {
    const UNITS: [(char, u32); 5] = [
        ('s', 1),
        ('m', 60),
        ('h', 3600),
        ('d', 86_400),
        ('w', 604_800),
    ];
    let bad = || format!("'{}' is not a time", shown(text));
    if text == "infinite" {
        return Ok(u32::MAX.to_be_bytes().to_vec());
    }
    let unit = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(*name)?, *unit)));
    let (count, unit) = unit.unwrap_or((text, 1));
    let seconds = count.parse::<u32>().ok().and_then(|n| n.checked_mul(unit));
    Ok(seconds.ok_or_else(bad)?.to_be_bytes().to_vec())
}

/// Each part is shorter than 2¹⁶ bytes, because a whole value is.
fn texts(text: &str) -> Vec<u8> {
    let encode = |part: &str| [&(part.len() as u16).to_be_bytes(), part.as_bytes()].concat();
    parts(text).flat_map(encode).collect()
}

fn domains(text: &str) -> Result<Vec<u8>, String> {
    concat(text, domain)
}

fn domain(name: &str) -> Result<Vec<u8>, String> {
    let bad = || format!("'{}' is not a domain name", shown(name));
    let mut out = Vec::new();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let plain = label.bytes().all(|b| b.is_ascii_graphic());
        if !(1..=LABEL_MAX).contains(&label.len()) || !plain {
            return Err(bad());
        }
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    if out.len() > DOMAIN_MAX {
        return Err(bad());
    }
    Ok(out)
}

fn routes(text: &str) -> Result<Vec<u8>, String> {
    let parts: Vec<&str> = parts(text).collect();
    if !parts.len().is_multiple_of(2) {
        return Err("a prefix without its next hop".to_owned());
    }
    let encoded: Result<Vec<Vec<u8>>, String> = parts
        .chunks(2)
        .map(|pair| route(pair[0], pair[1]))
        .collect();
    Ok(encoded?.concat())
}

/// Prefix length, the bytes of the prefix that it covers, next hop.
fn route(prefix: &str, next: &str) -> Result<Vec<u8>, String> {
    let bad = |part: &str, what: &str| format!("'{}' is not an IPv4 {what}", shown(part));
    let net = prefix.parse::<Ipv4Net>().ok();
    let net = net.or_else(|| prefix.parse::<Ipv4Addr>().ok().map(Ipv4Net::from));
    let net = net.ok_or_else(|| bad(prefix, "prefix"))?.trunc();
    let next: Ipv4Addr = next.parse().map_err(|_| bad(next, "address"))?;
    let covered = usize::from(net.prefix_len()).div_ceil(8);
    let mut out = vec![net.prefix_len()];
    out.extend(&net.network().octets()[..covered]);
    out.extend(next.octets());
    Ok(out)
}

fn sip(text: &str) -> Result<Vec<u8>, String> {
    const NAMES: u8 = 0;
    const ADDRESSES: u8 = 1;
    let (form, rest) = match addresses(Family::V4, text) {
        Ok(addresses) => (ADDRESSES, addresses),
        Err(_) => (NAMES, domains(text)?),
    };
    Ok([vec![form], rest].concat())
}

/// Each server is a sub-option.
fn time_servers(text: &str) -> Result<Vec<u8>, String> {
    const UNICAST: u16 = 1;
    const MULTICAST: u16 = 2;
    const NAME: u16 = 3;
    concat(text, |part| {
        let (code, data) = match address(Family::V6, part) {
            Ok(ip) if ip[0] == 0xff => (MULTICAST, ip),
            Ok(ip) => (UNICAST, ip),
            Err(_) => (NAME, domain(part)?),
        };
        let len = data.len() as u16;
        Ok([&code.to_be_bytes()[..], &len.to_be_bytes(), &data].concat())
    })
}

fn guess(family: Family, text: &str) -> Vec<u8> {
    let guessed = addresses(family, text).ok();
    let guessed = guessed.or_else(|| hexadecimal(text));
    let guessed = guessed.or_else(|| [1, 2, 4].iter().find_map(|n| unsigned(*n, text)));
    guessed.unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Bytes with colons between them.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let byte = |digits: &str| {
        let digits = Some(digits).filter(|d| (1..=2).contains(&d.len()))?;
        u8::from_str_radix(digits, 16).ok()
    };
    text.contains(':')
        .then(|| text.split(':').map(byte).collect())?
}

fn unsigned(bytes: usize, text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    number(bytes, text).ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn octets(ip: &str) -> [u8; 16] {
        ip.parse::<Ipv6Addr>().unwrap().octets()
    }

    fn v4(kind: Kind, text: &str) -> Option<Vec<u8>> {
        kind.encode(Family::V4, text).ok()
    }

    fn v6(kind: Kind, text: &str) -> Option<Vec<u8>> {
        kind.encode(Family::V6, text).ok()
    }

    #[test]
    fn values_are_what_their_rfcs_say() {
        let cases: [(Kind, &str, &[u8]); 21] = [
            (
                Kind::Addresses,
                "10.0.0.1, 10.0.0.2",
                &[10, 0, 0, 1, 10, 0, 0, 2],
            ),
            (Kind::Number(2), "1400", &[5, 120]),
            (Kind::Number(1), "0x40", &[64]),
            (Kind::Number(4), "-3600", &[255, 255, 241, 240]),
            (Kind::Time, "90", &[0, 0, 0, 90]),
            (Kind::Time, "2h", &[0, 0, 28, 32]),
            (Kind::Time, "infinite", &[255; 4]),
            (Kind::Text, "http://a/b,c", b"http://a/b,c"),
            (Kind::Texts, "a, bc", &[0, 1, b'a', 0, 2, b'b', b'c']),
            (Kind::Domains, "a.bc., d", b"\x01a\x02bc\0\x01d\0"),
            (
                Kind::Routes,
                "0.0.0.0/0,10.0.0.1,192.0.2.0/23,10.0.0.2",
                &[0, 10, 0, 0, 1, 23, 192, 0, 2, 10, 0, 0, 2],
            ),
            (
                Kind::Routes,
                "192.0.2.7,10.0.0.2",
                &[32, 192, 0, 2, 7, 10, 0, 0, 2],
            ),
            (Kind::Sip, "10.0.0.1", &[1, 10, 0, 0, 1]),
            (Kind::Sip, "a.b", b"\0\x01a\x01b\0"),
            (Kind::Any, "10.0.0.1", &[10, 0, 0, 1]),
            (Kind::Any, "01:ff:2", &[1, 255, 2]),
            (Kind::Any, "7", &[7]),
            (Kind::Any, "256", &[1, 0]),
            (Kind::Any, "65536", &[0, 1, 0, 0]),
            (Kind::Any, "-1", b"-1"),
            (Kind::Number(2), "", &[]),
        ];
        for (kind, text, wanted) in cases {
            assert_eq!(v4(kind, text).as_deref(), Some(wanted), "{kind:?} {text}");
        }
    }

    #[test]
    fn ipv6_addresses_may_stand_in_brackets() {
        let wanted = [octets("fd00::1"), octets("fd00::2")].concat();
        for text in ["fd00::1,fd00::2", "[fd00::1], [fd00::2]"] {
            assert_eq!(v6(Kind::Addresses, text), Some(wanted.clone()));
            assert_eq!(v6(Kind::Any, text), Some(wanted.clone()));
        }
        let server = |code, value: &[u8]| [&[0, code, 0, value.len() as u8], value].concat();
        let wanted = [
            server(1, &octets("fd00::1")),
            server(2, &octets("ff05::101")),
            server(3, b"\x03ntp\x01x\0"),
        ];
        let servers = v6(Kind::TimeServers, "fd00::1,ff05::101,ntp.x");
        assert_eq!(servers, Some(wanted.concat()));
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        let long = "a".repeat(64);
        let cases = [
            (Kind::Addresses, "10.0.0"),
            (Kind::Addresses, "fd00::1"),
            (Kind::Addresses, "10.0.0.1,,10.0.0.2"),
            (Kind::Number(1), "256"),
            (Kind::Number(2), "-40000"),
            (Kind::Number(2), "1400b"),
            (Kind::Time, "5x"),
            (Kind::Time, "5000000w"),
            (Kind::Domains, "a..b"),
            (Kind::Domains, "a b"),
            (Kind::Domains, &long),
            (Kind::Routes, "192.0.2.0/24"),
            (Kind::Routes, "192.0.2.0/33,10.0.0.1"),
            (Kind::Routes, "192.0.2.0/24,gw"),
            (Kind::Sip, "a b"),
        ];
        for (kind, text) in cases {
            assert_eq!(v4(kind, text), None, "{kind:?} {text}");
        }
        assert_eq!(v6(Kind::Addresses, "10.0.0.1"), None);
        assert_eq!(v6(Kind::TimeServers, "a b"), None);
    }
}
