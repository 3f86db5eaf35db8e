//! Every path between VMs, both families, and what DHCP, router advertisements, security groups
//! and the status feed have to do with it. No Neutron: the REST API is spoken to directly.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use e2e::{Guest, Network, PortOptions, Rule, World};
use lab::Probe;
use std::{net::IpAddr, time::Duration};

/// How long what must pass may take.
const PASS: Duration = Duration::from_secs(5);
/// How long nothing must come of what is forbidden.
const SILENCE: Duration = Duration::from_millis(700);

/// Two networks behind a router; three VMs on the first, one on the second, two per host.
struct Campus {
    _world: World,
    front: Network,
    guests: [Guest; 4],
}

fn campus() -> Campus {
    let world = World::new(2);
    let (front, back) = (world.network(1), world.network(2));
    world.router(&[&front, &back]);
    let group = world.default_group();
    let port = |number| PortOptions::new(number, &[group]);
    let guests = [
        world.plug("web1", 0, &front, port(11)),
        world.plug("web2", 0, &front, port(12)),
        world.plug("web3", 1, &front, port(13)),
        world.plug("db1", 1, &back, port(14)),
    ];
    for guest in &guests {
        guest.configure();
    }
    Campus {
        _world: world,
        front,
        guests,
    }
}

fn assert_reaches(from: &Guest, to: &Guest) {
    for ip in to.addresses() {
        from.vm.ping(ip, PASS).unwrap();
    }
    for service in to.services(8080) {
        assert_eq!(
            from.vm.tcp(service, PASS).unwrap(),
            Probe::Answered,
            "TCP to {service}"
        );
        assert_eq!(
            from.vm.udp(service, PASS).unwrap(),
            Probe::Answered,
            "UDP to {service}"
        );
    }
}

#[test]
fn every_path_passes_by_both_families() {
    let campus = campus();
    let guests = &campus.guests;
    let _tcp: Vec<_> = guests
        .iter()
        .map(|g| g.vm.echo_tcp(8080).unwrap())
        .collect();
    let _udp: Vec<_> = guests
        .iter()
        .map(|g| g.vm.echo_udp(8080).unwrap())
        .collect();
    for from in guests {
        for to in guests.iter().filter(|to| to.v4 != from.v4) {
            assert_reaches(from, to);
        }
    }
}

#[test]
fn dhcp_tells_the_subnet_its_router_and_the_mtu() {
    let world = World::new(1);
    let network = world.network(1);
    world.router(&[&network]);
    let guest = world.plug("web1", 0, &network, PortOptions::new(11, &[]));
    // addresses come before any group allows anything
    assert_eq!(guest.vm.slaac().unwrap(), guest.v6);
    let netns = guest.vm.netns();
    let routes = netns.ip("-6 route show default").unwrap();
    assert!(routes.contains("via fe80::"), "{routes}");
    let mtu = netns.run("cat /proc/sys/net/ipv6/conf/eth0/mtu").unwrap();
    assert_eq!(mtu.trim(), "1450", "from the router advertisement");
    let lease = guest.vm.dhcp().unwrap();
    let option = |name: &str| lease.options.get(name).cloned().unwrap_or_default();
    assert_eq!(lease.address, guest.v4);
    assert_eq!(option("subnet_mask"), "255.255.255.0");
    assert_eq!(option("routers"), network.gateway4().to_string());
    assert_eq!(option("domain_name_servers"), "192.0.2.53");
    assert_eq!(option("interface_mtu"), "1450");
}

#[test]
fn routers_answer_pings_and_expired_packets() {
    let campus = campus();
    let (front, [web1, .., db1]) = (&campus.front, &campus.guests);
    let gateways: [IpAddr; 2] = [front.gateway4().into(), front.gateway6().into()];
    for gateway in gateways {
        web1.vm.ping(gateway, PASS).unwrap();
    }
    for (to, router) in db1.addresses().into_iter().zip(gateways) {
        let said = web1
            .vm
            .netns()
            .run(&format!("ping -n -c 1 -t 1 -W 2 {to}"))
            .unwrap_err();
        let said = said.to_string().to_lowercase();
        assert!(
            said.contains("time to live") || said.contains("hop limit"),
            "{said}"
        );
        assert!(said.contains(&router.to_string()), "{said}");
    }
}

#[test]
fn large_packets_pass_and_too_large_ones_are_refused_by_the_vm() {
    let campus = campus();
    let guests = &campus.guests;
    let [web1, _, _, db1] = guests;
    let ping = |size: u16| {
        web1.vm
            .netns()
            .run(&format!("ping -c 1 -W 2 -M do -s {size} {}", db1.v4))
    };
    ping(1450 - 28).unwrap();
    ping(1451 - 28).unwrap_err();
    // fragments, of which only the first has ports
    web1.vm
        .netns()
        .run(&format!("ping -c 1 -W 2 -s 4000 {}", db1.v4))
        .unwrap();
    web1.vm
        .netns()
        .run(&format!("ping -c 1 -W 2 -s 4000 {}", db1.v6))
        .unwrap();
}

#[test]
fn groups_decide_in_both_directions() {
    let world = World::new(2);
    let network = world.network(1);
    world.router(&[&network]);
    let out = || [Rule::any("egress", "IPv4"), Rule::any("egress", "IPv6")];
    let (out4, out6) = (Rule::any("egress", "IPv4"), Rule::any("egress", "IPv6"));
    let opened = [out4, out6, Rule::tcp("IPv4", 80), Rule::tcp("IPv6", 80)];
    let client = world.guest(
        "client",
        0,
        &network,
        PortOptions::new(11, &[world.group(&out())]),
    );
    let mute = world.guest(
        "mute",
        0,
        &network,
        PortOptions::new(12, &[world.group(&[])]),
    );
    let server = world.guest(
        "server",
        1,
        &network,
        PortOptions::new(13, &[world.group(&opened)]),
    );
    let _servers: Vec<_> = [&client, &server]
        .map(|g| g.vm.echo_tcp(80).unwrap())
        .into();
    let _closed = server.vm.echo_tcp(81).unwrap();
    for family in 0..2 {
        let try_tcp = |from: &Guest, to: &Guest, port, limit| {
            from.vm.tcp(to.services(port)[family], limit).unwrap()
        };
        assert_eq!(
            try_tcp(&client, &server, 80, PASS),
            Probe::Answered,
            "allowed"
        );
        assert_eq!(
            try_tcp(&client, &server, 81, SILENCE),
            Probe::Silent,
            "no rule lets it in"
        );
        assert_eq!(
            try_tcp(&mute, &server, 80, SILENCE),
            Probe::Silent,
            "no rule lets it out"
        );
        assert_eq!(
            try_tcp(&server, &client, 80, SILENCE),
            Probe::Silent,
            "nor back on its own"
        );
    }
}

#[test]
fn a_rule_that_goes_stops_its_connections_and_no_other() {
    let world = World::new(2);
    let network = world.network(1);
    world.router(&[&network]);
    let rules = [
        Rule::tcp("IPv4", 80),
        Rule::tcp("IPv6", 80),
        Rule::tcp("IPv4", 81),
    ];
    let group = world.group(&rules);
    let everything = world.group(&[Rule::any("egress", "IPv4"), Rule::any("egress", "IPv6")]);
    let client = world.guest("client", 0, &network, PortOptions::new(11, &[everything]));
    let server = world.guest(
        "server",
        1,
        &network,
        PortOptions::new(12, &[group, everything]),
    );
    let _servers = [80, 81].map(|port| server.vm.echo_tcp(port).unwrap());
    let stopped = server.services(80).map(|to| client.vm.stream(to).unwrap());
    let kept = client.vm.stream(server.services(81)[0]).unwrap();
    for stream in stopped.iter().chain([&kept]) {
        stream.goes_on(10, PASS).unwrap();
    }
    for rule in &rules[..2] {
        world.remove_rule(rule);
    }
    for stream in &stopped {
        stream
            .stops(Duration::from_millis(500), Duration::from_secs(3))
            .unwrap();
    }
    kept.goes_on(10, PASS).unwrap();
    // the rule returns, and so do its connections: they were stopped, not broken
    for rule in [Rule::tcp("IPv4", 80), Rule::tcp("IPv6", 80)] {
        world.add_rule(group, &rule);
    }
    for stream in &stopped {
        stream.goes_on(10, Duration::from_secs(15)).unwrap();
    }
}

#[test]
fn the_feed_follows_the_tap() {
    let world = World::new(1);
    let network = world.network(1);
    let guest = world.plug("web1", 0, &network, PortOptions::new(11, &[]));
    world.wait_status(guest.vm.port(), "ACTIVE");
    guest.vm.unplug().unwrap();
    world.wait_status(guest.vm.port(), "DOWN");
    guest.vm.plug().unwrap();
    world.wait_status(guest.vm.port(), "ACTIVE");
}

#[test]
fn a_tap_may_come_before_its_port() {
    let world = World::new(1);
    let network = world.network(1);
    world.router(&[&network]);
    let guest = world.plug("web1", 0, &network, PortOptions::new(11, &[]));
    world.wait_status(guest.vm.port(), "ACTIVE");
    let path = format!("/neutron/ports/{}", guest.vm.port());
    let port = world.api.get(&path).unwrap();
    world.api.delete(&path).unwrap();
    world.settle();
    world.api.post("/neutron/ports", &port).unwrap();
    world.wait_status(guest.vm.port(), "ACTIVE");
    guest.configure();
}
