//! A VM that floods, and what a neighbour of another tenant on its host notices.

use crate::{Guest, Network, PortOptions, Rule, World};
use lab::{Aim, Beats, Echo, Flood};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

/// Ports of the neighbour's server.
const ECHO: u16 = 7000;
/// Pause between two questions of a steady connection.
const PACE: Duration = Duration::from_millis(2);
/// More than any table has.
const ALL: &str = "/connections?limit=10000000";

/// Two tenants. One has a hostile VM on the first host, with everything allowed, and one there
/// without port security; the other a VM beside them and a server on the second host.
#[derive(Debug)]
pub struct Siege {
    _echoes: [Echo; 2],
    hostile: Guest,
    trusted: Guest,
    target: Guest,
    neighbour: Guest,
    server: Guest,
    gateway: wire::Mac,
    /// Programs and hosts.
    pub world: World,
}

/// What a neighbour noticed of a flood.
#[derive(Clone, Debug, Default)]
pub struct Notice {
    /// Questions at a steady pace on one connection.
    pub steady: Beats,
    /// Questions on a new connection each, one after the other: how many there are is the speed.
    pub openings: Beats,
    /// How long that was.
    pub time: Duration,
    /// Frames that the flood's host dropped meanwhile, by reason.
    pub drops: BTreeMap<String, u64>,
    /// Entries of that host's tables afterwards: connections, decisions, stations.
    pub tables: [usize; 3],
}

impl Notice {
    /// Openings a second.
    pub fn speed(&self) -> f64 {
        f64::from(self.openings.answered) / self.time.as_secs_f64()
    }
}

impl Siege {
    /// Starts everything.
    pub fn new() -> Self {
        let world = World::new(2);
        let (net, other) = (world.network(1), world.network(2));
        world.router(&[&net]);
        world.router(&[&other]);
        let everything: Vec<Rule> = ["ingress", "egress"]
            .into_iter()
            .flat_map(|way| ["IPv4", "IPv6"].map(|family| Rule::any(way, family)))
            .collect();
        let open = world.group(&everything);
        let plug = |name: &str, host, network: &Network, number| {
            world.guest(name, host, network, PortOptions::new(number, &[open]))
        };
        let options = PortOptions {
            number: 12,
            trusted: true,
            ..PortOptions::default()
        };
        let server = plug("server", 1, &other, 15);
        Self {
            _echoes: [ECHO, ECHO + 1].map(|port| server.vm.echo_udp(port).expect("an echo starts")),
            hostile: plug("hostile", 0, &net, 11),
            trusted: world.guest("trusted", 0, &net, options),
            target: plug("target", 1, &net, 13),
            neighbour: plug("neighbour", 0, &other, 14),
            server,
            gateway: net.gateway_mac(),
            world,
        }
    }

    /// What the neighbour has when nobody disturbs it.
    pub fn calm(&self, time: Duration) -> Notice {
        self.observe(|| thread::sleep(time))
    }

    /// The same while so many frames are sent, so many a second.
    pub fn under(&self, flood: Flood, count: u32, rate: u32) -> Notice {
        // only who may have any MAC gets further with another one
        let from = match flood {
            Flood::Macs => &self.trusted,
            _ => &self.hostile,
        };
        let mac = |guest: &Guest| guest.vm.mac().parse().expect("a port has a MAC");
        let aim = Aim {
            mac: mac(from),
            v4: from.v4,
            target: (mac(&self.target), self.target.v4),
            gateway: self.gateway,
        };
        let raw = from.vm.raw().expect("a packet socket opens");
        self.observe(|| {
            aim.send(&raw, flood, count, rate);
        })
    }

    fn observe(&self, disturb: impl FnOnce()) -> Notice {
        let (netns, [steady, opening]) = (self.neighbour.vm.netns(), self.services());
        let before = self.drops();
        let done = std::sync::atomic::AtomicBool::new(false);
        let go_on = || !done.load(std::sync::atomic::Ordering::Relaxed);
        let start = Instant::now();
        let (steady, openings, time) = thread::scope(|scope| {
            let steady = scope.spawn(|| lab::pulse(netns, steady, PACE, go_on));
            let openings = scope.spawn(|| lab::openings(netns, opening, go_on));
            disturb();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            let time = start.elapsed();
            let end = |beats: thread::ScopedJoinHandle<'_, _>| beats.join().expect("no panic");
            (end(steady), end(openings), time)
        });
        Notice {
            steady: steady.expect("the neighbour asks"),
            openings: openings.expect("the neighbour asks"),
            time,
            drops: difference(&self.drops(), &before),
            tables: [ALL, "/flows", "/stations"].map(|path| self.world.local(0, path).len()),
        }
    }

    fn services(&self) -> [SocketAddr; 2] {
        [ECHO, ECHO + 1].map(|port| self.server.services(port)[0])
    }

    fn drops(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for drop in self.world.local(0, "/drops") {
            let reason = drop["reason"].as_str().unwrap_or_default().to_owned();
            *sums.entry(reason).or_default() += drop["packets"].as_u64().unwrap_or_default();
        }
        sums
    }

    /// Whether the programs still are those that were started, and serve.
    pub fn stands(&mut self) -> bool {
        let mut agents = self.world.agents.iter_mut();
        agents.all(|agent| agent.is_running())
            && self
                .world
                .api
                .get("/status")
                .is_ok_and(|s: Value| s.is_object())
    }
}

impl Default for Siege {
    fn default() -> Self {
        Self::new()
    }
}

fn difference(
    after: &BTreeMap<String, u64>,
    before: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let more = |(reason, n): (&String, &u64)| {
        let grown = n - before.get(reason).unwrap_or(&0);
        (grown > 0).then(|| (reason.clone(), grown))
    };
    after.iter().filter_map(more).collect()
}
