//! The kill test: many TCP connections through two gateways, of which one is taken away in every
//! way it can go. No connection may be lost; what is measured is how long the longest had to wait.

use crate::{error::BenchError, outside::Outside};
use clap::Args;
use lab::{Lab, OUTSIDE, Stream, Uplink, within};
use std::{net::SocketAddr, thread, time::Duration};

/// Where the servers listen.
const PORT: u16 = 7000;
/// Pause of a connection between its exchanges.
const PAUSE: Duration = Duration::from_millis(100);
/// How long connections run on after each event.
const RUN: Duration = Duration::from_secs(5);
/// How long a connection may be silent after that before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// What any connection has to wait at most, TCP's own repetition included.
const GOAL: Duration = Duration::from_secs(1);

/// What the kill test is told.
#[derive(Debug, Args)]
#[group(id = "gateways options")]
pub struct Options {
    /// Connections: one half from outside to a floating IP, the other from a VM by SNAT
    #[arg(long, default_value_t = 1000)]
    connections: usize,
}

/// Runs it and prints a line for each event; an error if a promise is not kept.
pub fn run(options: &Options) -> Result<(), BenchError> {
    let mut lab = Lab::new()?;
    let mut world = Outside::new(&mut lab, 2)?;
    let _servers = [
        world.floating.echo_tcp(PORT)?,
        world.outside().echo_tcp(PORT)?,
    ];
    let mut trial = Trial::new(open(&world, options.connections)?);

    trial.goes_through(&world.uplinks, "nothing happens", || Ok(()))?;
    let agent = &mut world.agents[0];
    trial.goes_through(&world.uplinks, "gateway 1: agent killed", || {
        Ok(agent.kill()?)
    })?;
    trial.goes_through(&world.uplinks, "gateway 1: agent started again", || {
        Ok(agent.restart()?)
    })?;
    let link = &world.uplinks[0];
    trial.goes_through(&world.uplinks, "gateway 1: link cut", || Ok(link.cut()?))?;
    trial.goes_through(&world.uplinks, "gateway 1: link mended", || {
        link.mend()?;
        Ok(world.upstream.wait_next_hops(2)?)
    })?;
    let (gateway, link) = (&world.gateways[1], &world.uplinks[1]);
    trial.goes_through(&world.uplinks, "gateway 2: host killed", || {
        Ok(gateway.power_off(&[link])?)
    })?;
    trial.verdict()
}

/// Opens the connections, by turns from outside and from inside.
fn open(world: &Outside, count: usize) -> Result<Vec<Stream>, BenchError> {
    let inwards = SocketAddr::new(crate::outside::FLOATING_IP.into(), PORT);
    let outwards = SocketAddr::new(OUTSIDE[0], PORT);
    let one = |n: usize| match n % 2 {
        0 => world.outside().slow_stream(inwards, PAUSE),
        _ => world.plain.netns().slow_stream(outwards, PAUSE),
    };
    (0..count).map(|n| Ok(one(n)?)).collect()
}

/// The connections, and how they have come through so far.
struct Trial {
    streams: Vec<Stream>,
    broken: Vec<String>,
}

impl Trial {
    fn new(streams: Vec<Stream>) -> Self {
        println!("{} TCP connections through two gateways", streams.len());
        println!(
            "{:<32} {:>5} {:>12}  packets by uplink 1, 2",
            "event", "lost", "longest wait"
        );
        Self {
            streams,
            broken: Vec::new(),
        }
    }

    /// Lets something happen and says what it did to the connections.
    fn goes_through(
        &mut self,
        uplinks: &[Uplink],
        event: &str,
        happen: impl FnOnce() -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        self.longest_wait();
        let before = packets(uplinks)?;
        happen()?;
        thread::sleep(RUN);
        let lost = self.lost();
        let wait = self.longest_wait();
        let after = packets(uplinks)?;
        let passed: Vec<String> = before
            .iter()
            .zip(&after)
            .map(|(before, after)| (after - before).to_string())
            .collect();
        let millis = format!("{} ms", wait.as_millis());
        println!("{event:<32} {lost:>5} {millis:>12}  {}", passed.join(", "));
        if lost > 0 || wait > GOAL {
            self.broken.push(event.to_owned());
        }
        Ok(())
    }

    /// How many connections make no exchange from now on.
    fn lost(&self) -> usize {
        let goals: Vec<u64> = self.streams.iter().map(|s| s.exchanges() + 1).collect();
        let silent = || {
            let each = self.streams.iter().zip(&goals);
            each.filter(|(stream, goal)| stream.exchanges() < **goal)
                .count()
        };
        // what is still silent then is what this is about
        let _ = within("connections to go on", PATIENCE, || match silent() {
            0 => Ok(()),
            left => Err(left.to_string()),
        });
        silent()
    }

    /// The longest that a connection has waited since the last call.
    fn longest_wait(&self) -> Duration {
        let waits = self.streams.iter().map(Stream::take_longest_gap);
        waits.max().unwrap_or_default()
    }

    fn verdict(self) -> Result<(), BenchError> {
        if self.broken.is_empty() {
            return Ok(());
        }
        Err(BenchError::Promise {
            what: format!("no connection lost, none waits longer than {GOAL:?}"),
            broken: self.broken.join(", "),
        })
    }
}

/// Packets that have passed each link so far, both ways.
fn packets(uplinks: &[Uplink]) -> Result<Vec<u64>, BenchError> {
    uplinks.iter().map(|u| Ok(u.packets()?)).collect()
}
