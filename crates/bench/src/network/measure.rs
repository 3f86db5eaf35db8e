//! One measurement between the VMs of a pair.

use super::pair::{CLIENT_CPU, Pair, this_program};
use crate::{error::BenchError, traffic::Outcome};
use std::{net::IpAddr, time::Duration};

/// What a measurement may take beyond its length.
const GRACE: Duration = Duration::from_secs(10);

/// How long a measurement is.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Seconds.
    pub seconds: u64,
}

/// IP version of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

/// What is measured; more is better everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Bits per second of one TCP connection.
    Throughput(Family),
    /// One-byte requests per second on one TCP connection.
    Requests(Family),
    /// TCP connections per second.
    Connections {
        /// In the making at a time.
        clients: usize,
    },
    /// Small UDP packets that arrive per second.
    SmallPackets,
}

impl Measure {
    /// The name in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Throughput(Family::V4) => "tcp_throughput",
            Measure::Throughput(Family::V6) => "tcp_throughput_ipv6",
            Measure::Requests(Family::V4) => "tcp_rr",
            Measure::Requests(Family::V6) => "tcp_rr_ipv6",
            Measure::Connections { clients: 1 } => "tcp_crr_1",
            Measure::Connections { .. } => "tcp_crr_8",
            Measure::SmallPackets => "udp_small",
        }
    }

    /// What one unit is.
    pub fn unit(self) -> &'static str {
        match self {
            Measure::Throughput(_) => "Mbit/s",
            Measure::Requests(_) | Measure::Connections { .. } => "1/s",
            Measure::SmallPackets => "packets/s",
        }
    }

    /// Measures once.
    pub fn take(self, pair: &Pair, effort: Effort) -> Result<f64, BenchError> {
        match self {
            Measure::Throughput(family) => throughput(pair, address(pair, family), effort),
            Measure::Requests(family) => traffic(
                pair,
                &["tcp-rr", &address(pair, family).to_string()],
                effort,
            ),
            Measure::Connections { clients } => {
                let (clients, server) = (clients.to_string(), pair.v4.to_string());
                traffic(pair, &["crr", &server, "--clients", &clients], effort)
            }
            Measure::SmallPackets => traffic(pair, &["udp-pps", &pair.v4.to_string()], effort),
        }
    }
}

fn address(pair: &Pair, family: Family) -> IpAddr {
    match family {
        Family::V4 => pair.v4,
        Family::V6 => pair.v6,
    }
}

fn traffic(pair: &Pair, words: &[&str], effort: Effort) -> Result<f64, BenchError> {
    let (cpu, seconds) = (CLIENT_CPU.to_string(), effort.seconds.to_string());
    let mut all = vec!["traffic"];
    all.extend(words);
    all.extend(["--cpu", &cpu, "--seconds", &seconds]);
    let printed = pair.client(effort.limit(), &this_program()?, &all)?;
    let outcome: Outcome = serde_json::from_str(&printed)
        .map_err(|e| unexpected(&all.join(" "), format!("{e} in {printed:?}")))?;
    Ok(outcome.rate)
}

fn throughput(pair: &Pair, server: IpAddr, effort: Effort) -> Result<f64, BenchError> {
    let (cpu, seconds) = (CLIENT_CPU.to_string(), effort.seconds.to_string());
    let server = server.to_string();
    let words = [
        "--json",
        "--client",
        &server,
        "--time",
        &seconds,
        "--affinity",
        &cpu,
    ];
    let printed = pair.client(effort.limit(), "iperf3", &words)?;
    let result: serde_json::Value =
        serde_json::from_str(&printed).map_err(|e| unexpected("iperf3", e.to_string()))?;
    let bits = result["end"]["sum_received"]["bits_per_second"].as_f64();
    bits.map(|b| b / 1e6)
        .ok_or_else(|| unexpected("iperf3", "no sum_received".to_owned()))
}

fn unexpected(command: &str, detail: String) -> BenchError {
    BenchError::Output {
        command: command.to_owned(),
        detail,
    }
}

impl Effort {
    fn limit(self) -> Duration {
        Duration::from_secs(self.seconds) + GRACE
    }
}
