"""Floating IPs: by gateways and by interfaces, of both families, and when they are in the way."""

import pytest
from neutron_lib import exceptions
from neutron_lib.exceptions import l3 as l3_exceptions

from midonet.neutron import resource
from midonet.neutron.common import exceptions as ours

EXTERNAL = {"router:external": True}


@pytest.fixture
def public(make):
    """An external network with an IPv4 and an IPv6 subnet."""
    network = make.network(**EXTERNAL)
    make.subnet(network, "203.0.113.0/24", enable_dhcp=False)
    make.subnet(network, "2001:db8::/64", enable_dhcp=False)
    return network


@pytest.fixture
def inside(make):
    """A network of VMs."""
    network = make.network()
    return {**network, "subnet": make.subnet(network)}


@pytest.fixture
def vm(make, inside):
    return make.port(inside, device_owner="compute:nova")


@pytest.fixture
def router(make, inside):
    """A router of the network of VMs, without a gateway."""
    router = make.router()
    make.interface(router, subnet_id=inside["subnet"]["id"])
    return router


@pytest.fixture
def with_gateway(l3, context, router, public):
    """The router, with a gateway on the external network."""
    body = {"external_gateway_info": {"network_id": public["id"]}}
    return l3.update_router(context, router["id"], {"router": body})


@pytest.fixture
def dmz(make, router):
    """An external network of which the router has an interface."""
    network = make.network(**EXTERNAL)
    subnet = make.subnet(network, "198.51.100.0/24")
    make.interface(router, subnet_id=subnet["id"])
    return {**network, "subnet": subnet}


@pytest.fixture
def change(l3, context):
    """Updates a floating IP."""
    return lambda fip, **body: l3.update_floatingip(context, fip["id"], {"floatingip": body})


def test_the_extensions_are_announced(l3):
    from neutron.api import extensions

    aliases = extensions.PluginAwareExtensionManager.get_instance().extensions
    assert {"router-interface-fip", "fip64"} <= aliases.keys()


def test_a_floating_ip_has_the_address_and_router_of_the_gateway(make, public, with_gateway, vm):
    fip = make.floating_ip(public, port_id=vm["id"])
    assert fip["floating_ip_address"].startswith("203.0.113.")
    assert (fip["router_id"], fip["fixed_ip_address"]) == (
        with_gateway["id"],
        vm["fixed_ips"][0]["ip_address"],
    )


def test_a_network_of_an_interface_has_floating_ips(make, dmz, router, vm):
    fip = make.floating_ip(dmz, port_id=vm["id"])
    assert fip["router_id"] == router["id"]
    assert fip["floating_ip_address"].startswith("198.51.100.")


def test_a_network_that_no_router_reaches_has_none(make, public, router, vm):
    with pytest.raises(l3_exceptions.ExternalGatewayForFloatingIPNotFound):
        make.floating_ip(public, port_id=vm["id"])


def test_a_vm_on_the_floating_network_itself_is_not_behind_a_router(make, dmz):
    neighbour = make.port(dmz, device_owner="compute:nova")
    with pytest.raises(l3_exceptions.ExternalGatewayForFloatingIPNotFound):
        make.floating_ip(dmz, port_id=neighbour["id"])


def test_of_several_routers_the_subnet_s_gateway_is_taken(make, public, inside, router, vm, l3):
    second = make.gateway(public)
    port = make.port(inside)
    make.interface(second, port_id=port["id"])
    assert make.floating_ip(public, port_id=vm["id"])["router_id"] == second["id"]
    third = make.port(inside, device_owner="compute:nova")
    # the first has the subnet's gateway address, and now a gateway, too
    body = {"external_gateway_info": {"network_id": public["id"]}}
    l3.update_router(make._context, router["id"], {"router": body})
    assert make.floating_ip(public, port_id=third["id"])["router_id"] == router["id"]


def test_an_ipv6_floating_address_leads_to_an_ipv4_one(make, public, with_gateway, vm, core):
    subnets = core.get_subnets(make._context, {"network_id": [public["id"]]})
    (six,) = [s for s in subnets if s["ip_version"] == 6]
    fip = make.floating_ip(public, subnet_id=six["id"], port_id=vm["id"])
    assert fip["floating_ip_address"].startswith("2001:db8::")
    assert fip["fixed_ip_address"] == vm["fixed_ips"][0]["ip_address"]
    named = make.floating_ip(public, floating_ip_address="2001:db8::77")
    assert named["floating_ip_address"] == "2001:db8::77"
    assert resource.read("floating_ip", fip["id"])["floating_ip_address"].startswith("2001:db8::")


def test_an_external_network_may_have_ipv6_alone(make, inside, vm, router, l3):
    network = make.network(**EXTERNAL)
    with pytest.raises(exceptions.BadRequest):
        make.floating_ip(network)
    make.subnet(network, "2001:db8:6::/64", enable_dhcp=False)
    body = {"external_gateway_info": {"network_id": network["id"]}}
    l3.update_router(make._context, router["id"], {"router": body})
    fip = make.floating_ip(network, port_id=vm["id"])
    assert fip["floating_ip_address"].startswith("2001:db8:6::")


def test_what_cannot_lead_anywhere_is_refused(make, public, with_gateway, inside, core):
    six = make.subnet(inside, "fd00::/64", enable_dhcp=False)
    dual = make.port(inside, device_owner="compute:nova")
    address = next(ip["ip_address"] for ip in dual["fixed_ips"] if ":" in ip["ip_address"])
    only_six = make.port(inside, device_owner="compute:nova", fixed_ips=[{"subnet_id": six["id"]}])
    subnet_id = inside["subnet"]["id"]
    two = make.port(inside, device_owner="compute:nova", fixed_ips=[{"subnet_id": subnet_id}] * 2)
    # one IPv4 address beside an IPv6 one is no choice; two are
    assert ":" not in make.floating_ip(public, port_id=dual["id"])["fixed_ip_address"]
    for given in (
        {"port_id": dual["id"], "fixed_ip_address": address},
        {"port_id": only_six["id"]},
        {"port_id": two["id"]},
    ):
        with pytest.raises(exceptions.BadRequest):
            make.floating_ip(public, floating_ip_address="2001:db8::99", **given)


def test_an_address_outside_the_network_is_refused(make, public, core):
    subnets = core.get_subnets(make._context, {"network_id": [public["id"]]})
    (four,) = [s for s in subnets if s["ip_version"] == 4]
    with pytest.raises(exceptions.InvalidIpForNetwork):
        make.floating_ip(public, floating_ip_address="192.0.2.1")
    with pytest.raises(exceptions.InvalidIpForSubnet):
        make.floating_ip(public, subnet_id=four["id"], floating_ip_address="2001:db8::5")


def test_the_status_says_whether_it_leads_anywhere(make, public, with_gateway, vm, change, core):
    fip = make.floating_ip(public)
    assert fip["status"] == "DOWN"
    for port_id, status in ((vm["id"], "ACTIVE"), (None, "DOWN"), (vm["id"], "ACTIVE")):
        assert change(fip, port_id=port_id)["status"] == status
        assert resource.read("floating_ip", fip["id"])["status"] == status
    core.delete_port(make._context, vm["id"])
    left = resource.read("floating_ip", fip["id"])
    assert (left["status"], left["port_id"], left["router_id"]) == ("DOWN", None, None)


def test_a_deleted_port_s_floating_ip_is_journaled(make, public, with_gateway, vm, core, rows):
    fip = make.floating_ip(public, port_id=vm["id"])
    before = len(rows())
    core.delete_port(make._context, vm["id"])
    assert ("floating_ip", fip["id"], "update") in rows()[before:]


def test_floating_ips_keep_the_gateway_or_the_interface(
    make, public, with_gateway, dmz, vm, l3, change
):
    router, context = with_gateway, make._context
    no_gateway = {"router": {"external_gateway_info": {}}}
    by_gateway = make.floating_ip(public, port_id=vm["id"])
    with pytest.raises(l3_exceptions.RouterExternalGatewayInUseByFloatingIp):
        l3.update_router(context, router["id"], no_gateway)
    change(by_gateway, port_id=None)
    by_interface = make.floating_ip(dmz, port_id=vm["id"])
    # it does not need the gateway
    l3.update_router(context, router["id"], no_gateway)
    interface = {"subnet_id": dmz["subnet"]["id"]}
    with pytest.raises(ours.RouterInterfaceInUseAsGatewayByFloatingIP):
        l3.remove_router_interface(context, router["id"], interface)
    change(by_interface, port_id=None)
    l3.remove_router_interface(context, router["id"], interface)


def test_floating_ips_keep_the_interface_of_their_vm(make, dmz, router, inside, vm, l3):
    make.floating_ip(dmz, port_id=vm["id"])
    with pytest.raises(l3_exceptions.RouterInterfaceInUseByFloatingIP):
        l3.remove_router_interface(
            make._context, router["id"], {"subnet_id": inside["subnet"]["id"]}
        )


def test_an_interface_stays_when_floating_ips_of_another_subnet_need_it(make, dmz, router, vm, l3):
    make.subnet(dmz, "192.0.2.0/24", enable_dhcp=False)
    make.floating_ip(dmz, floating_ip_address="192.0.2.9", port_id=vm["id"])
    with pytest.raises(ours.RouterInterfaceInUseAsGatewayByFloatingIP):
        l3.remove_router_interface(make._context, router["id"], {"subnet_id": dmz["subnet"]["id"]})


def test_networks_of_other_types_have_neither_gateways_nor_floating_ips(make, core, router, l3):
    other = make.network(**EXTERNAL, **{"provider:network_type": "local"})
    subnet = make.subnet(other, "203.0.113.0/24")
    with pytest.raises(exceptions.BadRequest, match="Incompatible network"):
        make.gateway(other)
    with pytest.raises(exceptions.BadRequest, match="Incompatible network"):
        make.interface(router, subnet_id=subnet["id"])
    with pytest.raises(exceptions.BadRequest, match="Incompatible network"):
        make.floating_ip(other)


def test_subnets_of_one_router_do_not_overlap(make, public, with_gateway):
    other = make.network(**EXTERNAL)
    subnet = make.subnet(other, "203.0.113.128/25")
    with pytest.raises(exceptions.BadRequest):
        make.interface(with_gateway, subnet_id=subnet["id"])


def test_the_gateway_s_port_is_up_when_the_cluster_has_it(make, public, with_gateway, core):
    port = resource.read("port", with_gateway["gw_port_id"])
    assert port["device_id"] == with_gateway["id"]
    resource.acknowledged("port", port)
    assert core.get_port(make._context, port["id"])["status"] == "ACTIVE"
