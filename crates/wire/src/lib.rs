//! Words of the wire: addresses and headers as bytes, with no opinion about topology.
#![forbid(unsafe_code)]

mod arp;
pub mod bytes;
mod checksum;
mod dhcp4;
mod dhcp6;
mod ethernet;
mod fragment;
mod icmp;
mod ip;
mod ipv4;
mod ipv6;
mod mac;
pub mod nd;
mod segment;
mod tcp;
mod udp;

pub use arp::{Arp, ArpOperation};
pub use checksum::{Checksum, checksum};
pub use dhcp4::{DHCP4_CLIENT, DHCP4_SERVER, Dhcp4Kind, Dhcp4Reply, Dhcp4Request, dhcp4_option};
pub use dhcp6::{
    DHCP6_CLIENT, DHCP6_SERVER, Dhcp6Association, Dhcp6Grant, Dhcp6Kind, Dhcp6Lease, Dhcp6Reply,
    Dhcp6Request, Dhcp6Status, dhcp6_identifier, dhcp6_is_relayed, dhcp6_option,
};
pub use ethernet::{ETHERNET_HEADER, Ethernet, ethertype};
pub use fragment::{fragment_v4, fragment_v6, set_checksum_v4};
pub use icmp::{ICMP_HEADER, Icmp, icmp_checksum, icmp4, icmp6};
pub use ip::{DEFAULT_TTL, Ip, IpPacket, protocol};
pub use ipv4::{IPV4_HEADER, Ipv4};
pub use ipv6::{IPV6_HEADER, Ipv6};
pub use mac::{Mac, ParseMacError};
pub use segment::segments_v4;
pub use tcp::{TCP_HEADER, tcp_flag, tcp_segment};
pub use udp::{UDP_HEADER, Udp};
