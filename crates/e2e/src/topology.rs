//! Networks, routers, groups and ports, in the words of the REST API.

use crate::World;
use lab::Http;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr};
use uuid::Uuid;

/// The project everything belongs to, unless the test says otherwise.
const PROJECT: &str = "11111111111111111111111111111111";

/// A network with one subnet of each family.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its id.
    pub id: Uuid,
    /// Its IPv4 subnet, `10.<number>.0.0/24`.
    pub subnet4: Uuid,
    /// Its IPv6 subnet, `fd10:<number>::/64`.
    pub subnet6: Uuid,
    number: u8,
}

/// A port as it was made.
pub(crate) struct Port {
    pub(crate) id: Uuid,
    pub(crate) mac: String,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

/// What is particular about a port.
#[derive(Clone, Debug, Default)]
pub struct PortOptions {
    /// Last byte of its address and MAC; must be its own on its network.
    pub number: u8,
    /// Its security groups.
    pub groups: Vec<Uuid>,
    /// Port security switched off.
    pub trusted: bool,
    /// Allowed address pairs: a prefix, and a MAC if not the port's own.
    pub pairs: Vec<(String, Option<String>)>,
}

impl PortOptions {
    /// A port in groups.
    pub fn new(number: u8, groups: &[Uuid]) -> Self {
        Self {
            number,
            groups: groups.to_vec(),
            trusted: false,
            pairs: Vec::new(),
        }
    }
}

/// A security group rule that allows.
#[derive(Clone, Debug)]
pub struct Rule {
    id: Uuid,
    body: Value,
}

impl Rule {
    /// Everything of a family in a direction.
    pub fn any(direction: &str, ethertype: &str) -> Self {
        Self {
            id: Uuid::new_v4(),
            body: json!({"direction": direction, "ethertype": ethertype}),
        }
    }

    /// One TCP port, of one family, inwards.
    pub fn tcp(ethertype: &str, port: u16) -> Self {
        let mut rule = Self::any("ingress", ethertype);
        rule.body["protocol"] = json!("tcp");
        rule.body["port_range_min"] = json!(port);
        rule.body["port_range_max"] = json!(port);
        rule
    }

    /// Pings and what belongs to them, of one family, inwards.
    pub fn icmp(ethertype: &str) -> Self {
        let mut rule = Self::any("ingress", ethertype);
        let name = if ethertype == "IPv4" {
            "icmp"
        } else {
            "ipv6-icmp"
        };
        rule.body["protocol"] = json!(name);
        rule
    }

    /// From members of a group only.
    pub fn from(mut self, group: Uuid) -> Self {
        self.body["remote_group_id"] = json!(group);
        self
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }
}

impl Network {
    /// The gateway of its IPv4 subnet.
    pub fn gateway4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, 0, 1)
    }

    /// The gateway of its IPv6 subnet.
    pub fn gateway6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd10, u16::from(self.number), 0, 0, 0, 0, 0, 1)
    }

    /// The MAC of its router's interface on the IPv4 subnet.
    pub fn gateway_mac(&self) -> wire::Mac {
        wire::Mac(self.mac(1))
    }

    fn mac(&self, number: u8) -> [u8; 6] {
        [0xfa, 0x16, 0x3e, 0, self.number, number]
    }
}

impl World {
    /// Makes a network with subnets `10.<number>.0.0/24` and `fd10:<number>::/64`.
    pub fn network(&self, number: u8) -> Network {
        let network = Network {
            id: Uuid::new_v4(),
            subnet4: Uuid::new_v4(),
            subnet6: Uuid::new_v4(),
            number,
        };
        let body = json!({
            "id": network.id, "name": format!("net{number}"), "admin_state_up": true,
            "mtu": 1450, "provider:network_type": "midonet",
        });
        create(&self.api, "networks", body);
        let v4 = json!({
            "id": network.subnet4, "network_id": network.id, "ip_version": 4,
            "cidr": format!("10.{number}.0.0/24"), "gateway_ip": network.gateway4(),
            "enable_dhcp": true, "dns_nameservers": ["192.0.2.53"], "host_routes": [],
        });
        create(&self.api, "subnets", v4);
        let v6 = json!({
            "id": network.subnet6, "network_id": network.id, "ip_version": 6,
            "cidr": format!("fd10:{number:x}::/64"), "gateway_ip": network.gateway6(),
            "enable_dhcp": true, "dns_nameservers": [], "host_routes": [],
            "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac",
        });
        create(&self.api, "subnets", v6);
        network
    }

    /// Makes a router with an interface on each subnet of the networks.
    pub fn router(&self, networks: &[&Network]) -> Uuid {
        let id = Uuid::new_v4();
        create(
            &self.api,
            "routers",
            json!({"id": id, "name": "edge", "admin_state_up": true}),
        );
        for network in networks {
            let ends = [
                (network.subnet4, network.gateway4().to_string(), 1),
                (network.subnet6, network.gateway6().to_string(), 2),
            ];
            for (subnet, ip, number) in ends {
                let body = json!({
                    "id": Uuid::new_v4(), "network_id": network.id, "admin_state_up": true,
                    "mac_address": text(network.mac(number)), "device_id": id,
                    "device_owner": "network:router_interface",
                    "fixed_ips": [{"ip_address": ip, "subnet_id": subnet}],
                });
                create(&self.api, "ports", body);
            }
        }
        id
    }

    /// Makes a security group with rules.
    pub fn group(&self, rules: &[Rule]) -> Uuid {
        let id = Uuid::new_v4();
        let body = json!({"id": id, "name": "group", "security_group_rules": []});
        create(&self.api, "security_groups", body);
        for rule in rules {
            self.add_rule(id, rule);
        }
        id
    }

    /// A group as Neutron makes the default one: everything out, everything in from its members.
    pub fn default_group(&self) -> Uuid {
        let id = self.group(&[Rule::any("egress", "IPv4"), Rule::any("egress", "IPv6")]);
        for family in ["IPv4", "IPv6"] {
            self.add_rule(id, &Rule::any("ingress", family).from(id));
        }
        id
    }

    /// Adds a rule to a group.
    pub fn add_rule(&self, group: Uuid, rule: &Rule) {
        let mut body = rule.body.clone();
        body["id"] = json!(rule.id);
        body["security_group_id"] = json!(group);
        create(&self.api, "security_group_rules", body);
    }

    /// Removes a rule.
    pub fn remove_rule(&self, rule: &Rule) {
        let path = format!("/neutron/security_group_rules/{}", rule.id);
        self.api.delete(&path).expect("a rule is deleted");
    }

    pub(crate) fn port(
        &self,
        name: &str,
        host: &str,
        network: &Network,
        options: PortOptions,
    ) -> Port {
        assert!(options.number > 9, "low numbers are those of routers");
        let mac = network.mac(options.number);
        let port = Port {
            id: Uuid::new_v4(),
            mac: text(mac),
            v4: Ipv4Addr::new(10, network.number, 0, options.number),
            v6: eui64(network.gateway6(), mac),
        };
        let pair = |(net, mac): &(String, Option<String>)| json!({"ip_address": net, "mac_address": mac.as_ref().unwrap_or(&port.mac)});
        let pairs: Vec<Value> = options.pairs.iter().map(pair).collect();
        let body = json!({
            "id": port.id, "name": name, "network_id": network.id, "admin_state_up": true,
            "allowed_address_pairs": pairs,
            "mac_address": port.mac, "device_owner": "compute:nova", "device_id": Uuid::new_v4(),
            "binding:host_id": host, "port_security_enabled": !options.trusted,
            "security_groups": options.groups,
            "fixed_ips": [
                {"ip_address": port.v4, "subnet_id": network.subnet4},
                {"ip_address": port.v6, "subnet_id": network.subnet6},
            ],
        });
        create(&self.api, "ports", body);
        port
    }
}

fn create(api: &Http, collection: &str, mut body: Value) {
    body["tenant_id"] = json!(PROJECT);
    body["revision_number"] = json!(1);
    api.post(&format!("/neutron/{collection}"), &body)
        .expect("the cluster accepts it");
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The address that a host makes of a prefix and its MAC (RFC 4291, appendix A).
fn eui64(prefix: Ipv6Addr, mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let low = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    let high = prefix.to_bits() >> 64 << 64;
    Ipv6Addr::from_bits(high | u128::from(low))
}
