//! The world outside: an upstream router that runs FRR, cables to the hosts that are gateways, and
//! a host behind the router.
//!
//! ```text
//!   h1 uplink1 ──── to1 ┐
//!                       upstream ──── outside host 203.0.113.10, 2001:db8:ff::10
//!   h2 uplink2 ──── to2 ┘
//! ```
//!
//! The router has a static route to each prefix of the virtual network by every link; those by a
//! link without carrier it does not use.

use crate::{
    Host, LabError, Netns, frr::Frr, programs::ip, vlan::Tags, wait::within, world::Shared,
};
use serde_json::Value;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// Addresses of the outside host.
pub const OUTSIDE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 0x10)),
];
/// The router's addresses towards it.
const INNER: [&str; 2] = ["203.0.113.1", "2001:db8:ff::1"];
/// How long FRR gets to put a route into the kernel.
const ROUTE_LIMIT: Duration = Duration::from_secs(10);

/// An upstream router and the host behind it.
#[derive(Debug)]
pub struct Upstream {
    netns: Netns,
    outside: Netns,
    frr: Frr,
    prefixes: Vec<String>,
    links: u8,
}

/// A link between a host and the upstream router: a cable, or a VLAN on one.
#[derive(Debug)]
pub struct Uplink {
    number: u8,
    host: Netns,
    interface: String,
    /// The router's namespace and its end of the cable.
    upstream: Netns,
    far: String,
    vlan: Option<u16>,
    /// What makes it a VLAN.
    _tags: Option<Tags>,
}

impl Upstream {
    pub(crate) fn create(shared: &Shared, name: &str, prefixes: &[&str]) -> Result<Self, LabError> {
        let prefix = shared.slot.prefix();
        let netns = Netns::create(&format!("{prefix}{name}"));
        let outside = Netns::create(&format!("{prefix}{name}-out"));
        let (netns, outside) = (netns?, outside?);
        netns.sysctl("ipv4/ip_forward", "1")?;
        netns.sysctl("ipv6/conf/all/forwarding", "1")?;
        // connections, not pairs of addresses, are spread over equal ways
        netns.sysctl("ipv4/fib_multipath_hash_policy", "1")?;
        netns.sysctl("ipv6/fib_multipath_hash_policy", "1")?;
        cable((&netns, "inner"), (&outside, "eth0"))?;
        for ((own, far), length) in INNER.into_iter().zip(OUTSIDE).zip([24, 64]) {
            add_address(&netns, "inner", &format!("{own}/{length}"))?;
            add_address(&outside, "eth0", &format!("{far}/{length}"))?;
            outside.ip(&format!("route add default via {own}"))?;
        }
        Ok(Self {
            frr: Frr::start(shared, name, &netns)?,
            netns,
            outside,
            prefixes: prefixes.iter().map(|&p| p.to_owned()).collect(),
            links: 0,
        })
    }

    /// The router's namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The host behind it, at [`OUTSIDE`].
    pub fn outside(&self) -> &Netns {
        &self.outside
    }

    /// A cable to a host, which there ends in a new interface.
    pub fn add_link(&mut self, host: &Host) -> Result<Uplink, LabError> {
        self.links += 1;
        let uplink = Uplink {
            number: self.links,
            host: host.netns().clone(),
            interface: format!("uplink{}", self.links),
            upstream: self.netns.clone(),
            far: format!("to{}", self.links),
            vlan: None,
            _tags: None,
        };
        cable(
            (&self.netns, &uplink.far),
            (host.netns(), &uplink.interface),
        )?;
        // what the interface says is up to the agent alone
        let quiet = format!("ipv6/conf/{}/disable_ipv6", uplink.interface);
        host.netns().sysctl(&quiet, "1")?;
        self.use_link(&uplink, &uplink.far)?;
        Ok(uplink)
    }

    /// A VLAN on a cable that is there, with addresses of its own.
    pub fn add_vlan(&mut self, cable: &Uplink, id: u16) -> Result<Uplink, LabError> {
        self.links += 1;
        let (device, inner) = (format!("tag{}", self.links), format!("vlan{}", self.links));
        // the end that is tagged only passes frames on: it must not speak for itself
        self.netns.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        self::cable((&self.netns, &device), (&self.netns, &inner))?;
        self.netns.sysctl("ipv6/conf/default/disable_ipv6", "0")?;
        self.netns
            .sysctl(&format!("ipv6/conf/{inner}/disable_ipv6"), "0")?;
        let tags = Tags::attach(&self.netns, &cable.far, &device, id)?;
        let uplink = Uplink {
            number: self.links,
            host: cable.host.clone(),
            interface: cable.interface.clone(),
            upstream: self.netns.clone(),
            far: cable.far.clone(),
            vlan: Some(id),
            _tags: Some(tags),
        };
        self.use_link(&uplink, &inner)?;
        Ok(uplink)
    }

    /// Forgets the routes over a link, and ends it if it is a VLAN.
    pub fn remove_link(&mut self, uplink: Uplink) -> Result<(), LabError> {
        let routes = self.routes(&uplink);
        let no: Vec<String> = routes.iter().map(|route| format!("no {route}")).collect();
        self.frr.configure(&no)
    }

    /// Waits until so many next hops are in use for every prefix.
    pub fn wait_next_hops(&self, count: usize) -> Result<(), LabError> {
        self.prefixes.iter().try_for_each(|prefix| {
            within(
                &format!("{count} next hops to {prefix}"),
                ROUTE_LIMIT,
                || {
                    let family = if prefix.contains(':') { "-6" } else { "-4" };
                    let shown = self.netns.ip(&format!("{family} route show {prefix}"));
                    let shown = shown.map_err(|e| e.to_string())?;
                    match shown.matches(" via ").count() {
                        seen if seen == count => Ok(()),
                        _ => Err(shown),
                    }
                },
            )
        })
    }

    /// Gives the router its addresses on a link, and the routes that lead over it.
    fn use_link(&self, uplink: &Uplink, device: &str) -> Result<(), LabError> {
        for (address, length) in uplink.upstream_addresses().into_iter().zip([30, 64]) {
            add_address(&self.netns, device, &format!("{address}/{length}"))?;
        }
        self.frr.configure(&self.routes(uplink))
    }

    /// The routes that lead over a link, in FRR's words.
    fn routes(&self, uplink: &Uplink) -> Vec<String> {
        let [v4, v6] = uplink.addresses();
        let route = |prefix: &String| match prefix.contains(':') {
            false => format!("ip route {prefix} {v4}"),
            true => format!("ipv6 route {prefix} {v6}"),
        };
        self.prefixes.iter().map(route).collect()
    }
}

impl Uplink {
    /// The interface on the host.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The tag of its frames there.
    pub fn vlan(&self) -> Option<u16> {
        self.vlan
    }

    /// Its subnets, IPv4 first.
    pub fn subnets(&self) -> [String; 2] {
        let n = self.number;
        [format!("172.20.{n}.0/30"), format!("fd20:{n:x}::/64")]
    }

    /// The addresses that the upstream router sends to: those of the virtual router there.
    pub fn addresses(&self) -> [IpAddr; 2] {
        self.pair(2)
    }

    /// The upstream router's addresses.
    pub fn upstream_addresses(&self) -> [IpAddr; 2] {
        self.pair(1)
    }

    /// Packets that have passed the cable so far, both ways.
    pub fn packets(&self) -> Result<u64, LabError> {
        let shown = self.upstream.ip(&format!("-j -s link show {}", self.far))?;
        let link: Value = serde_json::from_str(&shown).unwrap_or_default();
        let way = |way: &str| link[0]["stats64"][way]["packets"].as_u64();
        let both = way("rx").zip(way("tx")).map(|(rx, tx)| rx + tx);
        both.ok_or_else(|| LabError::Unexpected {
            what: format!("counters of {}", self.far),
            detail: shown,
        })
    }

    fn pair(&self, end: u8) -> [IpAddr; 2] {
        let (n, end16) = (self.number, u16::from(end));
        [
            Ipv4Addr::new(172, 20, n, end).into(),
            Ipv6Addr::new(0xfd20, n.into(), 0, 0, 0, 0, 0, end16).into(),
        ]
    }

    /// Cuts the cable: both ends lose their carrier.
    pub fn cut(&self) -> Result<(), LabError> {
        self.upstream
            .ip(&format!("link set {} down", self.far))
            .map(drop)
    }

    /// Mends the cable. The kernel forgets IPv6 addresses of an interface that goes down, so they
    /// are given again.
    pub fn mend(&self) -> Result<(), LabError> {
        self.upstream.ip(&format!("link set {} up", self.far))?;
        let [_, v6] = self.upstream_addresses();
        let address = format!("addr replace {v6}/64 dev {} nodad", self.far);
        self.upstream.ip(&address).map(drop)
    }

    /// Cuts the cable at the host's end too, for a host without power. A veth's far end would hear of
    /// that only when the kernel gets to it, up to a second later; a router's port hears at once.
    pub(crate) fn fall_dark(&self) -> Result<(), LabError> {
        self.cut()?;
        let down = format!("link set {} down", self.interface);
        self.host.ip(&down).map(drop)
    }

    /// Mends it at both ends.
    pub(crate) fn light_up(&self) -> Result<(), LabError> {
        let up = format!("link set {} up", self.interface);
        self.host.ip(&up)?;
        self.mend()
    }
}

/// Joins two namespaces by a veth, both ends up.
fn cable(near: (&Netns, &str), far: (&Netns, &str)) -> Result<(), LabError> {
    ip(&format!(
        "link add name {} netns {} type veth peer name {} netns {}",
        near.1,
        near.0.name(),
        far.1,
        far.0.name()
    ))?;
    near.0.ip(&format!("link set {} up", near.1))?;
    far.0.ip(&format!("link set {} up", far.1)).map(drop)
}

/// Adds an address that nobody needs to be asked for.
fn add_address(netns: &Netns, device: &str, address: &str) -> Result<(), LabError> {
    let nodad = if address.contains(':') { " nodad" } else { "" };
    netns
        .ip(&format!("addr add {address} dev {device}{nodad}"))
        .map(drop)
}
