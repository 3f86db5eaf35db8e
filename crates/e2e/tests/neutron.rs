//! A real Neutron with the plugin: port status, an absence of the cluster, and a death of Neutron.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lab::{Agent, Cluster, Host, Http, Lab, OpenStack, Plug, Stream, Vm, until, within};
use serde_json::{Value, json};
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
/// Seconds the comparison waits for changes that are on their way.
const AUDIT_WAIT: u32 = 60;
/// API clients at a time.
const CLIENTS: usize = 4;

/// Programs before the lab that removes them.
struct World {
    _stream: Stream,
    _server: lab::Echo,
    vms: Vec<Vm>,
    cluster: Cluster,
    _agents: Vec<Agent>,
    _hosts: Vec<Host>,
    neutron: Http,
    network: String,
    openstack: OpenStack,
    _lab: Lab,
}

fn world() -> World {
    let mut lab = Lab::new().unwrap();
    let openstack = OpenStack::prepare(&lab);
    let cluster = lab.start_cluster(openstack.auth()).unwrap();
    let hosts = vec![lab.add_host("h1").unwrap(), lab.add_host("h2").unwrap()];
    let agents = hosts.iter().map(|h| h.start_agent().unwrap()).collect();
    openstack.start(&cluster.url()).unwrap();
    let neutron = openstack.neutron().unwrap();
    let network = create(&neutron, "network", json!({"name": "net"}));
    let subnet = json!({"network_id": network, "ip_version": 4, "cidr": "10.1.0.0/16"});
    create(&neutron, "subnet", subnet);
    let vms: Vec<Vm> = hosts.iter().map(|h| plug(&neutron, &network, h)).collect();
    let addresses: Vec<_> = vms.iter().map(|vm| vm.dhcp().unwrap().address).collect();
    let server = vms[1].echo_tcp(80).unwrap();
    let stream = vms[0]
        .stream(SocketAddr::new(addresses[1].into(), 80))
        .unwrap();
    World {
        _stream: stream,
        _server: server,
        vms,
        cluster,
        _agents: agents,
        _hosts: hosts,
        neutron,
        network,
        openstack,
        _lab: lab,
    }
}

fn create(neutron: &Http, kind: &str, body: Value) -> String {
    let answer = neutron
        .post(&format!("/v2.0/{kind}s"), &json!({ kind: body }))
        .unwrap();
    answer[kind]["id"].as_str().unwrap().to_owned()
}

fn plug(neutron: &Http, network: &str, host: &Host) -> Vm {
    let body = json!({
        "network_id": network, "binding:host_id": host.name(), "device_owner": "compute:nova",
    });
    let answer = neutron.post("/v2.0/ports", &json!({"port": body})).unwrap();
    let port = &answer["port"];
    assert_eq!(port["status"], "DOWN", "nothing is plugged yet");
    assert_eq!(port["binding:vif_type"], "midonet");
    let plug = Plug {
        port: port["id"].as_str().unwrap().parse().unwrap(),
        mac: port["mac_address"].as_str().unwrap().to_owned(),
    };
    host.plug(&format!("vm-{}", host.name()), plug).unwrap()
}

impl World {
    fn wait_status(&self, vm: &Vm, status: &str) {
        let path = format!("/v2.0/ports/{}?fields=status", vm.port());
        within(&format!("{status} in Neutron"), SOON, || {
            let port = self.neutron.get(&path).map_err(|e| e.to_string())?;
            let seen = port["port"]["status"].as_str().unwrap_or_default();
            if seen == status {
                Ok(())
            } else {
                Err(seen.to_owned())
            }
        })
        .unwrap();
    }

    fn traffic_goes_on(&self) {
        self._stream.goes_on(20, SOON).unwrap();
    }

    fn audit(&self) {
        let line = format!("neutron audit --wait {AUDIT_WAIT}");
        println!("{}", self.openstack.midonet(&self.cluster, &line).unwrap());
    }
}

/// One OpenStack for all of it: starting one is most of the cost.
#[test]
fn neutron_and_the_cluster_agree_whatever_dies() {
    let mut world = world();
    a_port_is_active_while_its_tap_is_there(&world);
    the_cluster_may_be_away(&mut world);
    neutron_may_die_in_the_middle_of_requests(&world);
    a_port_is_active_while_its_tap_is_there(&world);
}

fn a_port_is_active_while_its_tap_is_there(world: &World) {
    let [kept, replugged] = &world.vms[..] else {
        panic!("two VMs")
    };
    world.wait_status(kept, "ACTIVE");
    world.wait_status(replugged, "ACTIVE");
    world.traffic_goes_on();
    let address = replugged.netns().ip("-4 -br addr show eth0").unwrap();
    let address = address.split_whitespace().nth(2).unwrap().to_owned();
    replugged.unplug().unwrap();
    world.wait_status(replugged, "DOWN");
    world.wait_status(kept, "ACTIVE");
    replugged.plug().unwrap();
    replugged.add_address(&address).unwrap();
    world.wait_status(replugged, "ACTIVE");
    world.traffic_goes_on();
}

fn the_cluster_may_be_away(world: &mut World) {
    world.cluster.kill().unwrap();
    let made = create_ports(&world.neutron, &world.network, 50);
    assert_eq!(
        made.len(),
        50,
        "ports are created while the cluster is away"
    );
    for port in &made[..20] {
        world
            .neutron
            .delete(&format!("/v2.0/ports/{port}"))
            .unwrap();
    }
    world.traffic_goes_on();
    world.cluster.restart().unwrap();
    world.audit();
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
        world.openstack.kill_neutron().unwrap();
        clients
            .into_iter()
            .flat_map(|c| c.join().unwrap())
            .collect::<Vec<String>>()
    });
    world.traffic_goes_on();
    world.openstack.start_neutron().unwrap();
    for port in &acknowledged {
        world
            .neutron
            .get(&format!("/v2.0/ports/{port}?fields=id"))
            .unwrap();
    }
    world.audit();
    world.traffic_goes_on();
}

fn create_until_refused(world: &World, made: &AtomicUsize) -> Vec<String> {
    let mut mine = Vec::new();
    let body = json!({"port": {"network_id": world.network}});
    while let Ok(answer) = world.neutron.post("/v2.0/ports", &body) {
        mine.push(answer["port"]["id"].as_str().unwrap().to_owned());
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
                    let port = create(neutron, "port", json!({"network_id": network}));
                    made.lock().unwrap().push(port);
                }
            });
        }
    });
    made.into_inner().unwrap()
}
