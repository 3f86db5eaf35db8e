//! Each program is killed in the middle of traffic and of API calls: established connections go
//! on, what was acknowledged is there, and everything converges.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e::{Guest, PortOptions, World};
use lab::{Stream, until};
use serde_json::json;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use uuid::Uuid;

const PASS: Duration = Duration::from_secs(10);
/// How long after its restart a program may take until new things work again.
const CONVERGE: Duration = Duration::from_secs(20);

struct Traffic {
    world: World,
    guests: [Guest; 3],
    _servers: Vec<lab::Echo>,
    streams: Vec<Stream>,
}

/// Two VMs on the first host, one on the second, and open connections of both families between the
/// first and the others.
fn traffic() -> Traffic {
    let world = World::new(2);
    let (front, back) = (world.network(1), world.network(2));
    world.router(&[&front, &back]);
    let group = world.default_group();
    let guests = [
        world.guest("web1", 0, &front, PortOptions::new(11, &[group])),
        world.guest("web2", 0, &front, PortOptions::new(12, &[group])),
        world.guest("db1", 1, &back, PortOptions::new(13, &[group])),
    ];
    let servers = guests.iter().map(|g| g.vm.echo_tcp(80).unwrap()).collect();
    let to = guests[1]
        .services(80)
        .into_iter()
        .chain(guests[2].services(80));
    let streams: Vec<Stream> = to.map(|to| guests[0].vm.stream(to).unwrap()).collect();
    for stream in &streams {
        stream.goes_on(20, PASS).unwrap();
    }
    Traffic {
        world,
        guests,
        _servers: servers,
        streams,
    }
}

impl Traffic {
    fn goes_on(&self) {
        for stream in &self.streams {
            stream.goes_on(50, PASS).unwrap();
        }
    }

    /// A connection that was not there before.
    fn new_connections_work(&self) {
        for to in self.guests[2].services(80) {
            let what = format!("a new connection to {to}");
            let answered = || {
                self.guests[0]
                    .vm
                    .tcp(to, PASS)
                    .unwrap()
                    .answered()
                    .then_some(())
            };
            until(&what, CONVERGE, answered).unwrap();
        }
    }
}

#[test]
fn connections_outlive_an_agent_and_its_restart() {
    let mut traffic = traffic();
    for host in 0..2 {
        traffic.world.agents[host].kill().unwrap();
        traffic.goes_on();
        traffic.world.agents[host].restart().unwrap();
        traffic.goes_on();
    }
    traffic.new_connections_work();
    let longest = traffic
        .streams
        .iter()
        .map(Stream::longest_gap)
        .max()
        .unwrap();
    assert!(
        longest < Duration::from_secs(1),
        "an exchange took {longest:?}"
    );
    for guest in &traffic.guests {
        traffic.world.wait_status(guest.vm.port(), "ACTIVE");
    }
}

#[test]
fn connections_and_new_ones_outlive_the_cluster() {
    let mut traffic = traffic();
    traffic.world.cluster.kill().unwrap();
    traffic.goes_on();
    traffic.new_connections_work();
    traffic.world.cluster.restart().unwrap();
    traffic.goes_on();
    for guest in &traffic.guests {
        traffic.world.wait_status(guest.vm.port(), "ACTIVE");
    }
    // the agents hear of what comes after
    let network = traffic.world.network(3);
    let group = traffic.world.default_group();
    let late = traffic
        .world
        .guest("late", 0, &network, PortOptions::new(11, &[group]));
    traffic.world.wait_status(late.vm.port(), "ACTIVE");
}

#[test]
fn an_agent_that_starts_without_the_cluster_works_from_what_it_knows() {
    let mut traffic = traffic();
    traffic.world.cluster.kill().unwrap();
    traffic.world.agents[0].kill().unwrap();
    traffic.world.agents[0].restart().unwrap();
    traffic.goes_on();
    traffic.new_connections_work();
    traffic.world.cluster.restart().unwrap();
    for guest in &traffic.guests {
        traffic.world.wait_status(guest.vm.port(), "ACTIVE");
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_cluster_is_killed() {
    let mut world = World::new(1);
    let api = world.api.clone();
    let mut acknowledged: Vec<Uuid> = Vec::new();
    for _ in 0..3 {
        let stop = AtomicBool::new(false);
        let made = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut made = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let id = Uuid::new_v4();
                    let body = json!({
                        "id": id, "name": "kept", "admin_state_up": true, "tenant_id": "t",
                        "revision_number": 1, "mtu": 1450,
                    });
                    match api.post("/neutron/networks", &body) {
                        Ok(_) => made.push(id),
                        Err(_) => break,
                    }
                }
                made
            });
            let count = || api.get("/neutron/networks").ok()?.as_array().map(Vec::len);
            let goal = acknowledged.len() + 20;
            until("some networks", PASS, || (count()? > goal).then_some(())).unwrap();
            world.cluster.kill().unwrap();
            stop.store(true, Ordering::Relaxed);
            writer.join().unwrap()
        });
        acknowledged.extend(made);
        world.cluster.restart().unwrap();
        for id in &acknowledged {
            api.get(&format!("/neutron/networks/{id}")).unwrap();
        }
    }
}
