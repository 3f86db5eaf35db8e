//! What the demo asks of Neutron, with the `openstack` commands that would ask the same.

use crate::{Host, Http, LabError, Plug, Uplink};
use serde_json::{Value, json};
use uuid::Uuid;

/// The TCP port that the security group of `db1` opens.
pub(super) const SERVICE_PORT: u16 = 8080;

/// Neutron as an admin of one project.
pub(super) struct Tenant {
    pub(super) neutron: Http,
}

/// A Neutron port and where it is to be plugged.
pub(super) struct Port {
    pub(super) name: &'static str,
    pub(super) host: &'static str,
    pub(super) plug: Plug,
}

impl Tenant {
    pub(super) fn new(neutron: Http) -> Self {
        Self { neutron }
    }

    /// Makes networks, routers, the way out, a security group and ports.
    pub(super) fn build(&self, uplinks: &[(&Host, &Uplink)]) -> Result<Vec<Port>, LabError> {
        let front = self.network("front", "10.10.1.0/24", "fd10:10:1::/64")?;
        let back = self.network("back", "10.10.2.0/24", "fd10:10:2::/64")?;
        let router = self.router("tenant", &[&front, &back])?;
        self.way_out(&router, uplinks)?;
        let service = self.service_group("service")?;
        Ok(vec![
            self.port("web1", &front.id, "h1", None)?,
            self.port("web2", &front.id, "h1", None)?,
            self.port("web3", &front.id, "h2", None)?,
            self.port("db1", &back.id, "h2", Some(&service))?,
        ])
    }

    /// Neutron's status of a port.
    pub(super) fn port_status(&self, port: Uuid) -> Result<String, LabError> {
        let answer = self
            .neutron
            .get(&format!("/v2.0/ports/{port}?fields=status"))?;
        text(&answer, "/port/status")
    }

    fn network(&self, name: &str, v4: &str, v6: &str) -> Result<Network, LabError> {
        tell(&format!("network create {name}"));
        let id = self.create("network", json!({"name": name}))?;
        tell(&format!(
            "subnet create --network {name} --subnet-range {v4} {name}-v4"
        ));
        let v4 = self.create(
            "subnet",
            json!({"network_id": id, "name": format!("{name}-v4"), "ip_version": 4, "cidr": v4}),
        )?;
        tell(&format!(
            "subnet create --network {name} --ip-version 6 --ipv6-ra-mode slaac \
             --ipv6-address-mode slaac --subnet-range {v6} {name}-v6"
        ));
        let v6 = self.create(
            "subnet",
            json!({
                "network_id": id, "name": format!("{name}-v6"), "ip_version": 6, "cidr": v6,
                "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac",
            }),
        )?;
        Ok(Network {
            name: name.to_owned(),
            id,
            subnets: [v4, v6],
        })
    }

    pub(super) fn router(&self, name: &str, networks: &[&Network]) -> Result<String, LabError> {
        tell(&format!("router create {name}"));
        let id = self.create("router", json!({"name": name}))?;
        for network in networks {
            for (subnet, family) in network.subnets.iter().zip(["v4", "v6"]) {
                tell(&format!(
                    "router add subnet {name} {}-{family}",
                    network.name
                ));
                let path = format!("/v2.0/routers/{id}/add_router_interface");
                self.neutron.put(&path, &json!({"subnet_id": subnet}))?;
            }
        }
        Ok(id)
    }

    /// A group that lets in pings and one TCP port from anywhere.
    fn service_group(&self, name: &str) -> Result<String, LabError> {
        tell(&format!("security group create {name}"));
        let id = self.create("security_group", json!({"name": name}))?;
        for (family, icmp) in [("IPv4", "icmp"), ("IPv6", "ipv6-icmp")] {
            tell(&format!(
                "security group rule create --ethertype {family} --protocol tcp \
                 --dst-port {SERVICE_PORT} {name}"
            ));
            let rule = json!({
                "security_group_id": id, "direction": "ingress", "ethertype": family,
                "protocol": "tcp", "port_range_min": SERVICE_PORT, "port_range_max": SERVICE_PORT,
            });
            self.create("security_group_rule", rule)?;
            tell(&format!(
                "security group rule create --ethertype {family} --protocol {icmp} {name}"
            ));
            let rule = json!({
                "security_group_id": id, "direction": "ingress", "ethertype": family,
                "protocol": icmp,
            });
            self.create("security_group_rule", rule)?;
        }
        Ok(id)
    }

    fn port(
        &self,
        name: &'static str,
        network: &str,
        host: &'static str,
        group: Option<&str>,
    ) -> Result<Port, LabError> {
        let network_name = if name == "db1" { "back" } else { "front" };
        let option = group.map_or("", |_| " --security-group service");
        tell(&format!(
            "port create --network {network_name} --host {host}{option} {name}"
        ));
        let mut body = json!({
            "name": name, "network_id": network, "binding:host_id": host,
            "device_owner": "compute:nova",
        });
        if let Some(group) = group {
            body["security_groups"] = json!([group]);
        }
        let answer = self.neutron.post("/v2.0/ports", &json!({"port": body}))?;
        let port = text(&answer, "/port/id")?;
        let port = port.parse().map_err(|_| unexpected("port id", &answer))?;
        let mac = text(&answer, "/port/mac_address")?;
        Ok(Port {
            name,
            host,
            plug: Plug { port, mac },
        })
    }

    pub(super) fn create(&self, kind: &str, body: Value) -> Result<String, LabError> {
        let answer = self.neutron.post(
            &format!("/v2.0/{}s", kind.replace('_', "-")),
            &json!({ kind: body }),
        )?;
        text(&answer, &format!("/{kind}/id"))
    }
}

/// A network with its subnets, IPv4 first.
pub(super) struct Network {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) subnets: [String; 2],
}

pub(super) fn tell(command: &str) {
    println!("  openstack {command}");
}

pub(super) fn text(answer: &Value, pointer: &str) -> Result<String, LabError> {
    let value = answer.pointer(pointer).and_then(Value::as_str);
    value
        .map(str::to_owned)
        .ok_or_else(|| unexpected(pointer, answer))
}

fn unexpected(what: &str, answer: &Value) -> LabError {
    LabError::Unexpected {
        what: what.to_owned(),
        detail: answer.to_string(),
    }
}
