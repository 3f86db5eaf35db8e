//! Our network with an outside: gateway hosts with an uplink each, an edge router on them, a
//! tenant's router behind it, and two VMs on a host that is no gateway. One VM has a floating IP,
//! the other has not.
//!
//! ```text
//!   floating ┐                                        ┌─ uplink1 (o1) ─┐
//!   plain ───┴─ tenant ── external network ── edge ───┴─ uplink2 (o2) ─┴─ upstream ── outside
//! ```

use crate::{
    error::BenchError,
    network::pair::{MTU, Place, plug, route},
    topology::{Network, group, network, port, post},
};
use lab::{Agent, Auth, Cluster, Host, Http, Lab, Netns, OUTSIDE, Uplink, Upstream, Vm};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};
use uuid::Uuid;

/// What the upstream router sends here: the external network, and the VMs' own IPv6 network.
pub const PREFIXES: [&str; 3] = ["198.51.100.0/24", "2001:db8:100::/64", "fd77:0::/64"];
/// The floating IP.
pub const FLOATING_IP: Ipv4Addr = external4(50);
/// The VM that has it.
pub const FLOATING: Place = Place {
    subnet: 0,
    number: 11,
};
/// The VM that has none.
pub const PLAIN: Place = Place {
    subnet: 0,
    number: 12,
};
/// The tenant's router on the VMs' network.
pub const GATEWAY: Place = Place {
    subnet: 0,
    number: 1,
};
/// MTU of the uplinks.
const UPLINK_MTU: u16 = 1500;
/// Last byte of the edge router's and of the tenant's router's addresses on the external network.
const EDGE: u8 = 1;
pub const TENANT: u8 = 2;
/// How long everything may take to be reached for the first time.
const REACHED: Duration = Duration::from_secs(30);

/// An IPv4 address on the external network.
pub const fn external4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, number)
}

/// Both addresses there.
fn external(number: u8) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, number.into());
    [external4(number).into(), v6.into()]
}

/// Everything that runs. The fields are dropped in this order: programs before their hosts.
pub struct Outside {
    /// The agents of the gateways, then that of the VMs' host.
    pub agents: Vec<Agent>,
    _cluster: Cluster,
    /// The VM with a floating IP.
    pub floating: Vm,
    /// The VM without one.
    pub plain: Vm,
    /// The gateways' links, in their order.
    pub uplinks: Vec<Uplink>,
    /// The gateways.
    pub gateways: Vec<Host>,
    /// The router outside.
    pub upstream: Upstream,
}

impl Outside {
    /// Starts the programs, makes the topology, and waits until every path has been used once.
    pub fn new(lab: &mut Lab, gateways: u8) -> Result<Self, BenchError> {
        let cluster = lab.start_cluster(Auth::Static)?;
        let mut upstream = lab.add_upstream("up", &PREFIXES)?;
        let gateways = (1..=gateways)
            .map(|n| lab.add_host(&format!("o{n}")))
            .collect::<Result<Vec<_>, _>>()?;
        let host = lab.add_host("vms")?;
        let uplinks = gateways
            .iter()
            .map(|gateway| upstream.add_link(gateway))
            .collect::<Result<Vec<_>, _>>()?;
        let agents = gateways
            .iter()
            .chain([&host])
            .map(Host::start_agent)
            .collect::<Result<Vec<_>, _>>()?;
        let topology = Topology::create(cluster.http(), &gateways, &uplinks)?;
        let floating = topology.vm(&host, "of", FLOATING, Some(FLOATING_IP))?;
        let plain = topology.vm(&host, "op", PLAIN, None)?;
        let made = Self {
            agents,
            _cluster: cluster,
            floating,
            plain,
            uplinks,
            gateways,
            upstream,
        };
        made.wait_reached()?;
        Ok(made)
    }

    /// The host outside.
    pub fn outside(&self) -> &Netns {
        self.upstream.outside()
    }

    fn wait_reached(&self) -> Result<(), BenchError> {
        self.upstream.wait_next_hops(self.uplinks.len())?;
        for outside in OUTSIDE {
            self.plain.ping_until(outside, REACHED)?;
        }
        for inside in [FLOATING_IP.into(), FLOATING.v6().into()] {
            self.outside().ping_until(inside, REACHED)?;
        }
        Ok(())
    }
}

/// What Neutron would have told the cluster.
struct Topology {
    http: Http,
    external: Network,
    private: Network,
    tenant: Uuid,
    group: Uuid,
}

impl Topology {
    fn create(http: Http, gateways: &[Host], uplinks: &[Uplink]) -> Result<Self, BenchError> {
        let [v4, v6] = external(EDGE);
        let prefixes = [PREFIXES[0], PREFIXES[1]].map(str::to_owned);
        let external = network(
            &http,
            "external",
            json!({"router:external": true, "mtu": MTU}),
            [(prefixes[0].clone(), v4), (prefixes[1].clone(), v6)],
        )?;
        let private = network(
            &http,
            "private",
            json!({"mtu": MTU}),
            [
                ("10.77.0.0/24".to_owned(), GATEWAY.v4().into()),
                (PREFIXES[2].to_owned(), GATEWAY.v6().into()),
            ],
        )?;
        edge_router(&http, &external, gateways, uplinks)?;
        let tenant = tenant_router(&http, &external, &private)?;
        Ok(Self {
            group: group(&http, true)?,
            http,
            external,
            private,
            tenant,
        })
    }

    fn vm(
        &self,
        host: &Host,
        name: &str,
        place: Place,
        floating: Option<Ipv4Addr>,
    ) -> Result<Vm, BenchError> {
        let addresses = [place.v4().into(), place.v6().into()];
        let mut body = port(&self.private, &place.mac(), addresses, "compute:nova", name);
        body["binding:host_id"] = json!(host.name());
        body["port_security_enabled"] = json!(true);
        body["security_groups"] = json!([self.group]);
        let id = post(&self.http, "ports", body)?;
        let vm = plug(host, name, id, place)?;
        route(&vm, GATEWAY)?;
        if let Some(address) = floating {
            let body = json!({
                "id": Uuid::new_v4(), "floating_network_id": self.external.id,
                "floating_ip_address": address, "router_id": self.tenant, "port_id": id,
                "fixed_ip_address": place.v4(),
            });
            post(&self.http, "floating_ips", body)?;
        }
        Ok(vm)
    }
}

/// The router with the uplinks: a default route by each, and the way to the tenant's IPv6 network.
fn edge_router(
    http: &Http,
    external: &Network,
    gateways: &[Host],
    uplinks: &[Uplink],
) -> Result<(), BenchError> {
    let mut routes =
        vec![json!({"destination": PREFIXES[2], "nexthop": self::external(TENANT)[1]})];
    for next_hop in uplinks.iter().flat_map(Uplink::upstream_addresses) {
        let any = if next_hop.is_ipv4() {
            "0.0.0.0/0"
        } else {
            "::/0"
        };
        routes.push(json!({"destination": any, "nexthop": next_hop}));
    }
    let id = Uuid::new_v4();
    let router = json!({"id": id, "name": "edge", "admin_state_up": true, "routes": routes});
    post(http, "routers", router)?;
    let interface = "network:router_interface";
    let device = id.to_string();
    let body = port(
        external,
        &mac(0, EDGE),
        self::external(EDGE),
        interface,
        &device,
    );
    post(http, "ports", body)?;
    for (n, (gateway, uplink)) in (1..).zip(gateways.iter().zip(uplinks)) {
        let [v4, v6] = uplink.subnets();
        let [next4, next6] = uplink.upstream_addresses();
        let network = network(
            http,
            &format!("uplink{n}"),
            json!({"provider:network_type": "uplink", "mtu": UPLINK_MTU}),
            [(v4, next4), (v6, next6)],
        )?;
        let mut body = port(
            &network,
            &mac(n, EDGE),
            uplink.addresses(),
            interface,
            &device,
        );
        body["binding:host_id"] = json!(gateway.name());
        body["binding:profile"] = json!({"interface_name": uplink.interface()});
        post(http, "ports", body)?;
    }
    Ok(())
}

/// The router of the VMs' network, with its gateway on the external network.
fn tenant_router(http: &Http, external: &Network, private: &Network) -> Result<Uuid, BenchError> {
    let id = Uuid::new_v4();
    let addresses = self::external(TENANT);
    let owner = "network:router_gateway";
    let gateway = port(external, &mac(0, TENANT), addresses, owner, &id.to_string());
    let router = |more: Value| {
        let mut body = json!({"id": id, "name": "tenant", "admin_state_up": true});
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        body
    };
    post(http, "routers", router(json!({})))?;
    let fixed = gateway["fixed_ips"].clone();
    let gateway = post(http, "ports", gateway)?;
    let mut with_gateway = router(json!({
        "gw_port_id": gateway, "routes": [],
        "external_gateway_info": {
            "network_id": external.id, "enable_snat": true, "external_fixed_ips": fixed,
        },
    }));
    with_gateway["tenant_id"] = json!("bench");
    with_gateway["revision_number"] = json!(2);
    http.put(&format!("/neutron/routers/{id}"), &with_gateway)?;
    let addresses = [GATEWAY.v4().into(), GATEWAY.v6().into()];
    let owner = "network:router_interface";
    let inside = port(private, &GATEWAY.mac(), addresses, owner, &id.to_string());
    post(http, "ports", inside)?;
    Ok(id)
}

fn mac(network: u8, number: u8) -> String {
    format!("fa:16:3e:64:{network:02x}:{number:02x}")
}
