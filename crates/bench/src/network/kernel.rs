//! The kernel's own paths: what a network looks like that is made of bridges, VXLAN devices,
//! routes and nftables. Hosts, VMs and underlay are those of the lab, the same as ours.

use super::pair::{CLIENT, FAR_SERVER, MTU, Pair, Place, SERVER, plug, route};
use crate::{error::BenchError, process::output};
use lab::{Host, Lab, Vm};
use uuid::Uuid;

/// Port and device of the kernel's VXLAN.
const VXLAN_PORT: u16 = 4789;

/// One host, one bridge.
pub fn bridge(lab: &mut Lab, name: &str) -> Result<Pair, BenchError> {
    let host = lab.add_host(&format!("{name}h"))?;
    add_bridge(&host, "br0")?;
    let client = plug_into(&host, &format!("{name}c"), CLIENT, "br0")?;
    let server = plug_into(&host, &format!("{name}s"), SERVER, "br0")?;
    Pair::new(&client, &server, SERVER)
}

/// Two hosts, a bridge on each, VXLAN between.
pub fn vxlan(lab: &mut Lab, name: &str) -> Result<Pair, BenchError> {
    let hosts = add_hosts(lab, name)?;
    join_bridges(&hosts, name)
}

/// Likewise, with rules like those of a default security group, by connection tracking.
pub fn conntrack(lab: &mut Lab, name: &str) -> Result<Pair, BenchError> {
    let hosts = add_hosts(lab, name)?;
    hosts.iter().try_for_each(filter)?;
    join_bridges(&hosts, name)
}

fn join_bridges(hosts: &[Host; 2], name: &str) -> Result<Pair, BenchError> {
    for (host, other) in [(&hosts[0], &hosts[1]), (&hosts[1], &hosts[0])] {
        add_bridge(host, "br0")?;
        add_vxlan(host, other, "br0", 42)?;
    }
    let client = plug_into(&hosts[0], &format!("{name}c"), CLIENT, "br0")?;
    let server = plug_into(&hosts[1], &format!("{name}s"), SERVER, "br0")?;
    Pair::new(&client, &server, SERVER)
}

/// Two hosts and two subnets, each on both hosts. The sender's host routes, so that each packet
/// crosses the underlay once, whatever its direction.
pub fn routed(lab: &mut Lab, name: &str) -> Result<Pair, BenchError> {
    let hosts = add_hosts(lab, name)?;
    for (own, other) in [(0, 1), (1, 0)] {
        let host = &hosts[own];
        for subnet in [0, 1] {
            let bridge = format!("br{subnet}");
            add_bridge(host, &bridge)?;
            add_vxlan(host, &hosts[other], &bridge, 42 + u32::from(subnet))?;
            let gateway = Place {
                subnet,
                number: 1 + own as u8,
            };
            let (v4, v6) = (gateway.v4(), gateway.v6());
            host.netns().ip(&format!("addr add {v4}/24 dev {bridge}"))?;
            host.netns()
                .ip(&format!("addr add {v6}/64 dev {bridge} nodad"))?;
        }
        host.netns().sysctl("ipv4/ip_forward", "1")?;
        host.netns().sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    let client = plug_into(&hosts[0], &format!("{name}c"), CLIENT, "br0")?;
    let server = plug_into(&hosts[1], &format!("{name}s"), FAR_SERVER, "br1")?;
    route(
        &client,
        Place {
            subnet: CLIENT.subnet,
            number: 1,
        },
    )?;
    route(
        &server,
        Place {
            subnet: FAR_SERVER.subnet,
            number: 2,
        },
    )?;
    Pair::new(&client, &server, FAR_SERVER)
}

fn add_hosts(lab: &mut Lab, name: &str) -> Result<[Host; 2], BenchError> {
    Ok([
        lab.add_host(&format!("{name}1"))?,
        lab.add_host(&format!("{name}2"))?,
    ])
}

pub(super) fn add_bridge(host: &Host, name: &str) -> Result<(), BenchError> {
    host.netns()
        .ip(&format!("link add {name} mtu {MTU} type bridge"))?;
    host.netns().ip(&format!("link set {name} up"))?;
    Ok(())
}

pub(super) fn add_vxlan(
    host: &Host,
    other: &Host,
    bridge: &str,
    vni: u32,
) -> Result<(), BenchError> {
    let (local, remote) = (host.address(), other.address());
    host.netns().ip(&format!(
        "link add vx{vni} mtu {MTU} type vxlan id {vni} dstport {VXLAN_PORT} \
         local {local} remote {remote}"
    ))?;
    host.netns()
        .ip(&format!("link set vx{vni} master {bridge} up"))?;
    Ok(())
}

pub(super) fn plug_into(
    host: &Host,
    name: &str,
    place: Place,
    bridge: &str,
) -> Result<Vm, BenchError> {
    let vm = plug(host, name, Uuid::new_v4(), place)?;
    host.netns()
        .ip(&format!("link set {} mtu {MTU} master {bridge}", vm.tap()))?;
    Ok(vm)
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

fn filter(host: &Host) -> Result<(), BenchError> {
    host.netns().sysctl("bridge/bridge-nf-call-iptables", "1")?;
    host.netns()
        .sysctl("bridge/bridge-nf-call-ip6tables", "1")?;
    output(host.netns().command("nft")?.arg(RULES)).map(drop)
}
