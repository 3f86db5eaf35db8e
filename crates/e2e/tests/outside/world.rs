//! The cloud with its way out.
//!
//! ```text
//!   front 10.1.0.0/24 ── tenant ── public 198.51.100.0/24 ── edge ─┬─ uplink1 (h1) ─┬─ upstream
//!   near (h1)                      2001:db8:100::/64               └─ uplink2 (h2) ─┘     │
//!   web, plain (h3)                                                                    outside
//! ```

use e2e::{Cloud, CloudNetwork, Guest, text};
use lab::{Netns, OUTSIDE, Uplink, Upstream};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

/// How long what must pass may take.
pub const PASS: Duration = Duration::from_secs(10);
/// How long nothing must come of what must not pass.
pub const SILENCE: Duration = Duration::from_secs(1);
/// What the upstream router sends here.
const PREFIXES: [&str; 4] = [
    "198.51.100.0/24",
    "2001:db8:100::/64",
    "fd10:1::/64",
    "10.3.0.0/24",
];

/// Everything, programs before their lab.
pub struct World {
    /// On the second host.
    pub web: Guest,
    /// Beside it, never with a floating IP.
    pub plain: Guest,
    /// On the first gateway.
    pub near: Guest,
    /// The router with the uplinks, and its routes so far.
    pub edge: String,
    pub routes: Vec<Value>,
    /// The router of `front`.
    pub tenant: String,
    pub front: CloudNetwork,
    pub public: CloudNetwork,
    /// Lets in everything.
    pub open: String,
    pub uplinks: Vec<Uplink>,
    pub upstream: Upstream,
    pub cloud: Cloud,
}

impl World {
    pub fn new() -> Self {
        let cloud = Cloud::new(3);
        let mut upstream = cloud.lab.add_upstream("up", &PREFIXES).unwrap();
        let uplinks: Vec<Uplink> = cloud.hosts[..2]
            .iter()
            .map(|host| upstream.add_link(host).unwrap())
            .collect();
        let open = open_group(&cloud);
        let public = public_network(&cloud, "public", "198.51.100", "2001:db8:100::");
        let edge = cloud.router("edge", &[&public]);
        let mut routes = Vec::new();
        for (host, uplink) in uplinks.iter().enumerate() {
            add_uplink(&cloud, &edge, host, uplink);
            routes.extend(default_routes(uplink));
        }
        let front = cloud.network("front", 1);
        let tenant = cloud.router("tenant", &[&front]);
        let [_, v6] = gateway(&cloud, &tenant, &public, true);
        routes.push(json!({"destination": "fd10:1::/64", "nexthop": v6}));
        cloud.update("router", &edge, json!({"routes": routes}));
        let guest = |name: &str, host: usize| {
            cloud.guest(name, host, &front, json!({"security_groups": [open]}))
        };
        Self {
            web: guest("web", 2),
            plain: guest("plain", 2),
            near: guest("near", 0),
            edge,
            routes,
            tenant,
            front,
            public,
            open,
            uplinks,
            upstream,
            cloud,
        }
    }

    /// The host behind the upstream router.
    pub fn outside(&self) -> &Netns {
        self.upstream.outside()
    }

    /// Addresses of a router on the external network, IPv4 first.
    pub fn external(&self, router: &str) -> [IpAddr; 2] {
        external(&self.cloud.show("router", router))
    }

    /// Makes a floating IP that leads nowhere yet. Answers with its id and its address.
    pub fn floating_ip(&self, more: Value) -> (String, IpAddr) {
        let mut body = json!({"floating_network_id": self.public.id});
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let made = self.cloud.create("floatingip", body);
        let address = text(&made, "floating_ip_address").parse().unwrap();
        (text(&made, "id"), address)
    }

    /// Lets a floating IP lead to a VM.
    pub fn associate(&self, fip: &str, guest: &Guest) {
        let port = guest.vm.port().to_string();
        let body = json!({"port_id": port, "fixed_ip_address": guest.v4});
        self.cloud.update("floatingip", fip, body);
        self.cloud.wait_status("floatingip", fip, "ACTIVE");
        self.cloud.settle();
    }

    /// Lets it lead nowhere.
    pub fn disassociate(&self, fip: &str) {
        self.cloud
            .update("floatingip", fip, json!({"port_id": null}));
        self.cloud.wait_status("floatingip", fip, "DOWN");
        self.cloud.settle();
    }
}

/// A network with routers' gateways on it: a subnet of each family, without DHCP.
pub fn public_network(cloud: &Cloud, name: &str, v4: &str, v6: &str) -> CloudNetwork {
    let body = json!({"name": name, "router:external": true});
    let id = text(&cloud.create("network", body), "id");
    let v4 = json!({
        "network_id": id, "ip_version": 4, "cidr": format!("{v4}.0/24"), "enable_dhcp": false,
    });
    let v6 = json!({
        "network_id": id, "ip_version": 6, "cidr": format!("{v6}/64"), "enable_dhcp": false,
    });
    let [v4, v6] = [v4, v6].map(|body| text(&cloud.create("subnet", body), "id"));
    CloudNetwork { id, v4, v6 }
}

/// Gives a router its gateway. Answers with its addresses there, IPv4 first.
pub fn gateway(
    cloud: &Cloud,
    router: &str,
    public: &CloudNetwork,
    enable_snat: bool,
) -> [IpAddr; 2] {
    let info = json!({"network_id": public.id, "enable_snat": enable_snat});
    external(&cloud.update("router", router, json!({"external_gateway_info": info})))
}

fn external(router: &Value) -> [IpAddr; 2] {
    let fixed = router["external_gateway_info"]["external_fixed_ips"].as_array();
    let addresses = fixed.into_iter().flatten();
    let mut addresses: Vec<IpAddr> = addresses
        .map(|a| text(a, "ip_address").parse().unwrap())
        .collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.try_into().unwrap()
}

/// A port on a new network of type `uplink`, as an operator makes it. Answers with the port.
pub fn uplink_port(cloud: &Cloud, host: usize, uplink: &Uplink) -> Value {
    let body = json!({"name": uplink.interface(), "provider:network_type": "uplink"});
    let network = text(&cloud.create("network", body), "id");
    let ends = uplink
        .addresses()
        .into_iter()
        .zip(uplink.upstream_addresses());
    let fixed: Vec<Value> = ends
        .zip(uplink.subnets())
        .map(|((own, upstream), cidr)| {
            let body = json!({
                "network_id": network, "cidr": cidr, "enable_dhcp": false,
                "ip_version": if own.is_ipv4() { 4 } else { 6 }, "gateway_ip": upstream,
            });
            let subnet = text(&cloud.create("subnet", body), "id");
            json!({"subnet_id": subnet, "ip_address": own})
        })
        .collect();
    let mut profile = json!({"interface_name": uplink.interface()});
    if let Some(vlan) = uplink.vlan() {
        profile["vlan"] = json!(vlan);
    }
    let body = json!({
        "network_id": network, "fixed_ips": fixed, "binding:profile": profile,
        "binding:host_id": cloud.hosts[host].name(),
    });
    cloud.create("port", body)
}

/// The same as an interface of the edge router. Answers with the port's id.
pub fn add_uplink(cloud: &Cloud, edge: &str, host: usize, uplink: &Uplink) -> String {
    let port = text(&uplink_port(cloud, host, uplink), "id");
    cloud.add_interface(edge, json!({"port_id": port}));
    port
}

/// Default routes by a link.
pub fn default_routes(uplink: &Uplink) -> [Value; 2] {
    uplink.upstream_addresses().map(|next_hop| {
        let any = if next_hop.is_ipv4() {
            "0.0.0.0/0"
        } else {
            "::/0"
        };
        json!({"destination": any, "nexthop": next_hop})
    })
}

/// A security group that lets in everything.
fn open_group(cloud: &Cloud) -> String {
    let group = text(
        &cloud.create("security-group", json!({"name": "open"})),
        "id",
    );
    for family in ["IPv4", "IPv6"] {
        cloud.rule(&group, json!({"direction": "ingress", "ethertype": family}));
    }
    group
}

/// The address that a server in a namespace sees a connection come from.
pub fn seen(from: &Netns, server: &Netns, to: IpAddr) -> IpAddr {
    let listen = || TcpListener::bind(("::", 0));
    let listener = server.enter(listen).unwrap().unwrap();
    let at = SocketAddr::new(to, listener.local_addr().unwrap().port());
    let connect = || TcpStream::connect_timeout(&at, PASS);
    let connection = from.enter(connect).unwrap();
    connection.unwrap_or_else(|e| panic!("{} to {at}: {e}", from.name()));
    let (_, peer) = listener.accept().unwrap();
    peer.ip().to_canonical()
}

/// Both families of the outside host, IPv4 first, for a service there.
pub fn services(port: u16) -> [SocketAddr; 2] {
    OUTSIDE.map(|ip| SocketAddr::new(ip, port))
}
