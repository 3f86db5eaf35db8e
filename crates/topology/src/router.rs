//! A distributed router. Its interfaces are ports whose link is the router.

use crate::RouterId;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A Neutron router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Router {
    /// Same as the Neutron router's.
    pub id: RouterId,
    /// For people only.
    pub name: String,
    /// When false the router drops every packet.
    pub admin_up: bool,
    /// Extra routes; connected routes come from the interfaces.
    pub routes: Vec<Route>,
}

/// A static route of a router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Prefix it covers.
    pub destination: IpNet,
    /// Address on a connected subnet, same family as the prefix.
    pub nexthop: IpAddr,
}
