//! The way out: an external network, an edge router with an uplink on each gateway, a gateway for the
//! tenant's router, and a floating IP.

use super::tenant::{Network, Port, Tenant, tell, text};
use crate::{Host, LabError, Uplink};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};

/// The external network, IPv4 first.
const EXTERNAL: [&str; 2] = ["198.51.100.0/24", "2001:db8:100::/64"];
/// Covers the tenant's IPv6 networks, which are routed.
const ROUTED: &str = "fd10:10::/32";
/// What the upstream router sends to the gateways.
pub(super) const PREFIXES: [&str; 3] = [EXTERNAL[0], EXTERNAL[1], ROUTED];

impl Tenant {
    /// Makes the external network and the edge router, and gives the tenant's router its gateway.
    pub(super) fn way_out(
        &self,
        router: &str,
        uplinks: &[(&Host, &Uplink)],
    ) -> Result<(), LabError> {
        let public = self.public()?;
        let edge = self.router("edge", &[&public])?;
        let mut routes = Vec::new();
        for (host, uplink) in uplinks {
            self.uplink(&edge, host, uplink)?;
            routes.extend(uplink.upstream_addresses().map(default_route));
        }
        tell("router set --external-gateway public tenant");
        let info = json!({"external_gateway_info": {"network_id": public.id}});
        let path = format!("/v2.0/routers/{router}");
        let answer = self.neutron.put(&path, &json!({"router": info}))?;
        let fixed = &answer["router"]["external_gateway_info"]["external_fixed_ips"];
        let fixed = fixed.as_array().into_iter().flatten();
        let v6 = fixed
            .filter_map(|f| f["ip_address"].as_str())
            .find(|ip| ip.contains(':'));
        routes.push(json!({"destination": ROUTED, "nexthop": v6}));
        for route in &routes {
            let of = |field: &str| route[field].as_str().unwrap_or_default();
            let (to, by) = (of("destination"), of("nexthop"));
            tell(&format!(
                "router set --route destination={to},gateway={by} edge"
            ));
        }
        let path = format!("/v2.0/routers/{edge}");
        let body = json!({"router": {"routes": routes}});
        self.neutron.put(&path, &body).map(drop)
    }

    /// A floating IP that leads to a port.
    pub(super) fn floating_ip(&self, port: &Port) -> Result<Ipv4Addr, LabError> {
        tell(&format!("floating ip create --port {} public", port.name));
        let networks = self.neutron.get("/v2.0/networks?name=public")?;
        let network = text(&networks, "/networks/0/id")?;
        let body = json!({"floating_network_id": network, "port_id": port.plug.port});
        let answer = self
            .neutron
            .post("/v2.0/floatingips", &json!({"floatingip": body}))?;
        let address = text(&answer, "/floatingip/floating_ip_address")?;
        address.parse().map_err(|_| LabError::Unexpected {
            what: "floating IP".to_owned(),
            detail: address,
        })
    }

    fn public(&self) -> Result<Network, LabError> {
        let name = "public";
        tell(&format!("network create --external {name}"));
        let body = json!({"name": name, "router:external": true});
        let id = self.create("network", body)?;
        let subnet = |version: u8, cidr: &str| {
            tell(&format!(
                "subnet create --network {name} --ip-version {version} --no-dhcp \
                 --subnet-range {cidr} {name}-v{version}"
            ));
            let body = json!({
                "network_id": id, "name": format!("{name}-v{version}"), "ip_version": version,
                "cidr": cidr, "enable_dhcp": false,
            });
            self.create("subnet", body)
        };
        let subnets = [subnet(4, EXTERNAL[0])?, subnet(6, EXTERNAL[1])?];
        Ok(Network {
            name: name.to_owned(),
            id,
            subnets,
        })
    }

    /// A network of type `uplink` with one port: the host's interface, as one of the edge router.
    fn uplink(&self, edge: &str, host: &Host, uplink: &Uplink) -> Result<(), LabError> {
        let (name, host) = (uplink.interface(), host.name());
        tell(&format!(
            "network create --provider-network-type uplink {name}"
        ));
        let body = json!({"name": name, "provider:network_type": "uplink"});
        let network = self.create("network", body)?;
        let mut fixed = Vec::new();
        for (cidr, address) in uplink.subnets().into_iter().zip(uplink.addresses()) {
            let version = if address.is_ipv4() { 4 } else { 6 };
            tell(&format!(
                "subnet create --network {name} --ip-version {version} --no-dhcp \
                 --subnet-range {cidr} {name}-v{version}"
            ));
            let body = json!({
                "network_id": network, "name": format!("{name}-v{version}"), "cidr": cidr,
                "ip_version": version, "enable_dhcp": false, "gateway_ip": null,
            });
            let subnet = self.create("subnet", body)?;
            fixed.push(json!({"subnet_id": subnet, "ip_address": address}));
        }
        let [v4, v6] = uplink.addresses();
        tell(&format!(
            "port create --network {name} --host {host} --binding-profile interface_name={name} \
             --fixed-ip ip-address={v4} --fixed-ip ip-address={v6} {name}"
        ));
        let body = json!({
            "name": name, "network_id": network, "fixed_ips": fixed, "binding:host_id": host,
            "binding:profile": {"interface_name": name},
        });
        let port = self.create("port", body)?;
        tell(&format!("router add port edge {name}"));
        let path = format!("/v2.0/routers/{edge}/add_router_interface");
        self.neutron.put(&path, &json!({"port_id": port})).map(drop)
    }
}

fn default_route(next_hop: IpAddr) -> Value {
    let any = if next_hop.is_ipv4() {
        "0.0.0.0/0"
    } else {
        "::/0"
    };
    json!({"destination": any, "nexthop": next_hop})
}
