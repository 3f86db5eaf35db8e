//! A cloud of many tenants: what a host sees of it.

use super::*;
use crate::{
    Address, Bridge, FloatingIp, FloatingIpId, Gateway, Host, HostId, Lease, Link, Object,
    PolicyId, PortId, Router, RouterId, SubnetId, Versioned,
};
use std::net::IpAddr;
use uuid::Uuid;
use wire::Mac;

/// Tenants: each has a router on the external network and a network with [`VMS`] ports.
const TENANTS: u128 = 200;
const VMS: u128 = 10;
/// Hosts: tenant `n` has its ports on `h<n>`; the last host is the gateway.
const GATEWAY: &str = "gw";
/// The external network and the uplink's.
const EXTERNAL: BridgeId = BridgeId(Uuid::from_u128(1));
const UPLINK: BridgeId = BridgeId(Uuid::from_u128(2));
/// The edge router.
const EDGE: RouterId = RouterId(Uuid::from_u128(3));

fn id(kind: u128, tenant: u128, n: u128) -> Uuid {
    Uuid::from_u128(kind << 64 | tenant << 32 | n)
}

fn network(tenant: u128) -> BridgeId {
    BridgeId(id(10, tenant, 0))
}

fn router(tenant: u128) -> RouterId {
    RouterId(id(11, tenant, 0))
}

fn gateway(tenant: u128) -> PortId {
    PortId(id(12, tenant, 0))
}

fn vm(tenant: u128, n: u128) -> PortId {
    PortId(id(13, tenant, n))
}

fn put(all: &mut Snapshot, object: Object) {
    let revision = 1;
    all.apply(Change::Put(Versioned { revision, object }));
}

fn bridge(all: &mut Snapshot, id: BridgeId) {
    let bridge = Bridge {
        id,
        name: String::new(),
        admin_up: true,
        mtu: 1450,
        flood_key: 1,
    };
    put(all, Object::Bridge(bridge));
}

fn port(all: &mut Snapshot, id: PortId, bridge: BridgeId, link: Link, outside: bool, ip: &str) {
    let subnet = SubnetId(bridge.0);
    let address = |ip: IpAddr| Address { ip, subnet };
    let port = Port {
        id,
        name: String::new(),
        bridge: Some(bridge),
        admin_up: true,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        outside,
        addresses: ip
            .split_whitespace()
            .map(|ip| address(ip.parse().unwrap()))
            .collect(),
        link,
        key: 1,
        security: None,
        policy: None,
        instance: None,
        dhcp_options: vec![],
    };
    put(all, Object::Port(port));
}

fn at(host: &str) -> Link {
    Link::Host {
        host: host.to_owned(),
        interface: None,
        trunk: None,
        vlan: None,
    }
}

fn make_router(all: &mut Snapshot, id: RouterId, gateway: Option<Gateway>) {
    let router = Router {
        id,
        name: String::new(),
        admin_up: true,
        routes: vec![],
        key: 1,
        gateway,
    };
    put(all, Object::Router(router));
}

/// A floating IP on the first VM of a tenant.
fn floating_ip(all: &mut Snapshot, tenant: u128, policy: Option<PolicyId>) -> FloatingIpId {
    let id = FloatingIpId(id(14, tenant, 0));
    let fip = FloatingIp {
        id,
        address: "203.0.113.9".parse().unwrap(),
        bridge: EXTERNAL,
        router: router(tenant),
        port: vm(tenant, 0),
        fixed: "10.0.0.2".parse().unwrap(),
        forwarded: None,
        policy,
    };
    put(all, Object::FloatingIp(fip));
    id
}

/// The cloud, whose tenants have these addresses at their gateways and inside.
fn cloud(snat: bool, outside: &str, inside: &str) -> Snapshot {
    let mut all = Snapshot::default();
    let tenants = (0..TENANTS).map(|t| format!("h{t}"));
    for (n, name) in tenants.chain([GATEWAY.to_owned()]).enumerate() {
        let host = Host {
            id: HostId(Uuid::from_u128(n as u128)),
            name,
            tunnel: "192.0.2.1".parse().unwrap(),
            draining: false,
        };
        put(&mut all, Object::Host(host));
    }
    bridge(&mut all, EXTERNAL);
    bridge(&mut all, UPLINK);
    make_router(&mut all, EDGE, None);
    let edge = |n| PortId(id(15, 0, n));
    let to_edge = || Link::Router(EDGE);
    port(
        &mut all,
        edge(0),
        EXTERNAL,
        to_edge(),
        false,
        "203.0.113.1 2001:db8::1",
    );
    port(&mut all, edge(1), UPLINK, to_edge(), true, "192.0.2.1");
    port(&mut all, edge(2), UPLINK, at(GATEWAY), true, "");
    for tenant in 0..TENANTS {
        bridge(&mut all, network(tenant));
        let port_id = gateway(tenant);
        make_router(
            &mut all,
            router(tenant),
            Some(Gateway {
                port: port_id,
                snat,
            }),
        );
        let link = || Link::Router(router(tenant));
        port(&mut all, port_id, EXTERNAL, link(), true, outside);
        let interface = PortId(id(16, tenant, 0));
        port(&mut all, interface, network(tenant), link(), false, inside);
        for n in 0..VMS {
            let host = at(&format!("h{tenant}"));
            port(
                &mut all,
                vm(tenant, n),
                network(tenant),
                host,
                false,
                "10.0.0.2",
            );
        }
    }
    all
}

fn sent(all: &Snapshot, host: &str) -> BTreeSet<ObjectId> {
    let changes = View::default().advance(all, host).into_iter();
    changes
        .map(|change| match change {
            Change::Put(versioned) => versioned.object.id(),
            Change::Delete(id) => panic!("{id} is deleted from an empty view"),
        })
        .collect()
}

/// How many of these objects are bridges, routers, and ports.
fn counts(ids: &BTreeSet<ObjectId>) -> [usize; 3] {
    let count = |is: fn(&ObjectId) -> bool| ids.iter().filter(|id| is(id)).count();
    [
        count(|id| matches!(id, ObjectId::Bridge(_))),
        count(|id| matches!(id, ObjectId::Router(_))),
        count(|id| matches!(id, ObjectId::Port(_))),
    ]
}

const ROUTERS: usize = TENANTS as usize + 1;
const OWN_PORTS: usize = VMS as usize + 1;
/// On the external network and the uplink.
const OUTSIDE_PORTS: usize = TENANTS as usize + 3;
const EVERYTHING: [usize; 3] = [
    TENANTS as usize + 2,
    ROUTERS,
    OUTSIDE_PORTS + TENANTS as usize * OWN_PORTS,
];

#[test]
fn an_external_network_does_not_make_a_host_s_view_the_whole_cloud() {
    let all = cloud(true, "203.0.113.5", "10.0.0.1");
    let tenant = sent(&all, "h7");
    assert_eq!(counts(&tenant), [3, ROUTERS, OUTSIDE_PORTS + OWN_PORTS]);
    assert_eq!(
        networks_of_host(&all, "h7"),
        BTreeSet::from([EXTERNAL, UPLINK, network(7)])
    );
    // a gateway knows no tenant's network
    let gateway = sent(&all, GATEWAY);
    assert_eq!(counts(&gateway), [2, ROUTERS, OUTSIDE_PORTS]);
}

#[test]
fn a_router_seen_from_outside_has_its_floating_ips_their_ports_and_its_leases() {
    let mut all = cloud(true, "203.0.113.5", "10.0.0.1");
    let fip = floating_ip(&mut all, 9, None);
    let lease = Lease {
        id: Lease::id_of(router(9), "h9"),
        router: router(9),
        host: "h9".to_owned(),
        blocks: BTreeSet::from([4]),
    };
    put(&mut all, Object::Lease(lease.clone()));
    for host in ["h7", "h9", GATEWAY] {
        let ids = sent(&all, host);
        for id in [
            ObjectId::FloatingIp(fip),
            ObjectId::Port(vm(9, 0)),
            ObjectId::Lease(lease.id),
        ] {
            assert!(ids.contains(&id), "{host} lacks {id}");
        }
        assert_eq!(
            ids.contains(&ObjectId::Port(vm(9, 1))),
            host == "h9",
            "{host}"
        );
    }
}

#[test]
fn what_is_routed_without_translation_is_seen() {
    // source addresses are left as they are, or there is IPv6 on both sides of the router
    let six = ["203.0.113.5 2001:db8::5", "10.0.0.1 fd00::1"];
    for all in [
        cloud(false, "203.0.113.5", "10.0.0.1"),
        cloud(true, six[0], six[1]),
    ] {
        assert_eq!(counts(&sent(&all, "h7")), EVERYTHING);
        assert_eq!(counts(&sent(&all, GATEWAY)), EVERYTHING);
    }
    let hidden = [
        cloud(true, six[0], "10.0.0.1"),
        cloud(true, "203.0.113.5", six[1]),
    ];
    for all in hidden {
        assert_eq!(counts(&sent(&all, GATEWAY)), [2, ROUTERS, OUTSIDE_PORTS]);
    }
}

#[test]
fn a_floating_ip_s_policy_is_for_the_host_of_its_port() {
    let mut all = cloud(true, "203.0.113.5", "10.0.0.1");
    let policy = crate::Policy {
        id: PolicyId(Uuid::from_u128(77)),
        name: String::new(),
        ingress: crate::Limits::default(),
        egress: crate::Limits::default(),
        dscp: None,
    };
    let id = policy.id;
    put(&mut all, Object::Policy(policy));
    floating_ip(&mut all, 9, Some(id));
    for host in ["h7", "h9", GATEWAY] {
        let ids = sent(&all, host);
        assert_eq!(ids.contains(&ObjectId::Policy(id)), host == "h9", "{host}");
    }
}

#[test]
fn hosts_hear_of_stations_that_they_may_send_to() {
    let all = cloud(true, "203.0.113.5", "10.0.0.1");
    assert_eq!(hosts_of_network(&all, network(7)), BTreeSet::from(["h7"]));
    let everybody: BTreeSet<&str> = all.hosts().map(|h| h.name.as_str()).collect();
    for bridge in [EXTERNAL, UPLINK] {
        assert_eq!(hosts_of_network(&all, bridge), everybody);
    }
    // a gateway, which knows no more than its part, says the same of its uplink
    let mut part = Snapshot::default();
    for change in View::default().advance(&all, GATEWAY) {
        part.apply(change);
    }
    assert_eq!(hosts_of_network(&part, UPLINK), everybody);
    let routed = cloud(false, "203.0.113.5", "10.0.0.1");
    assert_eq!(hosts_of_network(&routed, network(7)), everybody);
}
