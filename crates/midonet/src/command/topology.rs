//! `midonet topology show`: the virtual topology as the cluster has it.

use super::Output;
use crate::{error::CliError, table::Table};
use api::TopologyListing;
use clap::{Args, ValueEnum};
use client::Cluster;
use topology::{FloatingIp, Limits, Link, Object, Policy, Port, PortRange, Rate, Router};

/// IP protocol number of TCP.
const TCP: u8 = 6;

/// What to show.
#[derive(Debug, Args)]
pub struct Options {
    /// Only objects of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Only what this host is sent
    #[arg(long)]
    host: Option<String>,
}

/// Kinds of objects.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Bridge,
    Subnet,
    Router,
    AddressGroup,
    Group,
    Policy,
    Host,
    Port,
    FloatingIp,
    Lease,
}

/// Reads and shows it.
pub fn run(options: &Options, cluster: &Cluster, out: &mut Output<'_>) -> Result<(), CliError> {
    let listing: TopologyListing = cluster.read(&options.path())?;
    out.show(&listing, render)
}

impl Options {
    fn path(&self) -> String {
        let kind = self.kind.and_then(|k| k.to_possible_value());
        let kind = kind.map(|k| format!("kind={}", k.get_name().replace('-', "_")));
        let host = self.host.as_ref().map(|h| format!("host={h}"));
        let query: Vec<String> = kind.into_iter().chain(host).collect();
        match query.as_slice() {
            [] => "topology".to_owned(),
            some => format!("topology?{}", some.join("&")),
        }
    }
}

fn render(listing: &TopologyListing) -> String {
    let mut table = Table::new(&["KIND", "ID", "NAME", "REVISION", "WHAT"]);
    for versioned in &listing.objects {
        let id = versioned.object.id().to_string();
        let (kind, id) = id.split_once('/').unwrap_or(("", &id));
        let (name, what) = describe(&versioned.object);
        let revision = versioned.revision.to_string();
        table.row([kind.to_owned(), id.to_owned(), name, revision, what]);
    }
    table.to_string()
}

/// Name of an object, and what matters most about it in a few words.
fn describe(object: &Object) -> (String, String) {
    let down = |up: bool| if up { "" } else { ", down" };
    match object {
        Object::Bridge(o) => (o.name.clone(), format!("mtu {}{}", o.mtu, down(o.admin_up))),
        Object::Subnet(o) => (String::new(), format!("{} of bridge {}", o.cidr, o.bridge)),
        Object::Router(o) => (o.name.clone(), describe_router(o) + down(o.admin_up)),
        Object::AddressGroup(o) => (o.name.clone(), format!("{} prefixes", o.nets.len())),
        Object::Group(o) => (o.name.clone(), format!("{} rules", o.rules.len())),
        Object::Policy(o) => (o.name.clone(), describe_policy(o)),
        Object::Host(o) => (o.name.clone(), format!("tunnel {}", o.tunnel)),
        Object::Port(o) => (o.name.clone(), describe_port(o) + down(o.admin_up)),
        Object::FloatingIp(o) => (o.address.to_string(), describe_floating_ip(o)),
        Object::Lease(o) => (
            o.host.clone(),
            format!("{} blocks of router {}", o.blocks.len(), o.router),
        ),
    }
}

fn describe_router(router: &Router) -> String {
    let mut words = vec![format!("{} routes", router.routes.len())];
    words.extend(router.gateway.map(|gateway| {
        let snat = if gateway.snat { ", SNAT" } else { "" };
        format!("gateway port {}{snat}", gateway.port)
    }));
    words.join(", ")
}

fn describe_floating_ip(fip: &FloatingIp) -> String {
    let ports = |range: PortRange| match range {
        PortRange { first, last } if first == last => format!(" {first}"),
        PortRange { first, last } => format!(" {first}-{last}"),
    };
    let forwarded = fip.forwarded.as_ref();
    let (protocol, external, internal) = forwarded.map_or_else(Default::default, |f| {
        let protocol = if f.protocol == TCP { "tcp" } else { "udp" };
        (protocol, ports(f.external) + " to ", ports(f.internal))
    });
    format!(
        "{protocol}{external}{}{internal} of port {} by router {}",
        fip.fixed, fip.port, fip.router
    )
}

fn describe_port(port: &Port) -> String {
    let mut words = vec![port.mac.to_string()];
    words.extend(port.addresses.iter().map(|a| a.ip.to_string()));
    words.push(match &port.link {
        Link::None => "unbound".to_owned(),
        Link::Host {
            host,
            trunk: Some(trunk),
            ..
        } => format!(
            "VLAN {} of port {} on host {host}",
            trunk.vlan, trunk.parent
        ),
        Link::Host {
            host,
            interface: Some(interface),
            vlan,
            ..
        } => {
            let vlan = vlan.map(|vlan| format!("VLAN {vlan} of "));
            format!("{}{interface} on host {host}", vlan.unwrap_or_default())
        }
        Link::Host { host, .. } => format!("on host {host}"),
        Link::Router(router) => format!("of router {router}"),
    });
    if port.outside {
        words.push("outside".to_owned());
    }
    if port.security.is_none() {
        words.push("trusted".to_owned());
    }
    words.extend(port.policy.map(|policy| format!("policy {policy}")));
    words.join(" ")
}

fn describe_policy(policy: &Policy) -> String {
    let mut words = limits("to the VM", &policy.ingress);
    words.extend(limits("from the VM", &policy.egress));
    words.extend(policy.dscp.map(|dscp| format!("DSCP {dscp}")));
    if words.is_empty() {
        return "no rules".to_owned();
    }
    words.join(", ")
}

fn limits(direction: &str, limits: &Limits) -> Vec<String> {
    let say = |rate: Rate, unit: &str| format!("{} {unit} {direction}", rate.rate / 1000);
    let bandwidth = limits.bandwidth.map(|rate| say(rate, "kbit/s"));
    let packets = limits.packets.map(|rate| say(rate, "kpacket/s"));
    bandwidth.into_iter().chain(packets).collect()
}
