//! `router-interface-fip`: floating IPs on a network that a router has an ordinary interface on.

use crate::world::{PASS, World, public_network, seen};
use e2e::text;
use serde_json::json;
use std::net::IpAddr;

/// The steps of the API test `test_router_interface_fip`, and packets.
pub fn router_interface_fip(world: &World) {
    let cloud = &world.cloud;
    let partner = public_network(cloud, "partner", "192.0.2", "2001:db8:200::");
    cloud.add_interface(&world.tenant, json!({"subnet_id": partner.v4}));
    let before = cloud.show("router", &world.tenant)["revision_number"].as_u64();
    let body = json!({"floating_network_id": partner.id});
    let made = cloud.create("floatingip", body);
    let (fip, address) = (text(&made, "id"), text(&made, "floating_ip_address"));
    let address: IpAddr = address.parse().unwrap();
    world.associate(&fip, &world.web);
    let shown = cloud.show("floatingip", &fip);
    assert_eq!(shown["router_id"], world.tenant.as_str());

    // a VM on that network, and the translation of what goes there
    let body = json!({"security_groups": [world.open], "fixed_ips": [{"subnet_id": partner.v4}]});
    let port = cloud.port(0, &partner, body);
    let client = partner_vm(world, &port);
    client.ping_until(address, PASS).unwrap();
    let own: IpAddr = text(&port["fixed_ips"][0], "ip_address").parse().unwrap();
    assert_eq!(seen(client.netns(), world.web.vm.netns(), address), own);
    assert_eq!(seen(world.web.vm.netns(), client.netns(), own), address);

    let path = format!("/v2.0/routers/{}/remove_router_interface", world.tenant);
    for (subnet, error) in [
        (&partner.v4, "RouterInterfaceInUseAsGatewayByFloatingIP"),
        (&world.front.v4, "RouterInterfaceInUseByFloatingIP"),
    ] {
        let (status, body) = cloud.refused("PUT", &path, &json!({"subnet_id": subnet}));
        assert_eq!(
            (status, &body["NeutronError"]["type"]),
            (409, &json!(error))
        );
    }
    world.disassociate(&fip);
    cloud.remove_interface(&world.tenant, json!({"subnet_id": partner.v4}));
    cloud.delete("floatingip", &fip);
    let after = cloud.show("router", &world.tenant)["revision_number"].as_u64();
    assert!(after > before, "{before:?} {after:?}");
}

/// A VM on a network without DHCP.
fn partner_vm(world: &World, port: &serde_json::Value) -> lab::Vm {
    let plug = lab::Plug {
        port: text(port, "id").parse().unwrap(),
        mac: text(port, "mac_address"),
    };
    let vm = world.cloud.hosts[0].plug("partner", plug).unwrap();
    let address = text(&port["fixed_ips"][0], "ip_address");
    vm.add_address(&format!("{address}/24")).unwrap();
    let port = vm.port().to_string();
    world.cloud.wait_status("port", &port, "ACTIVE");
    vm
}
