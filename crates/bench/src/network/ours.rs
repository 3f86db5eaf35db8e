//! The same VMs on our network: a cluster, an agent on each host, and a topology made through the
//! API that Neutron's driver uses, with default security groups on every port.

use super::pair::{CLIENT, FAR_SERVER, MTU, Pair, Place, SERVER, plug, route};
use crate::error::BenchError;
use lab::{Agent, Auth, Cluster, Host, Http, Lab, Vm};
use serde_json::{Value, json};
use uuid::Uuid;

/// The routers' address on each subnet.
const GATEWAY: u8 = 1;
/// A server beside the client on the same host.
const NEAR_SERVER: Place = Place {
    subnet: 0,
    number: 13,
};
const PROJECT: &str = "bench";

/// Two hosts with agents, two networks, a router, four VMs.
pub struct Ours {
    client: Vm,
    near: Vm,
    across: Vm,
    routed: Vm,
    _agents: [Agent; 2],
    cluster: Cluster,
}

impl Ours {
    /// Starts the programs, makes the topology and plugs the VMs.
    pub fn new(lab: &mut Lab) -> Result<Self, BenchError> {
        let cluster = lab.start_cluster(Auth::Static)?;
        let hosts = [lab.add_host("o1")?, lab.add_host("o2")?];
        let agents = [hosts[0].start_agent()?, hosts[1].start_agent()?];
        let topology = Topology::create(cluster.http())?;
        let [one, two] = &hosts;
        let made = Self {
            client: topology.vm(one, "oc", CLIENT)?,
            near: topology.vm(one, "on", NEAR_SERVER)?,
            across: topology.vm(two, "oa", SERVER)?,
            routed: topology.vm(two, "or", FAR_SERVER)?,
            _agents: agents,
            cluster,
        };
        for (vm, subnet) in [(&made.client, 0), (&made.routed, 1)] {
            route(
                vm,
                Place {
                    subnet,
                    number: GATEWAY,
                },
            )?;
        }
        Ok(made)
    }

    /// The client of every pair.
    pub fn client(&self) -> &Vm {
        &self.client
    }

    /// The server of [`Self::across`].
    pub fn server(&self) -> &Vm {
        &self.across
    }

    /// The cluster, as Neutron's driver sees it.
    pub fn http(&self) -> Http {
        self.cluster.http()
    }

    /// Both VMs on one host and one network.
    pub fn local(&self) -> Result<Pair, BenchError> {
        Pair::new(&self.client, &self.near, NEAR_SERVER)
    }

    /// Two hosts, one network.
    pub fn across(&self) -> Result<Pair, BenchError> {
        Pair::new(&self.client, &self.across, SERVER)
    }

    /// Two hosts, two networks, the router between.
    pub fn routed(&self) -> Result<Pair, BenchError> {
        Pair::new(&self.client, &self.routed, FAR_SERVER)
    }
}

/// What Neutron would have told the cluster.
struct Topology {
    http: Http,
    group: Uuid,
    networks: [Network; 2],
}

struct Network {
    id: Uuid,
    v4: Uuid,
    v6: Uuid,
}

impl Topology {
    fn create(http: Http) -> Result<Self, BenchError> {
        let group = Uuid::new_v4();
        post(&http, "security_groups", default_group(group))?;
        let networks = [network(&http, 0)?, network(&http, 1)?];
        let router = Uuid::new_v4();
        post(
            &http,
            "routers",
            json!({"id": router, "name": "bench", "admin_state_up": true}),
        )?;
        let made = Self {
            http,
            group,
            networks,
        };
        for subnet in [0, 1] {
            made.interface(
                router,
                Place {
                    subnet,
                    number: GATEWAY,
                },
            )?;
        }
        Ok(made)
    }

    fn interface(&self, router: Uuid, place: Place) -> Result<(), BenchError> {
        let port = self.port(place, "network:router_interface", &router.to_string());
        post(&self.http, "ports", port).map(drop)
    }

    fn vm(&self, host: &Host, name: &str, place: Place) -> Result<Vm, BenchError> {
        let mut port = self.port(place, "compute:nova", name);
        port["binding:host_id"] = json!(host.name());
        port["port_security_enabled"] = json!(true);
        port["security_groups"] = json!([self.group]);
        let id = post(&self.http, "ports", port)?;
        plug(host, name, id, place)
    }

    fn port(&self, place: Place, owner: &str, device: &str) -> Value {
        let network = &self.networks[usize::from(place.subnet)];
        json!({
            "id": Uuid::new_v4(),
            "name": "",
            "network_id": network.id,
            "admin_state_up": true,
            "mac_address": place.mac(),
            "fixed_ips": [
                {"subnet_id": network.v4, "ip_address": place.v4()},
                {"subnet_id": network.v6, "ip_address": place.v6()},
            ],
            "device_owner": owner,
            "device_id": device,
            "security_groups": [],
            "port_security_enabled": false,
        })
    }
}

/// Creates a resource; its id.
fn post(http: &Http, collection: &str, mut body: Value) -> Result<Uuid, BenchError> {
    body["tenant_id"] = json!(PROJECT);
    body["revision_number"] = json!(1);
    http.post(&format!("/neutron/{collection}"), &body)?;
    let id = body["id"].as_str().and_then(|id| id.parse().ok());
    Ok(id.expect("every body here has an id"))
}

fn network(http: &Http, number: u8) -> Result<Network, BenchError> {
    let body = json!({
        "id": Uuid::new_v4(), "name": format!("bench{number}"), "admin_state_up": true,
        "mtu": MTU, "shared": false, "router:external": false,
        "provider:network_type": "midonet",
    });
    let id = post(http, "networks", body)?;
    let gateway = Place {
        subnet: number,
        number: GATEWAY,
    };
    let subnet = |version: u8, cidr: String, gateway: String| {
        let body = json!({
            "id": Uuid::new_v4(), "name": "", "network_id": id, "ip_version": version,
            "cidr": cidr, "gateway_ip": gateway, "enable_dhcp": false, "dns_nameservers": [],
            "host_routes": [], "allocation_pools": [], "shared": false,
        });
        post(http, "subnets", body)
    };
    let v4 = subnet(4, format!("10.77.{number}.0/24"), gateway.v4().to_string())?;
    let v6 = subnet(6, format!("fd77:{number}::/64"), gateway.v6().to_string())?;
    Ok(Network { id, v4, v6 })
}

/// Neutron's default group: everything out, in from members of the group.
fn default_group(id: Uuid) -> Value {
    let rule = |direction: &str, family: &str, remote: Option<Uuid>| {
        json!({
            "id": Uuid::new_v4(), "security_group_id": id, "direction": direction,
            "ethertype": family, "protocol": null, "port_range_min": null,
            "port_range_max": null, "remote_ip_prefix": null, "remote_group_id": remote,
            "tenant_id": PROJECT, "revision_number": 1,
        })
    };
    let rules = [
        rule("egress", "IPv4", None),
        rule("egress", "IPv6", None),
        rule("ingress", "IPv4", Some(id)),
        rule("ingress", "IPv6", Some(id)),
    ];
    json!({
        "id": id, "name": "default", "description": "", "stateful": true,
        "security_group_rules": rules,
    })
}
