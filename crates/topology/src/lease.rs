//! A lease: blocks of ports of a router's address that one host translates sources to.

use crate::{LeaseId, RouterId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Blocks that a host has leased. A block is the ports that have its number as their upper eight
/// bits; one block of a router is in one lease at most. The address is that of the router's gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Follows from router and host.
    pub id: LeaseId,
    /// The router.
    pub router: RouterId,
    /// The host's name.
    pub host: String,
    /// Numbers of blocks, [`BLOCK_FIRST`] or more.
    pub blocks: BTreeSet<u8>,
}

/// The lowest block: well-known ports are not given out.
pub const BLOCK_FIRST: u8 = 4;

impl Lease {
    /// The identity of the lease of a host on a router.
    pub fn id_of(router: RouterId, host: &str) -> LeaseId {
        LeaseId(uuid::Uuid::new_v5(&router.0, host.as_bytes()))
    }
}

/// The block that a port is in.
pub fn block_of(port: u16) -> u8 {
    port.to_be_bytes()[0]
}
