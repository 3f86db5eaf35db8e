//! A frame as a VM would send it, from the fields that matter.

use super::super::answer::Failure;
use ::topology::{BridgeId, Port, Snapshot, Subnet};
use api::PacketFields;
use std::net::IpAddr;
use wire::{DEFAULT_TTL, Icmp, IpPacket, Mac, Udp, icmp4, icmp6, protocol, tcp_flag, tcp_segment};

/// Source port of packets that are given none.
const EPHEMERAL: u16 = 49152;
/// Longest frame that may be given in hexadecimal, bytes.
const FRAME_MAX: usize = 65_550;

/// Builds the frame that a VM at `port` would send.
pub fn build(fields: &PacketFields, port: &Port, topology: &Snapshot) -> Result<Vec<u8>, Failure> {
    let dst = fields.dst;
    let src = match fields.src {
        Some(src) if src.is_ipv4() != dst.is_ipv4() => {
            return Err(Failure::bad(
                "packet.src",
                "is not of the IP version of dst",
            ));
        }
        Some(src) => src,
        None => own_address(port, dst)?,
    };
    let dmac = fields
        .dmac
        .map_or_else(|| resolve(port, src, dst, topology), Ok)?;
    let proto = proto(fields)?;
    let payload = payload(fields, proto, src, dst)?;
    let packet = IpPacket {
        src,
        dst,
        proto,
        ttl: DEFAULT_TTL,
        payload: &payload,
    };
    let frame = packet.frame(fields.smac.unwrap_or(port.mac), dmac);
    frame.ok_or_else(|| Failure::bad("packet", "cannot be built"))
}

fn own_address(port: &Port, dst: IpAddr) -> Result<IpAddr, Failure> {
    let own = port.addresses.iter().map(|address| address.ip);
    let same = own.clone().find(|ip| ip.is_ipv4() == dst.is_ipv4());
    same.ok_or_else(|| Failure::bad("packet.src", "the port has no address of that IP version"))
}

/// The MAC that the VM would find: of the neighbour if the destination is on a subnet of the port,
/// else of the subnet's gateway.
fn resolve(port: &Port, src: IpAddr, dst: IpAddr, topology: &Snapshot) -> Result<Mac, Failure> {
    if let Some(mac) = group_mac(dst) {
        return Ok(mac);
    }
    let unresolved = |message: String| Failure::bad("packet.dmac", message);
    let bridge = port
        .bridge
        .ok_or_else(|| unresolved("the port has no network".to_owned()))?;
    let subnets = subnets(port, src, topology);
    let on_link = subnets.iter().any(|subnet| subnet.cidr.contains(&dst));
    let hop = match subnets.iter().find_map(|subnet| subnet.gateway) {
        _ if on_link => dst,
        Some(gateway) => gateway,
        None => return Err(unresolved(format!("no gateway leads to {dst}"))),
    };
    neighbor(bridge, hop, topology)
        .ok_or_else(|| unresolved(format!("no port of the network has {hop}")))
}

fn group_mac(dst: IpAddr) -> Option<Mac> {
    match dst {
        IpAddr::V4(v4) if v4.is_broadcast() => Some(Mac::BROADCAST),
        IpAddr::V4(v4) if v4.is_multicast() => {
            let [_, b, c, d] = v4.octets();
            Some(Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
        }
        IpAddr::V6(v6) if v6.is_multicast() => Some(Mac::for_ipv6_multicast(v6)),
        _ => None,
    }
}

/// The port's subnets of the source's IP version, that of the source first.
fn subnets<'a>(port: &Port, src: IpAddr, topology: &'a Snapshot) -> Vec<&'a Subnet> {
    let all = port
        .addresses
        .iter()
        .filter_map(|address| topology.subnet(address.subnet));
    let mut all: Vec<&Subnet> = all
        .map(AsRef::as_ref)
        .filter(|s| s.cidr.addr().is_ipv4() == src.is_ipv4())
        .collect();
    all.sort_by_key(|subnet| !subnet.cidr.contains(&src));
    all
}

/// Fixed addresses, and the link-local ones that IPv6 hosts derive from their MACs.
fn neighbor(bridge: BridgeId, ip: IpAddr, topology: &Snapshot) -> Option<Mac> {
    if let Some(port) = topology.port_by_address(bridge, ip) {
        return Some(port.mac);
    }
    let derived = |port: &&std::sync::Arc<Port>| IpAddr::V6(port.mac.link_local()) == ip;
    topology
        .bridge_ports(bridge)
        .find(derived)
        .map(|port| port.mac)
}

fn proto(fields: &PacketFields) -> Result<u8, Failure> {
    let v6 = fields.dst.is_ipv6();
    let Some(given) = &fields.proto else {
        return Ok(if v6 { protocol::ICMPV6 } else { protocol::ICMP });
    };
    match given.number() {
        None => Err(Failure::bad("packet.proto", "one protocol is wanted")),
        Some(protocol::ICMP) if v6 => Ok(protocol::ICMPV6),
        Some(number) => Ok(number),
    }
}

fn payload(fields: &PacketFields, proto: u8, src: IpAddr, dst: IpAddr) -> Result<Vec<u8>, Failure> {
    let sport = fields.sport.unwrap_or(EPHEMERAL);
    let dport = || {
        fields
            .dport
            .ok_or_else(|| Failure::bad("packet.dport", "is missing"))
    };
    match proto {
        protocol::TCP => Ok(tcp_segment((src, sport), (dst, dport()?), tcp_flag::SYN)),
        protocol::UDP => {
            let udp = Udp {
                sport,
                dport: dport()?,
                payload: &[],
            };
            udp.datagram(src, dst)
                .ok_or_else(|| Failure::bad("packet", "is too long"))
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let echo = if proto == protocol::ICMP {
                icmp4::ECHO_REQUEST
            } else {
                icmp6::ECHO_REQUEST
            };
            let kind = fields.icmp_type.unwrap_or(echo);
            let code = fields.icmp_code.unwrap_or(0);
            Ok(Icmp {
                kind,
                code,
                rest: [0, 1, 0, 1],
                body: &[],
            }
            .message(src, dst))
        }
        protocol::UDP_LITE | protocol::DCCP | protocol::SCTP => {
            let mut header = Vec::from(sport.to_be_bytes());
            header.extend(dport()?.to_be_bytes());
            header.resize(12, 0);
            Ok(header)
        }
        _ => Ok(Vec::new()),
    }
}

/// A frame from hexadecimal text, with or without blanks and colons.
pub fn from_hex(text: &str) -> Result<Vec<u8>, Failure> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace() && *c != ':')
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()
        .ok_or_else(|| Failure::bad("frame", "is not hexadecimal"))?;
    if digits.len() % 2 == 1 || digits.len() > 2 * FRAME_MAX {
        let message = format!("is half a byte or longer than {FRAME_MAX} bytes");
        return Err(Failure::bad("frame", message));
    }
    Ok(digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect())
}

/// A frame as hexadecimal text.
pub fn to_hex(frame: &[u8]) -> String {
    frame.iter().map(|byte| format!("{byte:02x}")).collect()
}
