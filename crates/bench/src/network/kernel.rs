//! The kernel's own paths: what a network looks like that is made of bridges, VXLAN devices,
//! routes and nftables.

use super::vm::Pair;
use crate::{error::BenchError, netns::Netns, process::output};
use std::net::IpAddr;

/// MTU of the VMs: what VXLAN leaves of the underlay's 1500.
const MTU: u16 = 1450;

/// A VM's addresses on a subnet.
struct Place {
    /// Number of the subnet.
    subnet: u8,
    /// Number of the VM on it.
    vm: u8,
}

impl Place {
    fn v4(&self) -> String {
        format!("10.77.{}.{}", self.subnet, self.vm)
    }

    fn v6(&self) -> String {
        format!("fd77:{}::{}", self.subnet, self.vm)
    }
}

const CLIENT: Place = Place { subnet: 0, vm: 1 };
const SERVER: Place = Place { subnet: 0, vm: 2 };
/// The server on the other subnet.
const FAR_SERVER: Place = Place { subnet: 1, vm: 2 };

/// One host, one bridge.
pub fn bridge(prefix: &str) -> Result<Pair, BenchError> {
    let host = Netns::create(format!("{prefix}-host"))?;
    add_bridge(&host, "br0")?;
    let client = plug(prefix, "client", &CLIENT, &host, "br0")?;
    let server = plug(prefix, "server", &SERVER, &host, "br0")?;
    pair(client, server, &SERVER, vec![host])
}

/// Two hosts, a bridge on each, VXLAN between.
pub fn vxlan(prefix: &str) -> Result<Pair, BenchError> {
    let [a, b] = hosts(prefix)?;
    finish_vxlan(prefix, a, b)
}

/// Likewise, with rules like those of a default security group, by connection tracking.
pub fn conntrack(prefix: &str) -> Result<Pair, BenchError> {
    let [a, b] = hosts(prefix)?;
    for host in [&a, &b] {
        filter(host)?;
    }
    finish_vxlan(prefix, a, b)
}

fn finish_vxlan(prefix: &str, a: Netns, b: Netns) -> Result<Pair, BenchError> {
    for (host, other) in [(&a, 2), (&b, 1)] {
        add_bridge(host, "br0")?;
        add_vxlan(host, "br0", 42, other)?;
    }
    let client = plug(prefix, "client", &CLIENT, &a, "br0")?;
    let server = plug(prefix, "server", &SERVER, &b, "br0")?;
    pair(client, server, &SERVER, vec![a, b])
}

/// Two hosts and two subnets, each on both hosts. The sender's host routes, so that each packet
/// crosses the underlay once, whatever its direction.
pub fn routed(prefix: &str) -> Result<Pair, BenchError> {
    let [a, b] = hosts(prefix)?;
    for (number, host) in [(1, &a), (2, &b)] {
        for subnet in [0_u8, 1] {
            let bridge = format!("br{subnet}");
            add_bridge(host, &bridge)?;
            add_vxlan(host, &bridge, 42 + u32::from(subnet), 3 - number)?;
            let gateway = Place {
                subnet,
                vm: 252 + number,
            };
            add_addresses(host, &bridge, &gateway)?;
        }
        host.sysctl("net/ipv4/ip_forward", "1")?;
        host.sysctl("net/ipv6/conf/all/forwarding", "1")?;
    }
    let client = plug(prefix, "client", &CLIENT, &a, "br0")?;
    let server = plug(prefix, "server", &FAR_SERVER, &b, "br1")?;
    add_default_route(&client, &Place { subnet: 0, vm: 253 })?;
    add_default_route(&server, &Place { subnet: 1, vm: 254 })?;
    pair(client, server, &FAR_SERVER, vec![a, b])
}

fn pair(
    client: Netns,
    server: Netns,
    place: &Place,
    hosts: Vec<Netns>,
) -> Result<Pair, BenchError> {
    let parse = |text: String| -> IpAddr { text.parse().expect("made from numbers") };
    let between = hosts
        .into_iter()
        .map(|h| Box::new(h) as Box<dyn Send>)
        .collect();
    Pair::new(
        client,
        server,
        parse(place.v4()),
        parse(place.v6()),
        between,
    )
}

/// Two hosts with an underlay between them.
fn hosts(prefix: &str) -> Result<[Netns; 2], BenchError> {
    let a = Netns::create(format!("{prefix}-host1"))?;
    let b = Netns::create(format!("{prefix}-host2"))?;
    a.join("under0", &b, "under0")?;
    a.ip("addr add 192.0.2.1/24 dev under0")?;
    b.ip("addr add 192.0.2.2/24 dev under0")?;
    Ok([a, b])
}

fn add_bridge(host: &Netns, name: &str) -> Result<(), BenchError> {
    host.ip_all(&format!(
        "link add {name} mtu {MTU} type bridge
         link set {name} up"
    ))
}

fn add_vxlan(host: &Netns, bridge: &str, vni: u32, other: u8) -> Result<(), BenchError> {
    host.ip_all(&format!(
        "link add vx{vni} mtu {MTU} type vxlan id {vni} dstport 4789 local 192.0.2.{own} remote 192.0.2.{other}
         link set vx{vni} master {bridge} up",
        own = 3 - other
    ))
}

/// A VM on a bridge.
fn plug(
    prefix: &str,
    name: &str,
    place: &Place,
    host: &Netns,
    bridge: &str,
) -> Result<Netns, BenchError> {
    let vm = Netns::create(format!("{prefix}-{name}"))?;
    vm.join("eth0", host, name)?;
    vm.ip(&format!("link set eth0 mtu {MTU}"))?;
    add_addresses(&vm, "eth0", place)?;
    host.ip(&format!("link set {name} mtu {MTU} master {bridge}"))?;
    Ok(vm)
}

fn add_addresses(netns: &Netns, device: &str, place: &Place) -> Result<(), BenchError> {
    netns.ip_all(&format!(
        "addr add {}/24 dev {device}
         addr add {}/64 dev {device} nodad",
        place.v4(),
        place.v6()
    ))
}

fn add_default_route(vm: &Netns, gateway: &Place) -> Result<(), BenchError> {
    vm.ip_all(&format!(
        "route add default via {}
         -6 route add default via {}",
        gateway.v4(),
        gateway.v6()
    ))
}

/// Bridged packets pass the inet forward hook: this is how it is done where the kernel has no
/// connection tracking of the bridge family, and how Neutron's iptables driver did it.
const RULES: &str = "
table inet security_group {
    chain forwarded {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        ct state invalid drop
        ip protocol icmp accept
        ip6 nexthdr icmpv6 accept
        ip saddr 10.77.0.0/24 ct state new accept
        ip6 saddr fd77::/64 ct state new accept
    }
}
";

fn filter(host: &Netns) -> Result<(), BenchError> {
    host.sysctl("net/bridge/bridge-nf-call-iptables", "1")?;
    host.sysctl("net/bridge/bridge-nf-call-ip6tables", "1")?;
    output(host.command("nft").arg(RULES)).map(drop)
}
