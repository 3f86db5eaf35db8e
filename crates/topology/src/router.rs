//! A distributed router. Its interfaces are ports whose link is the router.

use crate::{PortId, RouterId, TunnelKey};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

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
    /// VNI of frames that come into it from its outside and go on at another host.
    #[serde(default)]
    pub key: TunnelKey,
    /// Its port on an external network, if it has one.
    #[serde(default)]
    pub gateway: Option<Gateway>,
}

/// How a router reaches an external network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// The port.
    pub port: PortId,
    /// Whether IPv4 sources without a floating IP become the port's first IPv4 address.
    pub snat: bool,
}

/// A static route of a router. Of those around a packet the longest destination wins, then the
/// longest source, then the smallest weight; what is still equal shares the load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Prefix it covers.
    pub destination: IpNet,
    /// Only for packets from this prefix, of the destination's family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpNet>,
    /// Where it leads.
    pub nexthop: Nexthop,
    /// The smaller, the better.
    #[serde(default = "default_weight")]
    pub weight: u32,
}

/// Weight of a route that says nothing of it.
pub const DEFAULT_WEIGHT: u32 = 100;

fn default_weight() -> u32 {
    DEFAULT_WEIGHT
}

impl Route {
    /// A route for packets from anywhere.
    pub fn via(destination: IpNet, nexthop: IpAddr) -> Self {
        Self {
            destination,
            source: None,
            nexthop: Nexthop::Via(nexthop),
            weight: DEFAULT_WEIGHT,
        }
    }
}

/// What a route does with its packets. Written as an address or a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Nexthop {
    /// To the station with this address, on a connected subnet and of the destination's family.
    Via(IpAddr),
    /// Nowhere, in silence.
    Blackhole,
    /// Nowhere, and the sender is told.
    Reject,
}

impl fmt::Display for Nexthop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nexthop::Via(ip) => write!(f, "{ip}"),
            Nexthop::Blackhole => f.write_str("blackhole"),
            Nexthop::Reject => f.write_str("reject"),
        }
    }
}

impl From<Nexthop> for String {
    fn from(nexthop: Nexthop) -> Self {
        nexthop.to_string()
    }
}

impl FromStr for Nexthop {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "blackhole" => Ok(Nexthop::Blackhole),
            "reject" => Ok(Nexthop::Reject),
            ip => ip.parse().map(Nexthop::Via),
        }
    }
}

impl TryFrom<String> for Nexthop {
    type Error = std::net::AddrParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_read_as_it_is_written_and_as_it_was_written_before() {
        let before = r#"{"destination":"10.9.0.0/16","nexthop":"10.0.0.9"}"#;
        let route: Route = serde_json::from_str(before).expect("a route without the new fields");
        let (net, ip) = ("10.9.0.0/16".parse(), "10.0.0.9".parse());
        assert_eq!(
            route,
            Route::via(net.expect("a prefix"), ip.expect("an address"))
        );
        for nexthop in [route.nexthop, Nexthop::Blackhole, Nexthop::Reject] {
            let text = serde_json::to_string(&nexthop).expect("JSON");
            assert_eq!(
                serde_json::from_str::<Nexthop>(&text).expect("JSON"),
                nexthop
            );
        }
        assert!(serde_json::from_str::<Nexthop>(r#""nowhere""#).is_err());
    }
}
