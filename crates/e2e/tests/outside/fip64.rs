//! `fip64`: IPv6 floating addresses of VMs that speak IPv4.

use crate::world::{PASS, World, public_network, seen};
use e2e::text;
use lab::{Netns, OUTSIDE, within};
use serde_json::json;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

const SERVICE: u16 = 80;
/// How long one datagram is waited for.
const AGAIN: Duration = Duration::from_millis(300);

/// The steps of the scenario test `test_fip64`, from the gateway's network and from one that the
/// router has an interface on, with pings, both protocols and packets in fragments.
pub fn fip64(world: &World) {
    let by_gateway = world.floating_ip(json!({"subnet_id": world.public.v6}));
    world.associate(&by_gateway.0, &world.web);
    let _servers = (
        world.web.vm.echo_tcp(SERVICE).unwrap(),
        world.web.vm.echo_udp(SERVICE).unwrap(),
    );
    let outside = world.outside();
    let address = by_gateway.1;
    assert!(address.is_ipv6());
    outside.ping_until(address, PASS).unwrap();
    for probe in [netns_tcp, netns_udp] {
        assert!(probe(outside, SocketAddr::new(address, SERVICE)));
    }
    assert_pool(seen(outside, world.web.vm.netns(), address));
    in_fragments(outside, SocketAddr::new(address, SERVICE));
    // the VM's own connections do not leave by it: it speaks IPv4
    let [router, _] = world.external(&world.tenant);
    assert_eq!(seen(world.web.vm.netns(), outside, OUTSIDE[0]), router);
    world.disassociate(&by_gateway.0);
    world.cloud.delete("floatingip", &by_gateway.0);
    by_interface(world);
}

/// Datagrams that need two fragments there and back. Pings in fragments are not translated: the
/// checksum of an ICMPv6 message covers a length that its first fragment does not say (RFC 7915, 1.2).
fn in_fragments(from: &Netns, to: SocketAddr) {
    let socket = from.enter(|| UdpSocket::bind(("::", 0))).unwrap().unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(AGAIN)).unwrap();
    let (large, mut answer) = ([7; 2000], [0; 2048]);
    within("answer in fragments", PASS, || {
        // the first one tells the sender how large packets may be
        socket.send(&large).map_err(|e| e.to_string())?;
        let length = socket.recv(&mut answer).map_err(|e| e.to_string())?;
        assert_eq!(&answer[..length], large);
        Ok(())
    })
    .unwrap();
}

fn by_interface(world: &World) {
    let cloud = &world.cloud;
    let partner = public_network(cloud, "partner6", "192.0.3", "2001:db8:300::");
    cloud.add_interface(&world.tenant, json!({"subnet_id": partner.v6}));
    let body = json!({
        "floating_network_id": partner.id, "subnet_id": partner.v6,
        "port_id": world.web.vm.port(), "fixed_ip_address": world.web.v4,
    });
    let made = cloud.create("floatingip", body);
    let (fip, address) = (text(&made, "id"), text(&made, "floating_ip_address"));
    cloud.wait_status("floatingip", &fip, "ACTIVE");
    let body = json!({"security_groups": [world.open], "fixed_ips": [{"subnet_id": partner.v6}]});
    let port = cloud.port(0, &partner, body);
    let plug = lab::Plug {
        port: text(&port, "id").parse().unwrap(),
        mac: text(&port, "mac_address"),
    };
    let client = cloud.hosts[0].plug("partner6", plug).unwrap();
    let own = text(&port["fixed_ips"][0], "ip_address");
    client.add_address(&format!("{own}/64")).unwrap();
    let address: IpAddr = address.parse().unwrap();
    client.ping_until(address, PASS).unwrap();
    assert_pool(seen(client.netns(), world.web.vm.netns(), address));
    cloud.delete("floatingip", &fip);
    cloud.remove_interface(&world.tenant, json!({"subnet_id": partner.v6}));
}

fn netns_tcp(from: &Netns, to: SocketAddr) -> bool {
    from.tcp(to, PASS).unwrap().answered()
}

fn netns_udp(from: &Netns, to: SocketAddr) -> bool {
    from.udp(to, PASS).unwrap().answered()
}

/// IPv6 clients are seen as addresses of the pool, 100.64.0.0/10 unless a host says otherwise.
fn assert_pool(client: IpAddr) {
    let in_pool = match client {
        IpAddr::V4(ip) => ip.to_bits() >> 22 == Ipv4Addr::new(100, 64, 0, 0).to_bits() >> 22,
        IpAddr::V6(_) => false,
    };
    assert!(in_pool, "{client}");
}
