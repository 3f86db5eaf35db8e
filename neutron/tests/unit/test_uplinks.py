"""Uplink networks: what may be an interface to the outside."""

import pytest
from neutron.plugins.ml2.common import exceptions as ml2_exceptions
from neutron_lib import exceptions
from neutron_lib.api.definitions import portbindings

from midonet.neutron import resource
from midonet.neutron.common import exceptions as ours

UPLINK = {"provider:network_type": "uplink"}


@pytest.fixture
def uplink(make):
    """An uplink network with a subnet."""
    network = make.network(**UPLINK)
    return {**network, "subnet": make.subnet(network, "192.0.2.0/29", enable_dhcp=False)}


def refused(call, *args, **kwargs):
    """The error of a call that a mechanism driver refuses."""
    with pytest.raises(ml2_exceptions.MechanismDriverError) as error:
        call(*args, **kwargs)
    (inner,) = error.value.inner_exceptions
    return inner


def test_a_port_with_host_and_interface_becomes_a_router_s(make, uplink, core, context):
    port = make.uplink(uplink, vlan="100")
    make.interface(make.router(), port_id=port["id"])
    body = resource.read("port", port["id"])
    assert body["device_owner"] == "network:router_interface"
    assert body[portbindings.HOST_ID] == make.host
    assert body[portbindings.PROFILE] == {"interface_name": "eth1", "vlan": "100"}
    # its host says when it is up
    assert (body[portbindings.VIF_TYPE], body["status"]) == ("midonet", "DOWN")
    resource.acknowledged("port", body)
    assert core.get_port(context, port["id"])["status"] == "DOWN"


@pytest.mark.parametrize(
    ("binding", "missing"),
    [
        ({portbindings.PROFILE: {"interface_name": "eth1"}}, "has no host"),
        ({portbindings.HOST_ID: "gw1"}, "has no interface"),
        ({}, "has no host"),
    ],
)
def test_without_host_or_interface_it_cannot(make, uplink, core, context, binding, missing):
    port, router = make.port(uplink, **binding), make.router()
    error = refused(make.interface, router, port_id=port["id"])
    assert isinstance(error, exceptions.InvalidInput)
    assert missing in str(error)
    left = core.get_port(context, port["id"])
    assert (left["device_owner"], left["device_id"]) == ("", "")


def test_by_subnet_it_cannot(make, uplink, core, context):
    error = refused(make.interface, make.router(), subnet_id=uplink["subnet"]["id"])
    assert isinstance(error, exceptions.InvalidInput)
    assert core.get_ports(context, {"network_id": [uplink["id"]]}) == []


@pytest.mark.parametrize("vlan", [0, 4095, "x", "", "1.5", -1, True, [], "٣"])
def test_a_wrong_vlan_is_refused(make, uplink, vlan):
    error = refused(make.uplink, uplink, vlan=vlan)
    assert isinstance(error, exceptions.InvalidInput)
    assert "from 1 to 4094" in str(error)


@pytest.mark.parametrize("name", ["an-interface-name", "a/b", "a b", ".", "..", 7])
def test_what_is_no_name_of_an_interface_is_refused(make, uplink, name):
    error = refused(make.uplink, uplink, interface=name)
    assert isinstance(error, exceptions.InvalidInput)


def test_one_interface_is_one_uplink(make, uplink, core, context):
    first = make.uplink(uplink)
    other = make.network(**UPLINK)
    for network in (uplink, other):
        error = refused(make.uplink, network)
        assert isinstance(error, ours.UplinkInUse)
        assert first["id"] in str(error)
    make.uplink(uplink, host=f"{make.host}-2")
    make.uplink(uplink, interface="eth2")
    tagged = make.uplink(uplink, vlan=100)
    assert isinstance(refused(make.uplink, other, vlan="100"), ours.UplinkInUse)
    make.uplink(other, vlan="101")
    # to change into it is no better
    profile = {portbindings.PROFILE: {"interface_name": "eth1"}}
    error = refused(core.update_port, context, tagged["id"], {"port": profile})
    assert isinstance(error, ours.UplinkInUse)
    core.delete_port(context, first["id"])
    core.update_port(context, tagged["id"], {"port": profile})


def test_a_vm_is_not_on_an_uplink(make, uplink, core, context):
    error = refused(make.port, uplink, device_owner="compute:nova")
    assert isinstance(error, exceptions.UnsupportedPortDeviceOwner)
    port = make.port(uplink)
    body = {"port": {"device_owner": "compute:nova", "device_id": "server"}}
    error = refused(core.update_port, context, port["id"], body)
    assert isinstance(error, exceptions.UnsupportedPortDeviceOwner)


def test_an_uplink_network_is_not_external(make, uplink, core, context):
    external = {"router:external": True}
    error = refused(make.network, **external, **UPLINK)
    assert isinstance(error, exceptions.InvalidInput)
    error = refused(core.update_network, context, uplink["id"], {"network": external})
    assert isinstance(error, exceptions.InvalidInput)


def test_uplinks_of_one_router_do_not_overlap(make, uplink):
    router = make.router()
    make.interface(router, port_id=make.uplink(uplink)["id"])
    other = make.network(**UPLINK)
    make.subnet(other, "192.0.2.0/24", enable_dhcp=False)
    with pytest.raises(exceptions.BadRequest):
        make.interface(router, port_id=make.uplink(other, interface="eth2")["id"])


def test_an_edge_router_has_a_default_route_for_each_uplink(make, l3, context):
    edge, routes = make.router(), []
    for n in (1, 2):
        network = make.network(**UPLINK)
        # Neutron takes any address of the pool for the port: not the next hop's
        for cidr, only in (
            (f"192.0.2.{8 * n}/29", f"192.0.2.{8 * n + 1}"),
            (f"2001:db8:f{n}::/64", f"2001:db8:f{n}::1"),
        ):
            pool = [{"start": only, "end": only}]
            make.subnet(network, cidr, gateway_ip=None, enable_dhcp=False, allocation_pools=pool)
        make.interface(edge, port_id=make.uplink(network, interface=f"eth{n}")["id"])
        routes += [
            {"destination": "0.0.0.0/0", "nexthop": f"192.0.2.{8 * n + 6}"},
            {"destination": "::/0", "nexthop": f"2001:db8:f{n}::6"},
        ]
    l3.update_router(context, edge["id"], {"router": {"routes": routes}})
    sent = resource.read("router", edge["id"])["routes"]
    assert sorted(sent, key=lambda r: r["nexthop"]) == sorted(routes, key=lambda r: r["nexthop"])
