//! Cluster, hosts and VMs of one test.

use crate::{Network, PortOptions};
use lab::{Agent, Auth, Cluster, Host, Http, Lab, LabError, Plug, Vm, within};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use uuid::Uuid;

/// How long what must happen may take.
pub const SOON: Duration = Duration::from_secs(10);

/// Everything of one test. The fields are dropped in this order: programs before their lab.
#[derive(Debug)]
pub struct World {
    /// The agents, in the order of the hosts.
    pub agents: Vec<Agent>,
    /// The cluster.
    pub cluster: Cluster,
    /// Its REST API.
    pub api: Http,
    /// The hosts: `h1`, `h2` and so on.
    pub hosts: Vec<Host>,
    /// The lab.
    pub lab: Lab,
}

/// A VM with the addresses of its port.
#[derive(Debug)]
pub struct Guest {
    /// The VM.
    pub vm: Vm,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

impl World {
    /// A cluster and so many hosts with agents.
    pub fn new(hosts: usize) -> Self {
        let mut lab = Lab::new().expect("a lab can be made");
        let cluster = lab.start_cluster(Auth::Static).expect("the cluster starts");
        let hosts: Vec<Host> = (1..=hosts)
            .map(|n| lab.add_host(&format!("h{n}")).expect("a host is made"))
            .collect();
        let agents = hosts
            .iter()
            .map(|h| h.start_agent().expect("the agent starts"))
            .collect();
        Self {
            agents,
            api: cluster.http(),
            cluster,
            hosts,
            lab,
        }
    }

    /// A VM on a host, with a port of its own; it has its addresses when this returns.
    pub fn guest(&self, name: &str, host: usize, network: &Network, options: PortOptions) -> Guest {
        let guest = self.plug(name, host, network, options);
        guest.configure();
        guest
    }

    /// The same, before it has asked for its addresses.
    pub fn plug(&self, name: &str, host: usize, network: &Network, options: PortOptions) -> Guest {
        let host = &self.hosts[host];
        let port = self.port(name, host.name(), network, options);
        let plug = Plug {
            port: port.id,
            mac: port.mac,
        };
        Guest {
            vm: host.plug(name, plug).expect("a VM is made"),
            v4: port.v4,
            v6: port.v6,
        }
    }

    /// Status of each port as the feed for Neutron tells it; it has none to tell while agents come
    /// back after a start of the cluster.
    pub fn statuses(&self) -> Result<BTreeMap<Uuid, String>, LabError> {
        let feed = self.api.get("/neutron/port_statuses")?;
        let ports = feed["ports"].as_array().into_iter().flatten();
        Ok(ports.map(status).collect())
    }

    /// Waits until the feed shows a port so.
    pub fn wait_status(&self, port: Uuid, status: &str) {
        within(&format!("{status} of port {port}"), SOON, || {
            let statuses = self.statuses().map_err(|e| e.to_string())?;
            match statuses.get(&port) {
                Some(seen) if seen == status => Ok(()),
                seen => Err(format!("{seen:?}")),
            }
        })
        .expect("the port reaches its status");
    }

    /// Frames dropped at a host for a reason so far.
    pub fn drops(&self, host: usize, reason: &str) -> u64 {
        let drops: Vec<Value> = self.local(host, "/drops");
        let of_reason = drops.iter().filter(|d| d["reason"] == reason);
        of_reason.filter_map(|d| d["packets"].as_u64()).sum()
    }

    /// What an agent's local API says at a path.
    pub fn local(&self, host: usize, path: &str) -> Vec<Value> {
        let agent = client::Agent::at(self.agents[host].socket());
        agent.read(path).expect("the agent answers")
    }

    /// Waits until every agent has applied the cluster's last change.
    pub fn settle(&self) {
        within("agents to follow", SOON, || {
            let status = self.api.get("/status").map_err(|e| e.to_string())?;
            let hosts = status["hosts"].as_array().cloned().unwrap_or_default();
            let late: Vec<String> = hosts
                .iter()
                .filter(|h| h["revision"].as_u64() < h["revision_wanted"].as_u64())
                .map(Value::to_string)
                .collect();
            if late.is_empty() {
                Ok(())
            } else {
                Err(late.join("\n"))
            }
        })
        .expect("the agents follow");
    }
}

impl Guest {
    /// Gets the addresses as an image would, and checks that they are those of the port.
    pub fn configure(&self) {
        let lease = self.vm.dhcp().expect("DHCP answers");
        assert_eq!(
            lease.address,
            self.v4,
            "{} got another port's address",
            self.vm.name()
        );
        let v6 = self.vm.slaac().expect("a router advertisement comes");
        assert_eq!(v6, self.v6, "{} made another address", self.vm.name());
    }

    /// Both addresses, IPv4 first.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }

    /// A service on it, by either family.
    pub fn services(&self, port: u16) -> [SocketAddr; 2] {
        self.addresses().map(|ip| SocketAddr::new(ip, port))
    }
}

fn status(port: &Value) -> (Uuid, String) {
    let id = port["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .expect("a port has an id");
    (id, port["status"].as_str().unwrap_or_default().to_owned())
}
