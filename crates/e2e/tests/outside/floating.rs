//! Floating IPs on the network of the router's gateway.

use crate::world::{PASS, SILENCE, World, gateway, seen};
use lab::OUTSIDE;
use serde_json::json;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

const SERVICE: u16 = 80;
/// How long a connection must be quiet to count as stopped.
const QUIET: Duration = Duration::from_millis(500);

/// Associated, moved to another VM and disassociated while connections run.
pub fn addresses_come_move_and_go(world: &World) {
    let [outside, _] = OUTSIDE;
    let [router, _] = world.external(&world.tenant);
    let (web, plain, near) = (&world.web, &world.plain, &world.near);
    let (fip, address) = world.floating_ip(json!({}));
    world.cloud.wait_status("floatingip", &fip, "DOWN");
    world.associate(&fip, web);
    world.outside().ping_until(address, PASS).unwrap();
    assert_eq!(seen(world.outside(), web.vm.netns(), address), outside);
    assert_eq!(seen(web.vm.netns(), world.outside(), outside), address);
    assert_eq!(seen(plain.vm.netns(), world.outside(), outside), router);
    // to one's own, and from a neighbour without one
    assert_eq!(seen(web.vm.netns(), web.vm.netns(), address), address);
    assert_eq!(seen(plain.vm.netns(), web.vm.netns(), address), router);

    let _servers = [web, near].map(|g| g.vm.echo_tcp(SERVICE).unwrap());
    let _server = world.outside().echo_tcp(SERVICE).unwrap();
    let inwards = SocketAddr::new(address, SERVICE);
    let moved = world.outside().stream(inwards).unwrap();
    let other = plain.vm.stream(SocketAddr::new(outside, SERVICE)).unwrap();
    moved.goes_on(10, PASS).unwrap();
    world.associate(&fip, near);
    moved.stops(QUIET, PASS).unwrap();
    assert_eq!(seen(world.outside(), near.vm.netns(), address), outside);
    assert_eq!(seen(near.vm.netns(), world.outside(), outside), address);
    assert_eq!(seen(web.vm.netns(), world.outside(), outside), router);

    let stopped = world.outside().stream(inwards).unwrap();
    stopped.goes_on(10, PASS).unwrap();
    world.disassociate(&fip);
    stopped.stops(QUIET, PASS).unwrap();
    assert!(world.outside().ping(address, SILENCE).is_err());
    assert_eq!(seen(near.vm.netns(), world.outside(), outside), router);
    other.goes_on(10, PASS).unwrap();
    world.cloud.delete("floatingip", &fip);
}

/// Two VMs of two tenants, each with a floating IP; one of them has two fixed addresses with one
/// each, and answers by the address it was spoken to.
pub fn tenants_meet_by_their_addresses(world: &World) {
    let cloud = &world.cloud;
    let [outside, _] = OUTSIDE;
    let back = cloud.network("back", 2);
    let router = cloud.router("back", &[&back]);
    gateway(cloud, &router, &world.public, true);
    let fixed = json!([
        {"subnet_id": back.v4, "ip_address": "10.2.0.21"}, {"subnet_id": back.v6},
        {"subnet_id": back.v4, "ip_address": "10.2.0.22"},
    ]);
    let body = json!({"security_groups": [world.open], "fixed_ips": fixed});
    let port = cloud.port(0, &back, body);
    let db = cloud.plug("db", 0, &port);
    db.vm.dhcp().unwrap();
    let second = if db.v4.octets()[3] == 21 {
        "10.2.0.22"
    } else {
        "10.2.0.21"
    };
    db.vm.add_address(&format!("{second}/24")).unwrap();
    let addresses = ["10.2.0.21", "10.2.0.22"].map(|fixed| {
        let body = json!({"port_id": db.vm.port(), "fixed_ip_address": fixed});
        world.floating_ip(body)
    });
    let (fip, web) = world.floating_ip(json!({"port_id": world.web.vm.port()}));
    cloud.settle();
    for (_, address) in &addresses {
        world.web.vm.ping_until(*address, PASS).unwrap();
        assert_eq!(seen(world.web.vm.netns(), db.vm.netns(), *address), web);
        assert_eq!(seen(world.outside(), db.vm.netns(), *address), outside);
    }
    let back: IpAddr = seen(db.vm.netns(), world.web.vm.netns(), web);
    assert!(addresses.iter().any(|(_, a)| *a == back), "{back}");
    cloud.delete("floatingip", &fip);
    addresses
        .iter()
        .for_each(|(id, _)| cloud.delete("floatingip", id));
}

/// Neutron's port forwarding: two ports of one address lead to two VMs.
pub fn ports_are_forwarded(world: &World) {
    let cloud = &world.cloud;
    let (fip, address) = world.floating_ip(json!({}));
    let kind = format!("floatingips/{fip}/port_forwarding");
    let _tcp = world.web.vm.echo_tcp(SERVICE).unwrap();
    let _udp = world.near.vm.echo_udp(SERVICE).unwrap();
    let made =
        [("tcp", 8080, &world.web), ("udp", 5353, &world.near)].map(|(protocol, port, vm)| {
            let body = json!({
                "protocol": protocol, "external_port": port, "internal_port": SERVICE,
                "internal_port_id": vm.vm.port(), "internal_ip_address": vm.v4,
            });
            cloud.create(&kind, body)["id"].as_str().unwrap().to_owned()
        });
    cloud.settle();
    let outside = world.outside();
    let to = |port| SocketAddr::new(address, port);
    assert!(outside.tcp(to(8080), PASS).unwrap().answered());
    assert!(outside.udp(to(5353), PASS).unwrap().answered());
    assert!(!outside.tcp(to(SERVICE), SILENCE).unwrap().answered());
    // the VMs' own connections do not leave with it
    let [router, _] = world.external(&world.tenant);
    assert_eq!(seen(world.web.vm.netns(), outside, OUTSIDE[0]), router);
    made.iter().for_each(|id| cloud.delete(&kind, id));
    cloud.settle();
    assert!(!outside.tcp(to(8080), SILENCE).unwrap().answered());
    cloud.delete("floatingip", &fip);
}
