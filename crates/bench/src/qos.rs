//! The QoS bench: how exactly bandwidth limits are kept, by TCP and UDP, of what a VM sends and of
//! what it gets.
//!
//! Two VMs on two hosts. The policy of the sender's port limits what it sends, or that of the
//! receiver's what it gets, and changes from one rate to the next. What arrives is counted twice: as
//! payload, which for TCP is what is in order, and as full packets, which are told as Ethernet frames:
//! that is what a limit counts.

use crate::{
    error::BenchError,
    network::{CLIENT_CPU, MTU, Ours, SERVER, SERVER_CPU, this_program},
    process::{Running, output_within},
    report::rounded,
    traffic::{Metered, Protocol},
};
use clap::Args;
use lab::{Http, Lab, Vm, within};
use serde::Serialize;
use serde_json::{Value, json};
use std::{fmt::Write as _, net::IpAddr, process::Stdio, time::Duration};
use uuid::Uuid;

/// Port of the first meter; each has another, so that nothing of a former flood reaches it.
const PORT: u16 = 7100;
/// How much more than the limit UDP sends.
const TOO_MUCH: f64 = 1.5;
/// Tenths of a second's worth that may pass at once: used up long before counting begins.
const BURST_TENTHS: u64 = 1;
/// Bytes before an IP packet in an Ethernet frame, as Linux counts them.
const ETHERNET: usize = 14;
/// Bytes of a TCP header with timestamps.
const TCP: usize = 32;
/// Bytes of a UDP header.
const UDP: usize = 8;
/// What is promised.
const WITHIN: f64 = 0.05;
/// How long agents get to follow, and a measurement to end beyond its time.
const GRACE: Duration = Duration::from_secs(30);
const PROJECT: &str = "bench";

/// What the QoS bench is told.
#[derive(Debug, Args)]
#[group(id = "qos options")]
pub struct Options {
    /// Limits, Mbit/s
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1000])]
    rates: Vec<u64>,
    /// Length of one measurement, seconds
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Time from the first byte on that is not measured: the burst, and the start of TCP
    #[arg(long, default_value_t = 2.0)]
    skip: f64,
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// As Neutron calls it: `egress` is what the VM sends.
    direction: &'static str,
    /// `tcp` or `udp`.
    protocol: &'static str,
    /// 4 or 6.
    ip: u8,
    /// The limit, Mbit/s.
    limit: u64,
    /// Payload that arrived, Mbit/s.
    payload: f64,
    /// Full Ethernet frames that arrived, Mbit/s.
    frames: f64,
    /// Those to the limit.
    share: f64,
}

/// Starts a cluster and two agents, sets limits, measures.
pub fn run(options: &Options) -> Result<Vec<Row>, BenchError> {
    let mut lab = Lab::new()?;
    let ours = Ours::new(&mut lab)?;
    ours.across()?; // both reach each other, and the servers of other benches end here
    let site = Site::new(&ours)?;
    let (mut rows, mut port) = (Vec::new(), PORT);
    for direction in ["egress", "ingress"] {
        for &limit in &options.rates {
            site.limit(direction, limit)?;
            for (name, protocol) in [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)] {
                for to in [IpAddr::from(SERVER.v4()), IpAddr::from(SERVER.v6())] {
                    eprintln!("{direction} {limit} Mbit/s, {name} to {to}");
                    port += 1;
                    let sizes = Sizes::of(protocol, to);
                    let flood = (protocol, to, port);
                    let [payload, frames] = site.measure(flood, sizes, limit, options)?;
                    rows.push(Row {
                        direction,
                        protocol: name,
                        ip: if to.is_ipv4() { 4 } else { 6 },
                        limit,
                        payload: rounded(payload, 1e3),
                        frames: rounded(frames, 1e3),
                        share: rounded(frames / limit as f64, 1e4),
                    });
                }
            }
        }
    }
    Ok(rows)
}

/// The rows for people.
pub fn table(rows: &[Row]) -> String {
    let mut out = format!(
        "{:<9} {:<4} {:<4} {:>12} {:>15} {:>14} {:>7}\n",
        "direction", "", "", "limit Mbit/s", "payload Mbit/s", "frames Mbit/s", "share"
    );
    for row in rows {
        writeln!(
            out,
            "{:<9} {:<4} IPv{} {:>12} {:>15.3} {:>14.3} {:>7.4}",
            row.direction, row.protocol, row.ip, row.limit, row.payload, row.frames, row.share
        )
        .expect("writing to a string succeeds");
    }
    let good = rows.iter().filter(|row| (row.share - 1.0).abs() <= WITHIN);
    let (good, all) = (good.count(), rows.len());
    writeln!(out, "{good} of {all} within {} %", WITHIN * 100.0).expect("as above");
    out
}

/// Bytes of payload of a full packet, and of its frame.
#[derive(Clone, Copy)]
struct Sizes {
    payload: f64,
    frame: f64,
}

impl Sizes {
    fn of(protocol: Protocol, to: IpAddr) -> Self {
        let ip = if to.is_ipv4() { 20 } else { 40 };
        let transport = match protocol {
            Protocol::Tcp => TCP,
            Protocol::Udp => UDP,
        };
        Self {
            payload: (usize::from(MTU) - ip - transport) as f64,
            frame: (usize::from(MTU) + ETHERNET) as f64,
        }
    }
}

/// The VMs, and a policy for each direction.
struct Site<'a> {
    http: Http,
    sender: &'a Vm,
    receiver: &'a Vm,
    policies: [(&'static str, Uuid); 2],
}

impl<'a> Site<'a> {
    fn new(ours: &'a Ours) -> Result<Self, BenchError> {
        let site = Self {
            http: ours.http(),
            sender: ours.client(),
            receiver: ours.server(),
            policies: ["egress", "ingress"].map(|direction| (direction, Uuid::new_v4())),
        };
        let ports = [site.sender.port(), site.receiver.port()];
        for ((_, policy), port) in site.policies.iter().zip(ports) {
            let body = policy_body(*policy, 1, json!([]));
            site.http.post("/neutron/qos_policies", &body)?;
            let path = format!("/neutron/ports/{port}");
            let mut body = site.http.get(&path)?;
            body["qos_policy_id"] = json!(policy);
            body["revision_number"] = json!(revision(&body) + 1);
            site.http.put(&path, &body)?;
        }
        Ok(site)
    }

    /// Limits one direction and lets the other go.
    fn limit(&self, direction: &str, mbps: u64) -> Result<(), BenchError> {
        let kbps = mbps * 1000;
        for (this, policy) in self.policies {
            let limit = json!({
                "id": Uuid::new_v4(), "type": "bandwidth_limit", "direction": direction,
                "max_kbps": kbps, "max_burst_kbps": kbps * BURST_TENTHS / 10,
            });
            let rules: Vec<Value> = (this == direction).then_some(limit).into_iter().collect();
            let path = format!("/neutron/qos_policies/{policy}");
            let next = revision(&self.http.get(&path)?) + 1;
            let body = policy_body(policy, next, json!(rules));
            self.http.put(&path, &body)?;
        }
        self.follow()
    }

    /// Waits until every agent has what the cluster has.
    fn follow(&self) -> Result<(), BenchError> {
        within("agents to follow", GRACE, || {
            let status = self.http.get("/status").map_err(|e| e.to_string())?;
            let hosts = status["hosts"].as_array().cloned().unwrap_or_default();
            let late = |h: &&Value| h["revision"].as_u64() < h["revision_wanted"].as_u64();
            match hosts.iter().find(late) {
                None => Ok(()),
                Some(host) => Err(host.to_string()),
            }
        })?;
        Ok(())
    }

    /// What arrives as payload and as frames, Mbit/s.
    fn measure(
        &self,
        (protocol, to, port): (Protocol, IpAddr, u16),
        sizes: Sizes,
        limit: u64,
        options: &Options,
    ) -> Result<[f64; 2], BenchError> {
        let (this, name) = (this_program()?, name(protocol));
        let mut flood = self.sender.netns().command(&this)?;
        flood
            .args(["traffic", "flood", name])
            .arg(std::net::SocketAddr::from((to, port)).to_string())
            .args(["--size", &sizes.payload.to_string()])
            .args(["--mbps", &(limit as f64 * TOO_MUCH).to_string()])
            .args(["--cpu", &CLIENT_CPU.to_string()])
            .stdout(Stdio::null());
        let _flood = Running::start(&mut flood)?;
        let (port, cpu) = (port.to_string(), SERVER_CPU.to_string());
        let (skip, seconds) = (options.skip.to_string(), options.seconds.to_string());
        let words = [
            "traffic",
            "meter",
            name,
            &port,
            "--skip",
            &skip,
            "--seconds",
            &seconds,
            "--cpu",
            &cpu,
        ];
        let longest = GRACE + Duration::from_secs_f64(options.skip + options.seconds);
        let printed = output_within(self.receiver.netns(), longest, &this, &words)?;
        let metered: Metered =
            serde_json::from_str(&printed).map_err(|error| BenchError::Output {
                command: words.join(" "),
                detail: format!("{error} in {printed:?}"),
            })?;
        let payload = match protocol {
            Protocol::Tcp => metered.count as f64,
            Protocol::Udp => metered.count as f64 * sizes.payload,
        };
        let frames = metered.packets as f64 * sizes.frame;
        Ok([payload, frames].map(|bytes| bytes * 8.0 / metered.seconds / 1e6))
    }
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn revision(resource: &Value) -> u64 {
    resource["revision_number"].as_u64().unwrap_or_default()
}

fn policy_body(id: Uuid, revision: u64, rules: Value) -> Value {
    json!({
        "id": id, "name": "bench", "tenant_id": PROJECT, "shared": false,
        "revision_number": revision, "rules": rules,
    })
}
