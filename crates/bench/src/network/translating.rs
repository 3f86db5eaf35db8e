//! The kernel's own way to the outside: a bridge and VXLAN from the VMs' host to a host that is
//! their gateway, routes there, and translates with nftables.
//!
//! ```text
//!   VMs ── bridge ── VXLAN ── bridge ── routing, nftables ── upstream ── outside
//! ```

use super::{
    kernel::{add_bridge, add_vxlan, plug_into},
    pair::{Pair, prepare, route},
};
use crate::{
    error::BenchError,
    outside::{FLOATING, FLOATING_IP, GATEWAY, PLAIN, PREFIXES, TENANT, external4},
    process::output,
};
use lab::{Host, Lab, OUTSIDE, Uplink, Upstream, Vm};

/// Number of the VXLAN between both hosts.
const VNI: u32 = 42;

/// Both hosts with what is behind them.
pub struct Translating {
    floating: Vm,
    plain: Vm,
    upstream: Upstream,
}

impl Translating {
    /// Makes all of it.
    pub fn new(lab: &mut Lab, name: &str) -> Result<Self, BenchError> {
        let mut upstream = lab.add_upstream(&format!("{name}up"), &PREFIXES)?;
        prepare(upstream.outside())?;
        let host = lab.add_host(&format!("{name}1"))?;
        let gateway = lab.add_host(&format!("{name}2"))?;
        for (one, other) in [(&host, &gateway), (&gateway, &host)] {
            add_bridge(one, "br0")?;
            add_vxlan(one, other, "br0", VNI)?;
        }
        let uplink = upstream.add_link(&gateway)?;
        make_gateway(&gateway, &uplink)?;
        let floating = plug_into(&host, &format!("{name}f"), FLOATING, "br0")?;
        let plain = plug_into(&host, &format!("{name}p"), PLAIN, "br0")?;
        route(&floating, GATEWAY)?;
        route(&plain, GATEWAY)?;
        Ok(Self {
            floating,
            plain,
            upstream,
        })
    }

    /// From outside to the VM with a floating IP.
    pub fn floating(&self) -> Result<Pair, BenchError> {
        let addresses = [FLOATING_IP.into(), FLOATING.v6().into()];
        Pair::between(self.upstream.outside(), self.floating.netns(), addresses)
    }

    /// From the VM without one to the outside.
    pub fn snat(&self) -> Result<Pair, BenchError> {
        Pair::between(self.plain.netns(), self.upstream.outside(), OUTSIDE)
    }
}

fn make_gateway(host: &Host, uplink: &Uplink) -> Result<(), BenchError> {
    let (netns, device) = (host.netns(), uplink.interface());
    netns.sysctl(&format!("ipv6/conf/{device}/disable_ipv6"), "0")?;
    netns.sysctl("ipv4/ip_forward", "1")?;
    netns.sysctl("ipv6/conf/all/forwarding", "1")?;
    let [v4, v6] = uplink.addresses();
    netns.ip(&format!("addr add {v4}/30 dev {device}"))?;
    netns.ip(&format!("addr add {v6}/64 dev {device} nodad"))?;
    netns.ip(&format!("addr add {}/24 dev br0", GATEWAY.v4()))?;
    netns.ip(&format!("addr add {}/64 dev br0 nodad", GATEWAY.v6()))?;
    for upstream in uplink.upstream_addresses() {
        netns.ip(&format!("route add default via {upstream}"))?;
    }
    output(netns.command("nft")?.arg(rules())).map(drop)
}

/// One address for one, then the gateway's address with all of its ports for the rest.
fn rules() -> String {
    let (floating, fixed, gateway) = (FLOATING_IP, FLOATING.v4(), external4(TENANT));
    format!(
        "
table ip outside {{
    chain in {{
        type nat hook prerouting priority dstnat
        ip daddr {floating} dnat to {fixed}
    }}
    chain out {{
        type nat hook postrouting priority srcnat
        ip saddr {fixed} snat to {floating}
        ip saddr 10.77.0.0/24 meta l4proto {{ tcp, udp }} snat to {gateway}:1024-65535
        ip saddr 10.77.0.0/24 snat to {gateway}
    }}
}}
"
    )
}
