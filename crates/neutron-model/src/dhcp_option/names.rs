//! Names and numbers of DHCP options, and what their values are.
//!
//! The plugin has the same list (`neutron/midonet/neutron/dhcp_options.py`) to refuse what is not in
//! it before Neutron commits; a test compares the two.

use super::{Kind, shown};
use topology::Family;

/// An option that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub code: u16,
    pub kind: Kind,
}

/// Finds an option by its number or its name. Case does not matter, and `_` is as good as `-`.
pub(super) fn find(family: Family, name: &str) -> Result<Named, String> {
    let (names, reserved, last) = match family {
        Family::V4 => (V4, RESERVED_V4, 254),
        Family::V6 => (V6, RESERVED_V6, u16::MAX),
    };
    let named = |(_, code, kind): &(&str, u16, Kind)| Named {
        code: *code,
        kind: *kind,
    };
    if name.chars().all(|c| c.is_ascii_digit()) {
        let code: Option<u16> = name.parse().ok();
        let code = code.filter(|code| (1..=last).contains(code) && !reserved.contains(code));
        let code =
            code.ok_or_else(|| format!("'{}' is not an option that can be given", shown(name)))?;
        let known = names.iter().find(|(_, known, _)| *known == code).map(named);
        let kind = Kind::Any;
        return Ok(known.unwrap_or(Named { code, kind }));
    }
    let plain = name.to_ascii_lowercase().replace('_', "-");
    let known = names.iter().find(|(known, ..)| *known == plain).map(named);
    known.ok_or_else(|| {
        let shown = shown(name);
        format!("'{shown}' is neither the number nor a known name of a DHCP option")
    })
}

/// What the server says itself: the message's type, whose it is, what the client asked.
const RESERVED_V4: &[u16] = &[50, 52, 53, 54, 55, 56, 57, 61, 82];
/// The same: identifiers, leases, status, what belongs to other servers and to relays.
const RESERVED_V6: &[u16] = &[1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 18, 19, 20, 25, 26];

/// DHCPv4: RFC 2132 unless said otherwise.
pub(super) const V4: &[(&str, u16, Kind)] = &[
    ("netmask", 1, Kind::Addresses),
    ("time-offset", 2, Kind::Number(4)),
    ("router", 3, Kind::Addresses),
    ("dns-server", 6, Kind::Addresses),
    ("log-server", 7, Kind::Addresses),
    ("lpr-server", 9, Kind::Addresses),
    ("hostname", 12, Kind::Text),
    ("boot-file-size", 13, Kind::Number(2)),
    ("domain-name", 15, Kind::Text),
    ("swap-server", 16, Kind::Addresses),
    ("root-path", 17, Kind::Text),
    ("extension-path", 18, Kind::Text),
    ("ip-forward-enable", 19, Kind::Number(1)),
    ("non-local-source-routing", 20, Kind::Number(1)),
    ("policy-filter", 21, Kind::Addresses),
    ("max-datagram-reassembly", 22, Kind::Number(2)),
    ("default-ttl", 23, Kind::Number(1)),
    ("mtu", 26, Kind::Number(2)),
    ("all-subnets-local", 27, Kind::Number(1)),
    ("broadcast", 28, Kind::Addresses),
    ("router-discovery", 31, Kind::Number(1)),
    ("router-solicitation", 32, Kind::Addresses),
    ("static-route", 33, Kind::Addresses),
    ("trailer-encapsulation", 34, Kind::Number(1)),
    ("arp-timeout", 35, Kind::Number(4)),
    ("ethernet-encap", 36, Kind::Number(1)),
    ("tcp-ttl", 37, Kind::Number(1)),
    ("tcp-keepalive", 38, Kind::Number(4)),
    ("nis-domain", 40, Kind::Text),
    ("nis-server", 41, Kind::Addresses),
    ("ntp-server", 42, Kind::Addresses),
    ("vendor-encap", 43, Kind::Any),
    ("netbios-ns", 44, Kind::Addresses),
    ("netbios-dd", 45, Kind::Addresses),
    ("netbios-nodetype", 46, Kind::Number(1)),
    ("netbios-scope", 47, Kind::Any),
    ("x-windows-fs", 48, Kind::Addresses),
    ("x-windows-dm", 49, Kind::Addresses),
    ("lease-time", 51, Kind::Time),
    ("t1", 58, Kind::Time),
    ("t2", 59, Kind::Time),
    ("vendor-class", 60, Kind::Any),
    ("nis+-domain", 64, Kind::Text),
    ("nis+-server", 65, Kind::Addresses),
    ("tftp-server", 66, Kind::Text),
    ("bootfile-name", 67, Kind::Text),
    ("mobile-ip-home", 68, Kind::Addresses),
    ("smtp-server", 69, Kind::Addresses),
    ("pop3-server", 70, Kind::Addresses),
    ("nntp-server", 71, Kind::Addresses),
    ("irc-server", 74, Kind::Addresses),
    ("client-arch", 93, Kind::Number(2)),
    ("client-interface-id", 94, Kind::Any),
    ("client-machine-id", 97, Kind::Any),
    ("posix-timezone", 100, Kind::Text), // RFC 4833
    ("tzdb-timezone", 101, Kind::Text),
    ("ipv6-only", 108, Kind::Number(4)),           // RFC 8925
    ("domain-search", 119, Kind::Domains),         // RFC 3397
    ("sip-server", 120, Kind::Sip),                // RFC 3361
    ("classless-static-route", 121, Kind::Routes), // RFC 3442
    ("vendor-id-encap", 125, Kind::Any),           // RFC 3925
    ("tftp-server-address", 150, Kind::Addresses), // RFC 5859
    ("path-prefix", 210, Kind::Text),              // RFC 5071
    ("ms-classless-static-route", 249, Kind::Routes),
    ("wpad", 252, Kind::Text),
    // a field of the message, see `topology::DhcpOption::NEXT_SERVER`
    ("server-ip-address", 255, Kind::Addresses),
];

/// DHCPv6.
pub(super) const V6: &[(&str, u16, Kind)] = &[
    ("preference", 7, Kind::Number(1)),           // RFC 8415
    ("vendor-opts", 17, Kind::Any),               // RFC 8415
    ("sip-server-domain", 21, Kind::Domains),     // RFC 3319
    ("sip-server", 22, Kind::Addresses),          // RFC 3319
    ("dns-server", 23, Kind::Addresses),          // RFC 3646
    ("domain-search", 24, Kind::Domains),         // RFC 3646
    ("nis-server", 27, Kind::Addresses),          // RFC 3898
    ("nis+-server", 28, Kind::Addresses),         // RFC 3898
    ("nis-domain", 29, Kind::Domains),            // RFC 3898
    ("nis+-domain", 30, Kind::Domains),           // RFC 3898
    ("sntp-server", 31, Kind::Addresses),         // RFC 4075
    ("information-refresh-time", 32, Kind::Time), // RFC 8415
    ("posix-timezone", 41, Kind::Text),           // RFC 4833
    ("tzdb-timezone", 42, Kind::Text),            // RFC 4833
    ("ntp-server", 56, Kind::TimeServers),        // RFC 5908
    ("bootfile-url", 59, Kind::Text),             // RFC 5970
    ("bootfile-param", 60, Kind::Texts),          // RFC 5970
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn found(family: Family, name: &str) -> Option<(u16, Kind)> {
        find(family, name).ok().map(|n| (n.code, n.kind))
    }

    #[test]
    fn an_option_has_a_name_and_a_number() {
        let mtu = Some((26, Kind::Number(2)));
        for name in ["mtu", "26", "MTU", "026"] {
            assert_eq!(found(Family::V4, name), mtu, "{name}");
        }
        assert_eq!(found(Family::V4, "T1"), Some((58, Kind::Time)));
        let routes = Some((121, Kind::Routes));
        assert_eq!(found(Family::V4, "classless_static_route"), routes);
        assert_eq!(found(Family::V4, "224"), Some((224, Kind::Any)));
        assert_eq!(found(Family::V6, "23"), Some((23, Kind::Addresses)));
        assert_eq!(found(Family::V6, "40000"), Some((40_000, Kind::Any)));
    }

    #[test]
    fn what_the_server_says_itself_cannot_be_given() {
        let cases = [
            "0",
            "53",
            "54",
            "255",
            "256",
            "99999999",
            "",
            "message-type",
            "nosuch",
        ];
        for name in cases {
            assert_eq!(found(Family::V4, name), None, "{name}");
        }
        for name in ["0", "1", "3", "13", "25", "65536", "router", "mtu"] {
            assert_eq!(found(Family::V6, name), None, "{name}");
        }
    }

    #[test]
    fn the_plugin_knows_the_same_names() {
        let plugin = include_str!("../../../../neutron/midonet/neutron/dhcp_options.py");
        for (variable, names) in [("V4", V4), ("V6", V6)] {
            let table = plugin.split(&format!("\n{variable} = {{")).nth(1).unwrap();
            let table = table.split("\n}").next().unwrap();
            let there: BTreeSet<String> = table
                .lines()
                .filter_map(|line| line.trim().strip_suffix(','))
                .map(str::to_owned)
                .collect();
            let here = names.iter().map(|(name, code, kind)| {
                let kind = kind.name();
                format!("\"{name}\": ({code}, {kind})")
            });
            assert_eq!(there, here.collect(), "{variable}");
        }
        for (variable, codes) in [("RESERVED_V4", RESERVED_V4), ("RESERVED_V6", RESERVED_V6)] {
            let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
            let line = format!("{variable} = frozenset({{{}}})", codes.join(", "));
            assert!(plugin.contains(&line), "{line}");
        }
    }
}
