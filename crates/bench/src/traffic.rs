//! The traffic generator: one server and a client per kind of traffic.
//!
//! A server listens on three ports, from `port` on: TCP transactions, a UDP sink that counts, and
//! TCP again to ask how much the sink has counted. Clients print one line of JSON, an [`Outcome`].
//! For limits there is a flood without an end, and a meter that is started where it arrives.

mod batch;
mod connections;
mod flood;
mod requests;
mod server;
mod small_packets;

pub use flood::{Metered, Protocol};

use crate::error::{BenchError, Context};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// First of the three ports a server uses.
pub const PORT: u16 = 7000;
/// First byte of a TCP transaction: more will follow on this connection.
const AGAIN: u8 = b'r';
/// First byte of a TCP transaction: the server closes after its answer.
const LAST: u8 = b'c';
/// Longest wait for an answer before it counts as an error.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What kind of traffic to make.
#[derive(Debug, Subcommand)]
pub enum Traffic {
    /// Answer the clients below until killed.
    Server {
        /// First of three ports.
        #[arg(long, default_value_t = PORT)]
        port: u16,
        /// Processor to stay on.
        #[arg(long)]
        cpu: Option<usize>,
    },
    /// One byte there and back, over and over, on one connection.
    TcpRr(Client),
    /// Connect, one byte there and back, closed by the server, over and over.
    Crr {
        #[command(flatten)]
        client: Client,
        /// Connections in the making at a time.
        #[arg(long, default_value_t = 1)]
        clients: usize,
    },
    /// Small UDP packets as fast as possible; counts those that arrive.
    UdpPps {
        #[command(flatten)]
        client: Client,
        /// Payload of a packet, bytes.
        #[arg(long, default_value_t = 18)]
        size: usize,
    },
    /// Send to a meter without an end.
    Flood {
        /// What.
        protocol: Protocol,
        /// Address and port of the meter.
        to: SocketAddr,
        /// Payload of a datagram, bytes.
        #[arg(long, default_value_t = 1400)]
        size: usize,
        /// Payload of datagrams a second, Mbit.
        #[arg(long, default_value_t = 1000.0)]
        mbps: f64,
        /// Processor to stay on.
        #[arg(long)]
        cpu: Option<usize>,
    },
    /// Count what arrives of a flood; prints it as JSON.
    Meter {
        /// What.
        protocol: Protocol,
        /// Port to listen on.
        port: u16,
        /// Seconds from the first byte on that are not counted.
        #[arg(long)]
        skip: f64,
        /// Seconds that are.
        #[arg(long)]
        seconds: f64,
        /// Processor to stay on.
        #[arg(long)]
        cpu: Option<usize>,
    },
}

/// What every client is told.
#[derive(Clone, Copy, Debug, Args)]
pub struct Client {
    /// Address of the server.
    server: IpAddr,
    /// First of its three ports.
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// How long.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Processor to stay on.
    #[arg(long)]
    cpu: Option<usize>,
}

impl Client {
    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn transactions(&self) -> SocketAddr {
        (self.server, self.port).into()
    }

    fn sink(&self) -> SocketAddr {
        (self.server, self.port + 1).into()
    }

    fn counter(&self) -> SocketAddr {
        (self.server, self.port + 2).into()
    }
}

/// What a client measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Transactions, connections or arrived packets per second.
    pub rate: f64,
    /// Median duration of one, microseconds; 0 for one-way traffic.
    pub p50_us: f64,
    /// 99th percentile likewise.
    pub p99_us: f64,
    /// How many succeeded.
    pub count: u64,
    /// How many failed or were lost.
    pub errors: u64,
}

impl Outcome {
    /// Of transactions that took these many nanoseconds each, within `elapsed`.
    fn of_durations(nanos: &mut [u64], errors: u64, elapsed: Duration) -> Self {
        nanos.sort_unstable();
        let part = |p: f64| {
            let last = nanos.len().saturating_sub(1) as f64;
            nanos
                .get((last * p) as usize)
                .map_or(0.0, |n| *n as f64 / 1000.0)
        };
        Self {
            rate: nanos.len() as f64 / elapsed.as_secs_f64(),
            p50_us: part(0.5),
            p99_us: part(0.99),
            count: nanos.len() as u64,
            errors,
        }
    }
}

/// Makes the traffic; clients print what they measured.
pub fn run(traffic: Traffic) -> Result<(), BenchError> {
    let outcome = match traffic {
        Traffic::Server { port, cpu } => {
            stay_on(cpu)?;
            return server::run(port);
        }
        Traffic::TcpRr(client) => {
            stay_on(client.cpu)?;
            requests::run(&client)?
        }
        Traffic::Crr { client, clients } => {
            stay_on(client.cpu)?;
            connections::run(&client, clients)?
        }
        Traffic::UdpPps { client, size } => {
            stay_on(client.cpu)?;
            small_packets::run(&client, size)?
        }
        Traffic::Flood {
            protocol,
            to,
            size,
            mbps,
            cpu,
        } => {
            stay_on(cpu)?;
            return match protocol {
                Protocol::Tcp => flood::tcp(to),
                Protocol::Udp => flood::udp(to, size, mbps * 1e6),
            };
        }
        Traffic::Meter {
            protocol,
            port,
            skip,
            seconds,
            cpu,
        } => {
            stay_on(cpu)?;
            let [skip, during] = [skip, seconds].map(Duration::from_secs_f64);
            print(&flood::meter(protocol, port, skip, during)?);
            return Ok(());
        }
    };
    print(&outcome);
    Ok(())
}

fn print(outcome: &impl Serialize) {
    let line = serde_json::to_string(outcome).expect("numbers always serialise");
    println!("{line}");
}

/// Pins this thread, and those it makes later, to a processor.
fn stay_on(cpu: Option<usize>) -> Result<(), BenchError> {
    let Some(cpu) = cpu else { return Ok(()) };
    // SAFETY: a cpu_set_t is plain bits, all zero is the empty set; CPU_SET checks its bound.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    if failed == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error()).context(format!("stay on processor {cpu}"))
}

#[cfg(test)]
mod tests;
