//! Source NAT by port blocks.

use crate::world::{PASS, SILENCE, World, gateway, seen};
use e2e::Guest;
use lab::OUTSIDE;
use serde_json::json;
use std::net::{IpAddr, SocketAddr, UdpSocket};

const SERVICE: u16 = 8000;

/// TCP, UDP and pings of VMs without floating IPs leave with the router's address, from hosts with
/// and without an uplink.
pub fn sources_are_translated(world: &World) {
    let ([outside, _], [router, _]) = (OUTSIDE, world.external(&world.tenant));
    let _udp = world.outside().echo_udp(SERVICE).unwrap();
    world.upstream.wait_next_hops(2).unwrap();
    for guest in [&world.plain, &world.near] {
        guest.vm.ping_until(outside, PASS).unwrap();
        assert_eq!(seen(guest.vm.netns(), world.outside(), outside), router);
        let service = SocketAddr::new(outside, SERVICE);
        assert!(guest.vm.udp(service, PASS).unwrap().answered());
    }
    a_mapping_does_not_depend_on_the_other_end(world, &world.plain);
    hairpin(world, router);
}

/// RFC 4787, REQ-1: one inside endpoint, one outside port, whoever is spoken to.
fn a_mapping_does_not_depend_on_the_other_end(world: &World, guest: &Guest) {
    let bind = || UdpSocket::bind(("0.0.0.0", 0));
    let [one, two, stranger] = [(); 3].map(|()| world.outside().enter(bind).unwrap().unwrap());
    let inside = guest.vm.netns().enter(bind).unwrap().unwrap();
    for server in [&one, &two, &stranger] {
        server.set_read_timeout(Some(PASS)).unwrap();
    }
    inside.set_read_timeout(Some(PASS)).unwrap();
    let mut word = [0; 16];
    let [from_one, from_two] = [&one, &two].map(|server| {
        let at = SocketAddr::new(OUTSIDE[0], server.local_addr().unwrap().port());
        inside.send_to(b"hello", at).unwrap();
        server.recv_from(&mut word).unwrap().1
    });
    assert_eq!(from_one, from_two);
    // and nobody has to be spoken to first: the security group judges who may answer
    stranger.send_to(b"stranger", from_one).unwrap();
    let (length, _) = inside.recv_from(&mut word).unwrap();
    assert_eq!(&word[..length], b"stranger");
}

/// Two VMs behind one address meet by it.
fn hairpin(world: &World, router: IpAddr) {
    let bind = || UdpSocket::bind(("0.0.0.0", 0));
    let [a, b] = [&world.plain, &world.near].map(|guest| {
        let socket = guest.vm.netns().enter(bind).unwrap().unwrap();
        socket.set_read_timeout(Some(PASS)).unwrap();
        socket
    });
    let server = world.outside().enter(bind).unwrap().unwrap();
    server.set_read_timeout(Some(PASS)).unwrap();
    let at = SocketAddr::new(OUTSIDE[0], server.local_addr().unwrap().port());
    let mut word = [0; 16];
    a.send_to(b"a", at).unwrap();
    let (_, address_of_a) = server.recv_from(&mut word).unwrap();
    assert_eq!(address_of_a.ip(), router);
    b.send_to(b"b", address_of_a).unwrap();
    let (_, from) = a.recv_from(&mut word).unwrap();
    assert_eq!(from.ip(), router, "RFC 4787, REQ-9: the external address");
    a.send_to(b"answer", from).unwrap();
    let (length, from) = b.recv_from(&mut word).unwrap();
    assert_eq!((&word[..length], from), (&b"answer"[..], address_of_a));
}

/// `tracepath` works by ICMP errors about UDP packets: of hops on the way, and of one that has a
/// smaller MTU than all before.
pub fn errors_come_back(world: &World) {
    let small = 1300;
    let set = |mtu: u16| {
        let line = format!("link set inner mtu {mtu}");
        world.upstream.netns().ip(&line).unwrap();
    };
    set(small);
    let line = format!("tracepath -n -m 8 {}", OUTSIDE[0]);
    let said = world.plain.vm.netns().run(&line).unwrap();
    set(1500);
    let edge = world.cloud.show("subnet", &world.public.v4)["gateway_ip"].clone();
    for hop in ["10.1.0.1", edge.as_str().unwrap(), "203.0.113.10"] {
        assert!(said.contains(hop), "{hop} is not in\n{said}");
    }
    assert!(said.contains(&format!("pmtu {small}")), "{said}");
}

/// `openstack router set --disable-snat`: sources stay as they are, and are routed if the outside
/// knows the way.
pub fn it_can_be_switched_off(world: &World) {
    let [outside, _] = OUTSIDE;
    gateway(&world.cloud, &world.tenant, &world.public, false);
    world.cloud.settle();
    assert!(world.plain.vm.ping(outside, SILENCE).is_err());
    gateway(&world.cloud, &world.tenant, &world.public, true);
    world.plain.vm.ping_until(outside, PASS).unwrap();

    let cloud = &world.cloud;
    let bare = cloud.network("bare", 3);
    let router = cloud.router("bare", &[&bare]);
    let [v4, _] = gateway(cloud, &router, &world.public, false);
    let mut routes = world.routes.clone();
    routes.push(json!({"destination": "10.3.0.0/24", "nexthop": v4}));
    cloud.update("router", &world.edge, json!({"routes": routes}));
    let body = json!({"security_groups": [world.open]});
    let guest = cloud.guest("bare", 2, &bare, body);
    guest.vm.ping_until(outside, PASS).unwrap();
    assert_eq!(
        seen(guest.vm.netns(), world.outside(), outside),
        IpAddr::from(guest.v4)
    );
    assert_eq!(
        seen(world.outside(), guest.vm.netns(), guest.v4.into()),
        outside
    );
}
