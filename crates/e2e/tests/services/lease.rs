//! What a DHCPv4 client was given, whatever the program calls it.

use lab::{DhcpProgram, Told};
use std::net::Ipv4Addr;

/// A lease, every part as text.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    pub address: String,
    pub mask: String,
    pub server: String,
    pub seconds: String,
    pub mtu: String,
    pub routers: String,
    pub dns: String,
    /// `PREFIX via NEXT-HOP`, with commas between them.
    pub routes: String,
}

impl Lease {
    /// By the names of a program.
    pub fn of(program: DhcpProgram, told: &Told) -> Self {
        let names = match program {
            DhcpProgram::Dhclient => [
                "new_ip_address",
                "new_subnet_mask",
                "new_dhcp_server_identifier",
                "new_dhcp_lease_time",
                "new_interface_mtu",
                "new_routers",
                "new_domain_name_servers",
                "new_rfc3442_classless_static_routes",
            ],
            DhcpProgram::Udhcpc => [
                "ip",
                "subnet",
                "serverid",
                "lease",
                "mtu",
                "router",
                "dns",
                "staticroutes",
            ],
            DhcpProgram::Dhcpcd => [
                "new_ip_address",
                "new_subnet_mask",
                "new_dhcp_server_identifier",
                "new_dhcp_lease_time",
                "new_interface_mtu",
                "new_routers",
                "new_domain_name_servers",
                "new_classless_static_routes",
            ],
        };
        let values = names.map(|name| told.values.get(name).cloned().unwrap_or_default());
        let [address, mask, server, seconds, mtu, routers, dns, routes] = values;
        let routes = match program {
            DhcpProgram::Dhclient => octets(&routes),
            _ => pairs(&routes),
        };
        Self {
            address,
            mask,
            server,
            seconds,
            mtu,
            routers,
            dns,
            routes,
        }
    }
}

/// Prefix and next hop by turns.
fn pairs(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let routes = words.chunks(2).map(|pair| pair.join(" via "));
    routes.collect::<Vec<_>>().join(", ")
}

/// The option's bytes as they are: prefix length, what the prefix needs of its bytes, next hop.
fn octets(text: &str) -> String {
    let bytes: Vec<u8> = text
        .split_whitespace()
        .map(|b| b.parse().unwrap())
        .collect();
    let mut rest = &bytes[..];
    let mut routes = Vec::new();
    while let [length, after @ ..] = rest {
        let (prefix, after) = after.split_at(usize::from(*length).div_ceil(8));
        let mut net = [0; 4];
        net[..prefix.len()].copy_from_slice(prefix);
        let (next, after) = after.split_first_chunk::<4>().unwrap();
        let (net, next) = (Ipv4Addr::from(net), Ipv4Addr::from(*next));
        routes.push(format!("{net}/{length} via {next}"));
        rest = after;
    }
    routes.join(", ")
}
