//! A real Neutron with the plugin: port status, an absence of the cluster, and a death of Neutron.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "neutron/outside.rs"]
mod outside;

use e2e::{Cloud, CloudNetwork, Guest, text};
use lab::{Echo, Http, Stream, until};
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How long a change may take until it has got everywhere.
const SOON: Duration = Duration::from_secs(30);
/// API clients at a time.
const CLIENTS: usize = 4;

/// Two VMs on two hosts, and a connection between them that nothing may break.
struct World {
    stream: Stream,
    _server: Echo,
    guests: [Guest; 2],
    network: CloudNetwork,
    cloud: Cloud,
}

fn world() -> World {
    let cloud = Cloud::new(2);
    let network = cloud.network("net", 1);
    let guests = [0, 1].map(|host| plug(&cloud, &network, host));
    let server = guests[1].vm.echo_tcp(80).unwrap();
    let stream = guests[0]
        .vm
        .stream(SocketAddr::new(guests[1].v4.into(), 80))
        .unwrap();
    World {
        stream,
        _server: server,
        guests,
        network,
        cloud,
    }
}

fn plug(cloud: &Cloud, network: &CloudNetwork, host: usize) -> Guest {
    let port = cloud.port(host, network, json!({}));
    assert_eq!(port["status"], "DOWN", "nothing is plugged yet");
    assert_eq!(port["binding:vif_type"], "midonet");
    let guest = cloud.plug(&format!("vm{host}"), host, &port);
    guest.vm.dhcp().unwrap();
    guest
}

impl World {
    fn wait_status(&self, guest: &Guest, status: &str) {
        let port = guest.vm.port().to_string();
        self.cloud.wait_status("port", &port, status);
    }

    fn traffic_goes_on(&self) {
        self.stream.goes_on(20, SOON).unwrap();
    }
}

/// One OpenStack for all of it: starting one is most of the cost.
#[test]
fn neutron_and_the_cluster_agree_whatever_dies() {
    let mut world = world();
    a_port_is_active_while_its_tap_is_there(&world);
    the_cluster_may_be_away(&mut world);
    outside::the_outside_becomes_topology(&world.cloud, &world.network);
    world.traffic_goes_on();
    neutron_may_die_in_the_middle_of_requests(&world);
    a_port_is_active_while_its_tap_is_there(&world);
}

fn a_port_is_active_while_its_tap_is_there(world: &World) {
    let [kept, replugged] = &world.guests;
    world.wait_status(kept, "ACTIVE");
    world.wait_status(replugged, "ACTIVE");
    world.traffic_goes_on();
    let address = replugged.vm.netns().ip("-4 -br addr show eth0").unwrap();
    let address = address.split_whitespace().nth(2).unwrap().to_owned();
    replugged.vm.unplug().unwrap();
    world.wait_status(replugged, "DOWN");
    world.wait_status(kept, "ACTIVE");
    replugged.vm.plug().unwrap();
    replugged.vm.add_address(&address).unwrap();
    world.wait_status(replugged, "ACTIVE");
    world.traffic_goes_on();
}

fn the_cluster_may_be_away(world: &mut World) {
    world.cloud.cluster.kill().unwrap();
    let made = create_ports(&world.cloud.neutron, &world.network.id, 50);
    assert_eq!(
        made.len(),
        50,
        "ports are created while the cluster is away"
    );
    for port in &made[..20] {
        world.cloud.delete("port", port);
    }
    world.traffic_goes_on();
    world.cloud.cluster.restart().unwrap();
    world.cloud.settle();
    world.traffic_goes_on();
}

fn neutron_may_die_in_the_middle_of_requests(world: &World) {
    let made = AtomicUsize::new(0);
    let acknowledged = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| create_until_refused(world, &made)))
            .collect();
        let some = || (made.load(Ordering::Relaxed) >= 12).then_some(());
        until("some acknowledged ports", SOON, some).unwrap();
        world.cloud.openstack.kill_neutron().unwrap();
        clients
            .into_iter()
            .flat_map(|c| c.join().unwrap())
            .collect::<Vec<String>>()
    });
    world.traffic_goes_on();
    world.cloud.openstack.start_neutron().unwrap();
    for port in &acknowledged {
        world.cloud.show("port", port);
    }
    world.cloud.settle();
    world.traffic_goes_on();
}

fn create_until_refused(world: &World, made: &AtomicUsize) -> Vec<String> {
    let mut mine = Vec::new();
    let body = json!({"port": {"network_id": world.network.id}});
    while let Ok(answer) = world.cloud.neutron.post("/v2.0/ports", &body) {
        mine.push(text(&answer["port"], "id"));
        made.fetch_add(1, Ordering::Relaxed);
    }
    mine
}

fn create_ports(neutron: &Http, network: &str, count: usize) -> Vec<String> {
    let (left, made) = (AtomicUsize::new(count), Mutex::new(Vec::new()));
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while take().is_ok() {
                    let body = json!({"port": {"network_id": network}});
                    let answer = neutron.post("/v2.0/ports", &body).unwrap();
                    made.lock().unwrap().push(text(&answer["port"], "id"));
                }
            });
        }
    });
    made.into_inner().unwrap()
}
