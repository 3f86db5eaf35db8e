//! A world with a real Neutron: everything is asked for through its API, as a tenant would.

use crate::{Guest, SOON};
use lab::{Agent, Cluster, Host, Http, Lab, OpenStack, Plug, within};
use serde_json::{Value, json};
use std::{net::IpAddr, time::Duration};
use uuid::Uuid;

/// How long a change may take from Neutron's answer to the hosts.
const SETTLED: Duration = Duration::from_secs(30);

/// A Neutron with the plugin, a cluster and hosts with agents. The fields are dropped in this
/// order: programs before their lab.
#[derive(Debug)]
pub struct Cloud {
    /// The agents, in the order of the hosts.
    pub agents: Vec<Agent>,
    /// The cluster.
    pub cluster: Cluster,
    /// Neutron, as the administrator.
    pub neutron: Http,
    /// Keystone, Neutron and their database.
    pub openstack: OpenStack,
    /// The hosts: `h1`, `h2` and so on.
    pub hosts: Vec<Host>,
    /// The lab.
    pub lab: Lab,
}

impl Cloud {
    /// A Neutron, a cluster and so many hosts. It takes half a minute: one is enough for a program
    /// of tests.
    pub fn new(hosts: usize) -> Self {
        let mut lab = Lab::new().expect("a lab can be made");
        let openstack = OpenStack::prepare(&lab);
        let cluster = lab
            .start_cluster(openstack.auth())
            .expect("the cluster starts");
        let hosts: Vec<Host> = (1..=hosts)
            .map(|n| lab.add_host(&format!("h{n}")).expect("a host is made"))
            .collect();
        let agents = hosts
            .iter()
            .map(|h| h.start_agent().expect("the agent starts"))
            .collect();
        openstack.start(&cluster.url()).expect("OpenStack starts");
        Self {
            agents,
            cluster,
            neutron: openstack.neutron().expect("Keystone gives a token"),
            openstack,
            hosts,
            lab,
        }
    }

    /// Makes a resource: `create("network", json!({"name": "a"}))`. Answers with the resource.
    pub fn create(&self, kind: &str, body: Value) -> Value {
        let path = collection(kind);
        let answer = self.neutron.post(&path, &json!({ member(kind): body }));
        answer.expect("Neutron makes it")[member(kind)].clone()
    }

    /// Changes a resource. Answers with the resource.
    pub fn update(&self, kind: &str, id: &str, body: Value) -> Value {
        let path = format!("{}/{id}", collection(kind));
        let answer = self.neutron.put(&path, &json!({ member(kind): body }));
        answer.expect("Neutron changes it")[member(kind)].clone()
    }

    /// Removes a resource.
    pub fn delete(&self, kind: &str, id: &str) {
        let path = format!("{}/{id}", collection(kind));
        self.neutron.delete(&path).expect("Neutron removes it");
    }

    /// A resource as Neutron shows it.
    pub fn show(&self, kind: &str, id: &str) -> Value {
        let path = format!("{}/{id}", collection(kind));
        self.neutron.get(&path).expect("Neutron shows it")[member(kind)].clone()
    }

    /// Asks for something that Neutron must refuse; answers with the HTTP status and the body.
    pub fn refused(&self, method: &'static str, path: &str, body: &Value) -> (u16, Value) {
        let reply = self.neutron.send(method, path, Some(body));
        let reply = reply.expect("Neutron answers");
        assert!(reply.status >= 400, "accepted: {}", reply.body);
        (reply.status, reply.body)
    }

    /// A network with a subnet of each family, `10.{n}.0.0/24` and `fd10:{n}::/64` by SLAAC, its
    /// MTU left to Neutron.
    pub fn network(&self, name: &str, n: u8) -> CloudNetwork {
        let id = text(&self.create("network", json!({"name": name})), "id");
        let v4 = json!({
            "network_id": id, "ip_version": 4, "cidr": format!("10.{n}.0.0/24"),
        });
        let v6 = json!({
            "network_id": id, "ip_version": 6, "cidr": format!("fd10:{n}::/64"),
            "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac",
        });
        let [v4, v6] = [v4, v6].map(|body| text(&self.create("subnet", body), "id"));
        CloudNetwork { id, v4, v6 }
    }

    /// A router with interfaces on all subnets of these networks. Answers with its id.
    pub fn router(&self, name: &str, networks: &[&CloudNetwork]) -> String {
        let id = text(&self.create("router", json!({"name": name})), "id");
        for subnet in networks.iter().flat_map(|n| [&n.v4, &n.v6]) {
            self.add_interface(&id, json!({"subnet_id": subnet}));
        }
        id
    }

    /// `openstack router add subnet`, or `add port`, by what the body names.
    pub fn add_interface(&self, router: &str, body: Value) -> Value {
        let path = format!("/v2.0/routers/{router}/add_router_interface");
        self.neutron
            .put(&path, &body)
            .expect("Neutron adds the interface")
    }

    /// `openstack router remove subnet`, or `remove port`, by what the body names.
    pub fn remove_interface(&self, router: &str, body: Value) {
        let path = format!("/v2.0/routers/{router}/remove_router_interface");
        let answer = self.neutron.put(&path, &body);
        answer.expect("Neutron removes the interface");
    }

    /// A port for a VM on a host, with whatever else the body says. Answers with the port.
    pub fn port(&self, host: usize, network: &CloudNetwork, body: Value) -> Value {
        let mut wanted = json!({
            "network_id": network.id,
            "device_owner": "compute:nova",
            "device_id": Uuid::new_v4().to_string(),
            "binding:host_id": self.hosts[host].name(),
        });
        let more = body.as_object().into_iter().flatten();
        for (key, value) in more {
            wanted[key] = value.clone();
        }
        self.create("port", wanted)
    }

    /// A VM with a new port; it has its addresses when this returns.
    pub fn guest(&self, name: &str, host: usize, network: &CloudNetwork, body: Value) -> Guest {
        let guest = self.plug(name, host, &self.port(host, network, body));
        guest.configure();
        guest
    }

    /// A VM at a port with an address of each family, before it has asked for them.
    pub fn plug(&self, name: &str, host: usize, port: &Value) -> Guest {
        let plug = Plug {
            port: text(port, "id").parse().expect("a port has an id"),
            mac: text(port, "mac_address"),
        };
        let addresses = port["fixed_ips"].as_array().cloned().unwrap_or_default();
        let addresses: Vec<IpAddr> = addresses
            .iter()
            .filter_map(|a| a["ip_address"].as_str()?.parse().ok())
            .collect();
        let v4 = addresses.iter().find_map(|ip| match ip {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        });
        let v6 = addresses.iter().find_map(|ip| match ip {
            IpAddr::V6(ip) => Some(*ip),
            IpAddr::V4(_) => None,
        });
        Guest {
            vm: self.hosts[host].plug(name, plug).expect("a VM is made"),
            v4: v4.expect("the port has an IPv4 address"),
            v6: v6.expect("the port has an IPv6 address"),
        }
    }

    /// A security group without any rule. Answers with its id.
    pub fn bare_group(&self, name: &str) -> String {
        let group = self.create("security-group", json!({"name": name}));
        let rules = group["security_group_rules"].as_array();
        for rule in rules.into_iter().flatten() {
            self.delete("security-group-rule", &text(rule, "id"));
        }
        text(&group, "id")
    }

    /// Adds a rule to a group. Answers with its id.
    pub fn rule(&self, group: &str, body: Value) -> String {
        let mut wanted = body;
        wanted["security_group_id"] = json!(group);
        text(&self.create("security-group-rule", wanted), "id")
    }

    /// Waits until a resource has a status.
    pub fn wait_status(&self, kind: &str, id: &str, status: &str) {
        within(&format!("{kind} {id} to be {status}"), SETTLED, || {
            match self.show(kind, id)["status"].as_str() {
                Some(seen) if seen == status => Ok(()),
                seen => Err(format!("{seen:?}")),
            }
        })
        .expect("it reaches its status");
    }

    /// Waits until what Neutron has said so far is in force on every host: the cluster and Neutron
    /// agree, and the agents have followed.
    pub fn settle(&self) {
        let line = format!("neutron audit --wait {}", SETTLED.as_secs());
        let audit = self.openstack.midonet(&self.cluster, &line);
        audit.expect("Neutron and the cluster agree");
        let follow = || {
            let status = self.openstack.midonet(&self.cluster, "status --json");
            let status: Value = serde_json::from_str(&status.map_err(|e| e.to_string())?)
                .map_err(|e| e.to_string())?;
            let hosts = status["hosts"].as_array().cloned().unwrap_or_default();
            let late = |h: &&Value| h["revision"].as_u64() < h["revision_wanted"].as_u64();
            match hosts.iter().find(late) {
                None => Ok(()),
                Some(host) => Err(host.to_string()),
            }
        };
        within("agents to follow", SOON, follow).expect("the agents follow");
    }

    /// What an agent's local API says at a path.
    pub fn local(&self, host: usize, path: &str) -> Vec<Value> {
        let agent = client::Agent::at(self.agents[host].socket());
        agent.read(path).expect("the agent answers")
    }

    /// Frames dropped at a host for a reason so far.
    pub fn drops(&self, host: usize, reason: &str) -> u64 {
        let drops = self.local(host, "/drops");
        let of_reason = drops.iter().filter(|d| d["reason"] == reason);
        of_reason.filter_map(|d| d["packets"].as_u64()).sum()
    }
}

/// A network with a subnet of each family, by their ids.
#[derive(Clone, Debug)]
pub struct CloudNetwork {
    /// The network.
    pub id: String,
    /// Its IPv4 subnet.
    pub v4: String,
    /// Its IPv6 subnet.
    pub v6: String,
}

/// A string of a resource.
pub fn text(resource: &Value, field: &str) -> String {
    let text = resource[field].as_str();
    text.unwrap_or_else(|| panic!("no {field} in {resource}"))
        .to_owned()
}

/// Where resources of a kind are: `security-group` at `/v2.0/security-groups`; a kind may have its
/// parent before it, `qos/policy`, `qos/policies/ID/bandwidth_limit_rule`.
fn collection(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) => format!("/v2.0/{stem}ies"),
        None => format!("/v2.0/{kind}s"),
    }
}

/// What the body calls a resource of a kind.
fn member(kind: &str) -> String {
    let last = kind.rsplit('/').next().unwrap_or(kind);
    last.replace('-', "_")
}
