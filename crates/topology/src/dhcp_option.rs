//! A DHCP option that one port is given beside what its subnets say.

use crate::Family;
use serde::{Deserialize, Serialize};

/// An option of a port, as DHCP carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpOption {
    /// DHCPv4 (RFC 2132) or DHCPv6 (RFC 8415).
    pub family: Family,
    /// Its number.
    pub code: u16,
    /// Its value. Empty: the option is left out, also if the subnet has one.
    pub data: Vec<u8>,
    /// Given to the boot loader iPXE only, or to all others only; `None`: to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipxe: Option<bool>,
}

impl DhcpOption {
    /// The number under which a DHCPv4 client is told the server that it boots from. That is a field
    /// of the message and no option, which is why the number that ends the options is free for it.
    pub const NEXT_SERVER: u16 = 255;

    /// Whether a client of this family is given it.
    pub fn is_for(&self, family: Family, ipxe: bool) -> bool {
        self.family == family && self.ipxe.is_none_or(|only| only == ipxe)
    }
}
