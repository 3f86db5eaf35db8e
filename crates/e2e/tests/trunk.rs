//! Trunk ports of a real Neutron: sub-ports are ports like any other, as VLANs of their parent's tap.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e::{Cloud, CloudNetwork, Guest, SOON, text};
use lab::{Echo, Plug, Probe, Stream, within};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

/// How long a change may take until it has got everywhere.
const EVERYWHERE: Duration = Duration::from_secs(30);
/// How long to listen for what must not come.
const QUIET: Duration = Duration::from_secs(2);

/// A VM on the first host with a trunk, and one on the second host on each network of it.
struct World {
    stream: Stream,
    _servers: Vec<Echo>,
    trunk: String,
    /// The sub-port that the trunk was made with, on VLAN 200 and without rules for what comes in.
    red: String,
    closed: String,
    parent: Guest,
    /// The parent's network, and those of the sub-ports.
    networks: [CloudNetwork; 3],
    /// On the second host, one for each network.
    peers: [Guest; 3],
    cloud: Cloud,
}

fn world() -> World {
    let cloud = Cloud::new(2);
    let networks = [("net", 1), ("blue", 2), ("red", 3)].map(|(name, n)| cloud.network(name, n));
    let closed = closed_group(&cloud);
    let port = cloud.port(0, &networks[0], json!({}));
    let body = json!({"network_id": networks[2].id, "security_groups": [closed]});
    let red = text(&cloud.create("port", body), "id");
    let sub_port = sub_port(&red, 200);
    let trunk = json!({"port_id": port["id"], "sub_ports": [sub_port]});
    let trunk = cloud.create("trunk", trunk);
    let open = closed_group(&cloud);
    open_up(&cloud, &open);
    let peers = [0, 1, 2].map(|n| {
        let body = json!({"security_groups": [open]});
        cloud.guest(&format!("peer{n}"), 1, &networks[n], body)
    });
    let servers = peers.iter().map(|peer| peer.vm.echo_tcp(80).unwrap());
    let servers = servers.collect();
    let parent = cloud.plug("vm", 0, &port);
    parent.configure();
    World {
        stream: parent.vm.stream(services(&peers[0])[0]).unwrap(),
        _servers: servers,
        trunk: text(&trunk, "id"),
        red,
        closed,
        parent,
        networks,
        peers,
        cloud,
    }
}

/// A group that lets everything out and nothing in.
fn closed_group(cloud: &Cloud) -> String {
    let group = cloud.create("security-group", json!({"name": "closed"}));
    text(&group, "id")
}

/// Lets everything in.
fn open_up(cloud: &Cloud, group: &str) {
    for family in ["IPv4", "IPv6"] {
        cloud.rule(group, json!({"direction": "ingress", "ethertype": family}));
    }
}

fn sub_port(port: &str, vlan: u16) -> Value {
    json!({"port_id": port, "segmentation_type": "vlan", "segmentation_id": vlan})
}

fn services(guest: &Guest) -> [SocketAddr; 2] {
    guest.services(80)
}

impl World {
    /// `openstack network trunk set --subport`, or `unset`.
    fn change(&self, action: &str, sub_port: Value) {
        let path = format!("/v2.0/trunks/{}/{action}", self.trunk);
        let body = json!({"sub_ports": [sub_port]});
        self.cloud.neutron.put(&path, &body).unwrap();
    }

    fn join(&self, port: &str, vlan: u16) {
        self.change("add_subports", sub_port(port, vlan));
    }

    fn leave(&self, guest: &Guest) {
        self.change("remove_subports", json!({"port_id": guest.vm.port()}));
    }

    /// What the VM has for a sub-port: a VLAN of its interface.
    fn vlan(&self, name: &str, vlan: u16, port: &str) -> Guest {
        self.cloud.wait_status("port", port, "ACTIVE");
        let port = &self.cloud.show("port", port);
        let plug = Plug {
            port: text(port, "id").parse().unwrap(),
            mac: text(port, "mac_address"),
        };
        let addresses = port["fixed_ips"].as_array().unwrap().iter();
        let addresses: Vec<&str> = addresses.filter_map(|a| a["ip_address"].as_str()).collect();
        Guest {
            vm: self.parent.vm.vlan(name, vlan, plug).unwrap(),
            v4: addresses.iter().find_map(|a| a.parse().ok()).unwrap(),
            v6: addresses.iter().find_map(|a| a.parse().ok()).unwrap(),
        }
    }

    /// Frames that a group of their receiver refused, on either host.
    fn refusals(&self) -> u64 {
        let on = |host| self.cloud.drops(host, "security_group_ingress");
        on(0) + on(1)
    }

    fn parent_goes_on(&self) {
        self.stream.goes_on(20, SOON).unwrap();
    }
}

fn reaches(guest: &Guest, peer: &Guest) {
    for address in peer.addresses() {
        guest.vm.ping_until(address, SOON).unwrap();
    }
    for service in services(peer) {
        let stream = guest.vm.stream(service).unwrap();
        stream.goes_on(20, SOON).unwrap();
    }
}

/// One OpenStack for all of it: starting one is most of the cost.
#[test]
fn sub_ports_are_ports_on_vlans_of_their_parents_tap() {
    let world = world();
    world.cloud.wait_status("trunk", &world.trunk, "ACTIVE");
    let blue = a_sub_port_may_join_a_running_vm(&world);
    let red = a_sub_port_has_groups_of_its_own(&world);
    both_reach_their_own_networks_only(&world, &blue, &red);
    a_removed_sub_port_is_cut_off(&world, &blue);
    a_sub_port_may_come_back_on_another_vlan(&world, blue);
    reaches(&red, &world.peers[2]);
    the_trunk_goes_with_its_parent(&world, &red);
}

fn a_sub_port_may_join_a_running_vm(world: &World) -> Guest {
    let body = json!({"network_id": world.networks[1].id});
    let port = text(&world.cloud.create("port", body), "id");
    world.join(&port, 100);
    world.parent_goes_on();
    world.vlan("blue", 100, &port)
}

fn a_sub_port_has_groups_of_its_own(world: &World) -> Guest {
    let red = world.vlan("red", 200, &world.red);
    red.configure();
    let _server = red.vm.echo_tcp(80).unwrap();
    let peer = &world.peers[2];
    let before = world.refusals();
    for service in services(&red) {
        let probe = peer.vm.tcp(service, QUIET).unwrap();
        assert_eq!(probe, Probe::Silent, "{service} of a closed sub-port");
    }
    assert!(world.refusals() > before, "its groups dropped it");
    open_up(&world.cloud, &world.closed);
    for service in services(&red) {
        let asked = || match peer.vm.tcp(service, QUIET) {
            Ok(Probe::Answered) => Ok(()),
            other => Err(format!("{other:?}")),
        };
        within("an answer of an opened sub-port", EVERYWHERE, asked).unwrap();
    }
    red
}

fn both_reach_their_own_networks_only(world: &World, blue: &Guest, red: &Guest) {
    blue.configure();
    reaches(blue, &world.peers[1]);
    reaches(red, &world.peers[2]);
    for address in world.peers[2].addresses() {
        let answer = blue.vm.ping(address, QUIET);
        assert!(answer.is_err(), "{address} is on another network");
    }
    world.parent_goes_on();
    let shown = world.cloud.show("port", &blue.vm.port().to_string());
    assert_eq!(shown["device_owner"], "trunk:subport");
    assert_eq!(shown["binding:host_id"], world.cloud.hosts[0].name());
}

fn a_removed_sub_port_is_cut_off(world: &World, blue: &Guest) {
    let stream = blue.vm.stream(services(&world.peers[1])[0]).unwrap();
    stream.goes_on(20, SOON).unwrap();
    let before = world.cloud.drops(0, "vlan_tagged");
    world.leave(blue);
    stream.stops(QUIET, EVERYWHERE).unwrap();
    let id = blue.vm.port().to_string();
    world.cloud.wait_status("port", &id, "DOWN");
    assert_eq!(world.cloud.show("port", &id)["device_owner"], "");
    for address in world.peers[1].addresses() {
        assert!(blue.vm.ping(address, QUIET).is_err(), "{address} answers");
    }
    assert!(world.cloud.drops(0, "vlan_tagged") > before);
    world.parent_goes_on();
}

/// The same port, on another VLAN of the same VM.
fn a_sub_port_may_come_back_on_another_vlan(world: &World, blue: Guest) {
    let id = blue.vm.port().to_string();
    blue.vm.unplug().unwrap();
    drop(blue);
    world.join(&id, 300);
    let again = world.vlan("again", 300, &id);
    again.configure();
    reaches(&again, &world.peers[1]);
    world.parent_goes_on();
    world.cloud.wait_status("trunk", &world.trunk, "ACTIVE");
}

fn the_trunk_goes_with_its_parent(world: &World, red: &Guest) {
    world.parent.vm.unplug().unwrap();
    world.cloud.wait_status("trunk", &world.trunk, "DOWN");
    let id = red.vm.port().to_string();
    world.cloud.wait_status("port", &id, "DOWN");
}
