//! The same VMs on our network: a cluster, an agent on each host, and a topology made through the
//! API that Neutron's driver uses, with default security groups on every port.

use super::pair::{CLIENT, FAR_SERVER, MTU, Pair, Place, SERVER, plug, route};
use crate::{
    error::BenchError,
    topology::{Network, group, network, port, post},
};
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

impl Topology {
    fn create(http: Http) -> Result<Self, BenchError> {
        let group = group(&http, false)?;
        let networks = [tenant_network(&http, 0)?, tenant_network(&http, 1)?];
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
        let addresses = [place.v4().into(), place.v6().into()];
        port(network, &place.mac(), addresses, owner, device)
    }
}

fn tenant_network(http: &Http, number: u8) -> Result<Network, BenchError> {
    let gateway = Place {
        subnet: number,
        number: GATEWAY,
    };
    network(
        http,
        &format!("bench{number}"),
        json!({"mtu": MTU}),
        [
            (format!("10.77.{number}.0/24"), gateway.v4().into()),
            (format!("fd77:{number}::/64"), gateway.v6().into()),
        ],
    )
}
