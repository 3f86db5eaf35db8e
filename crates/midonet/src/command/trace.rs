//! `midonet trace`: where would a packet go, and what decides it?

use super::Output;
use crate::error::CliError;
use api::{
    Cause, PacketFields, TraceRequest, TraceResponse, TraceState, TraceVerdict, neutron::Protocol,
};
use clap::Args;
use client::Cluster;
use std::{fmt::Write, net::IpAddr};
use uuid::Uuid;
use wire::Mac;

/// The packet.
#[derive(Debug, Args)]
pub struct Options {
    /// Port it comes from
    #[arg(long)]
    port: Uuid,
    /// IP destination
    #[arg(long)]
    dst: IpAddr,
    /// IP source; the port's own if absent
    #[arg(long)]
    src: Option<IpAddr>,
    /// A name that Neutron knows, or a number; an ICMP echo request if absent
    #[arg(long)]
    proto: Option<Protocol>,
    /// Destination port
    #[arg(long)]
    dport: Option<u16>,
    /// Source port
    #[arg(long)]
    sport: Option<u16>,
    /// ICMP type
    #[arg(long)]
    icmp_type: Option<u8>,
    /// ICMP code
    #[arg(long, requires = "icmp_type")]
    icmp_code: Option<u8>,
    /// Ethernet source; the port's own if absent
    #[arg(long)]
    smac: Option<Mac>,
    /// Ethernet destination; what the VM would resolve if absent
    #[arg(long)]
    dmac: Option<Mac>,
    /// The packet answers a connection that was let through from the other side
    #[arg(long)]
    reply: bool,
}

impl Options {
    fn request(&self) -> TraceRequest {
        let packet = PacketFields {
            src: self.src,
            dst: self.dst,
            proto: self.proto.clone(),
            sport: self.sport,
            dport: self.dport,
            icmp_type: self.icmp_type,
            icmp_code: self.icmp_code,
            smac: self.smac,
            dmac: self.dmac,
        };
        let state = if self.reply {
            TraceState::Reply
        } else {
            TraceState::Forward
        };
        TraceRequest {
            port: self.port,
            state,
            packet: Some(packet),
            frame: None,
        }
    }
}

/// Has the cluster follow the packet and shows its way.
pub fn run(options: &Options, cluster: &Cluster, out: &mut Output<'_>) -> Result<(), CliError> {
    let trace: TraceResponse = cluster.submit("traces/run", &options.request())?;
    out.show(&trace, render)
}

fn render(trace: &TraceResponse) -> String {
    let mut text = String::new();
    for (number, step) in trace.steps.iter().enumerate() {
        let device = &step.device;
        let name = parenthesised(&device.name);
        writeln!(
            text,
            "{:>2}. {} {}{name}: {}",
            number + 1,
            device.kind,
            device.id,
            step.what
        )
        .expect("writing to a string succeeds");
        if let Some(said) = step.cause.as_ref().and_then(|c| more(c, &step.what)) {
            writeln!(text, "    {said}").expect("writing to a string succeeds");
        }
    }
    text + "=> " + &verdict(&trace.verdict) + "\n"
}

fn verdict(verdict: &TraceVerdict) -> String {
    match verdict {
        TraceVerdict::Forward {
            port,
            host,
            reply,
            hops,
        } => {
            let at = host
                .as_ref()
                .map_or(", which is unbound".to_owned(), |h| format!(" on {h}"));
            let how = if *reply { " as a reply" } else { "" };
            let via = match hops {
                0 => String::new(),
                1 => ", through 1 router".to_owned(),
                n => format!(", through {n} routers"),
            };
            format!("delivered{how} at port {port}{at}{via}")
        }
        TraceVerdict::HandOver { router, host, .. } => {
            format!("handed over at router {router} to {host}")
        }
        TraceVerdict::Metadata => "answered by the metadata service of its host".to_owned(),
        TraceVerdict::Flood { ports } => format!("a copy to each of {} ports", ports.len()),
        TraceVerdict::Answer { frames } if frames.is_empty() => "consumed in silence".to_owned(),
        TraceVerdict::Answer { frames } => {
            format!(
                "answered by the network itself with {} frames",
                frames.len()
            )
        }
        TraceVerdict::Drop {
            reason,
            cause: None,
        } => format!("dropped: {reason}"),
        TraceVerdict::Drop {
            reason,
            cause: Some(cause),
        } => {
            format!("dropped: {reason}, because of {}", named(cause))
        }
    }
}

/// What the cause of a step tells beyond what the step says.
fn more(cause: &Cause, what: &str) -> Option<String> {
    let known = what.contains(&cause.id.to_string());
    let said = if known {
        cause.detail.clone()
    } else {
        named(cause)
    };
    (!said.is_empty()).then_some(said)
}

/// A Neutron resource as an operator looks it up.
fn named(cause: &Cause) -> String {
    let kind = cause.kind.replace('_', " ");
    let detail = if cause.detail.is_empty() { "" } else { ": " };
    format!(
        "{kind} {}{}{detail}{}",
        cause.id,
        parenthesised(&cause.name),
        cause.detail
    )
}

fn parenthesised(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!(" ({name})")
    }
}
