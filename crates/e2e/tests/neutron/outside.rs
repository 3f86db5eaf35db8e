//! The outside as Neutron's API has it: what becomes of it in the cluster, and what is refused.

use e2e::{Cloud, CloudNetwork, text};
use serde_json::{Value, json};

/// A tenant's network behind a router, and an external network that an edge router has uplinks for.
struct Outside {
    public: String,
    public_v6: String,
    dmz: String,
    dmz_v4: String,
    router: String,
    uplink: String,
    uplink_port: String,
    vm: String,
}

pub fn the_outside_becomes_topology(cloud: &Cloud, inside: &CloudNetwork) {
    the_extensions_are_announced(cloud);
    let outside = make(cloud, inside);
    let [four, six, forwarding] = floating_ips(cloud, &outside);
    cloud.settle();
    let made = topology(cloud, "floating-ip");
    let of = |id: &str| made.iter().find(|o| o["object"]["floating_ip"]["id"] == id);
    for (id, forwarded) in [(&four, false), (&six, false), (&forwarding, true)] {
        let fip =
            &of(id).unwrap_or_else(|| panic!("{id} is not in {made:?}"))["object"]["floating_ip"];
        assert_eq!(fip["router"], outside.router.as_str());
        assert_eq!(fip["port"], outside.vm.as_str());
        assert_eq!(fip["forwarded"].is_object(), forwarded, "{fip}");
    }
    an_uplink_is_a_bridge_with_a_plug(cloud, &outside);
    what_cannot_be_is_refused(cloud, &outside);
    cloud.settle();
    delete(cloud, &outside, inside);
    cloud.settle();
    assert_eq!(topology(cloud, "floating-ip"), Vec::<Value>::new());
}

fn the_extensions_are_announced(cloud: &Cloud) {
    let known = cloud.neutron.get("/v2.0/extensions").unwrap();
    let known: Vec<&Value> = known["extensions"].as_array().unwrap().iter().collect();
    for alias in [
        "router-interface-fip",
        "fip64",
        "floating-ip-port-forwarding",
        "floating-ip-port-forwarding-port-ranges",
        "ext-gw-mode",
    ] {
        assert!(known.iter().any(|e| e["alias"] == alias), "no {alias}");
    }
}

fn make(cloud: &Cloud, inside: &CloudNetwork) -> Outside {
    let external = |name: &str| {
        let body = json!({"name": name, "router:external": true});
        text(&cloud.create("network", body), "id")
    };
    let subnet = |network: &str, cidr: &str| {
        let version = if cidr.contains(':') { 6 } else { 4 };
        let body = json!({"network_id": network, "ip_version": version, "cidr": cidr,
                          "enable_dhcp": false});
        text(&cloud.create("subnet", body), "id")
    };
    let (public, dmz) = (external("public"), external("dmz"));
    let public_v4 = subnet(&public, "203.0.113.0/24");
    let public_v6 = subnet(&public, "2001:db8:1::/64");
    let dmz_v4 = subnet(&dmz, "198.51.100.0/24");
    let router = cloud.router("tenant", &[inside]);
    cloud.add_interface(&router, json!({"subnet_id": dmz_v4}));
    let gateway = json!({"external_gateway_info": {"network_id": public, "enable_snat": true}});
    cloud.update("router", &router, gateway);

    let edge = text(&cloud.create("router", json!({"name": "edge"})), "id");
    for subnet in [&public_v4, &public_v6] {
        cloud.add_interface(&edge, json!({"subnet_id": subnet}));
    }
    let body = json!({"name": "uplink", "provider:network_type": "uplink"});
    let uplink = text(&cloud.create("network", body), "id");
    subnet(&uplink, "192.0.2.0/29");
    let uplink_port = text(&cloud.create("port", uplink_body(&uplink, "eth99")), "id");
    cloud.add_interface(&edge, json!({"port_id": uplink_port}));
    let routes = json!([{"destination": "0.0.0.0/0", "nexthop": "192.0.2.1"}]);
    cloud.update("router", &edge, json!({"routes": routes}));
    let vm = text(&cloud.port(1, inside, json!({})), "id");
    Outside {
        public,
        public_v6,
        dmz,
        dmz_v4,
        router,
        uplink,
        uplink_port,
        vm,
    }
}

fn uplink_body(network: &str, interface: &str) -> Value {
    json!({"network_id": network, "binding:host_id": "h1",
           "binding:profile": {"interface_name": interface, "vlan": "7"}})
}

/// One by the interface, one of IPv6, and a port forwarding.
fn floating_ips(cloud: &Cloud, outside: &Outside) -> [String; 3] {
    let make = |body: Value| cloud.create("floatingip", body);
    let forwarder = make(json!({"floating_network_id": outside.public}));
    assert_eq!(forwarder["status"], "DOWN");
    let forwarder = text(&forwarder, "id");
    let vm = cloud.show("port", &outside.vm);
    let fixed = vm["fixed_ips"].as_array().unwrap();
    let fixed = fixed.iter().filter_map(|ip| ip["ip_address"].as_str());
    let fixed = fixed.clone().find(|ip| !ip.contains(':')).unwrap();
    // a port has either forwardings or floating IPs: these come first
    let path = format!("floatingips/{forwarder}/port_forwarding");
    let forwarding = json!({"internal_port_id": outside.vm, "internal_ip_address": fixed,
        "protocol": "tcp", "internal_port_range": "8080:8089", "external_port_range": "80:89"});
    let forwarding = text(&cloud.create(&path, forwarding), "id");
    assert_eq!(cloud.show("floatingip", &forwarder)["status"], "ACTIVE");
    let four = make(json!({"floating_network_id": outside.dmz, "port_id": outside.vm}));
    assert_eq!(
        (&four["status"], &four["router_id"]),
        (&json!("ACTIVE"), &json!(outside.router))
    );
    let six = json!({"floating_network_id": outside.public, "subnet_id": outside.public_v6,
                     "port_id": outside.vm});
    let six = make(six);
    assert!(text(&six, "floating_ip_address").starts_with("2001:db8:1:"));
    assert_eq!(six["fixed_ip_address"], fixed);
    [text(&four, "id"), text(&six, "id"), forwarding]
}

/// Objects of a kind, as `midonet topology` shows them.
fn topology(cloud: &Cloud, kind: &str) -> Vec<Value> {
    let line = format!("topology show --kind {kind} --json");
    let listing = cloud.openstack.midonet(&cloud.cluster, &line).unwrap();
    let listing: Value = serde_json::from_str(&listing).unwrap();
    listing["objects"].as_array().unwrap().clone()
}

fn an_uplink_is_a_bridge_with_a_plug(cloud: &Cloud, outside: &Outside) {
    let bridges = topology(cloud, "bridge");
    let is = |id: &str| bridges.iter().any(|o| o["object"]["bridge"]["id"] == id);
    assert!(is(&outside.uplink_port) && !is(&outside.uplink));
    // there is no such interface, and nobody says that there is
    assert_eq!(cloud.show("port", &outside.uplink_port)["status"], "DOWN");
}

fn what_cannot_be_is_refused(cloud: &Cloud, outside: &Outside) {
    let kind = |(status, body): (u16, Value)| (status, text(&body["NeutronError"], "type"));
    let refused = |method, path: &str, body: Value| kind(cloud.refused(method, path, &body));
    let port = |body: Value| refused("POST", "/v2.0/ports", json!({"port": body}));
    let same = uplink_body(&outside.uplink, "eth99");
    assert_eq!(port(same), (409, "UplinkInUse".to_owned()));
    let vm = json!({"network_id": outside.uplink, "device_owner": "compute:nova"});
    assert_eq!(port(vm), (409, "UnsupportedPortDeviceOwner".to_owned()));
    let bare = json!({"network_id": outside.uplink});
    let bare = text(&cloud.create("port", bare), "id");
    let interface = format!("/v2.0/routers/{}/add_router_interface", outside.router);
    let added = refused("PUT", &interface, json!({"port_id": bare}));
    assert_eq!(added, (400, "InvalidInput".to_owned()));
    cloud.delete("port", &bare);
    let interface = format!("/v2.0/routers/{}/remove_router_interface", outside.router);
    let removed = refused("PUT", &interface, json!({"subnet_id": outside.dmz_v4}));
    let in_use = "RouterInterfaceInUseAsGatewayByFloatingIP";
    assert_eq!(removed, (409, in_use.to_owned()));
    let foreign = json!({"floatingip": {"floating_network_id": outside.public,
                         "floating_ip_address": "192.0.2.77"}});
    let foreign = refused("POST", "/v2.0/floatingips", foreign);
    assert_eq!(foreign, (400, "InvalidIpForNetwork".to_owned()));
}

/// The port takes the association of its floating IPs, and its forwardings, along.
fn delete(cloud: &Cloud, outside: &Outside, inside: &CloudNetwork) {
    cloud.delete("port", &outside.vm);
    let fips = cloud.neutron.get("/v2.0/floatingips").unwrap();
    for fip in fips["floatingips"].as_array().unwrap() {
        assert_eq!(
            (&fip["status"], &fip["port_id"]),
            (&json!("DOWN"), &Value::Null)
        );
        cloud.delete("floatingip", &text(fip, "id"));
    }
    for subnet in [&inside.v4, &inside.v6, &outside.dmz_v4] {
        cloud.remove_interface(&outside.router, json!({"subnet_id": subnet}));
    }
    cloud.delete("router", &outside.router);
}
