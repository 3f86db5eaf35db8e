"""Requests that cannot be carried out are refused before they are committed, by what is wrong."""

import pytest
from neutron.plugins.ml2.common.exceptions import MechanismDriverError
from neutron_lib.api.definitions import portbindings

from midonet.neutron.common import exceptions

UNKNOWN = "0a000000-0000-4000-8000-000000000001"


def refused(action, kind, rows):
    """The action fails with an error of ours of this kind, and leaves nothing in the journal."""
    before = rows()
    with pytest.raises((MechanismDriverError, kind)) as refusal:
        action()
    error = refusal.value
    if isinstance(error, MechanismDriverError):
        (error,) = error.inner_exceptions
    assert isinstance(error, kind), repr(error)
    assert rows() == before
    return str(error)


@pytest.mark.parametrize("mtu", [1, 67])
def test_networks_that_cannot_carry_ipv4(make, core, context, rows, mtu):
    network = make.network(mtu=68)
    change = {"network": {"mtu": mtu}}
    message = refused(lambda: make.network(mtu=mtu), exceptions.MtuTooSmall, rows)
    assert f"{mtu} bytes" in message
    refused(
        lambda: core.update_network(context, network["id"], change), exceptions.MtuTooSmall, rows
    )
    assert core.get_network(context, network["id"])["mtu"] == 68


def test_prefixes_that_nobody_delegates(make, core, context, rows):
    network = make.network()
    given = {"network_id": network["id"], "ip_version": 6, "subnetpool_id": "prefix_delegation"}
    modes = {"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}
    subnet = {"subnet": make.filled("subnets", given | modes)}
    refused(
        lambda: core.create_subnet(context, subnet), exceptions.UnsupportedPrefixDelegation, rows
    )
    assert core.get_subnets(context, filters={"network_id": [network["id"]]}) == []


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"mac_address": "01:00:5e:00:00:01"}, exceptions.NotADevice),
        ({portbindings.PROFILE: {"parent_name": UNKNOWN}}, exceptions.PlaceOutsideTrunk),
        ({portbindings.PROFILE: {"tag": 5}}, exceptions.PlaceOutsideTrunk),
        ({portbindings.PROFILE: {"interface_name": 5}}, exceptions.NotAnInterface),
        ({"device_owner": "network:router_interface"}, exceptions.NoSuchRouter),
        (
            {"device_owner": "network:router_interface", "device_id": UNKNOWN},
            exceptions.NoSuchRouter,
        ),
        ({"device_owner": "network:router_gateway", "device_id": "x"}, exceptions.NoSuchRouter),
    ],
)
def test_ports_that_cannot_be(make, core, context, rows, given, kind):
    network = make.network()
    refused(lambda: make.port(network, **given), kind, rows)
    port = make.port(network)
    before = core.get_port(context, port["id"])
    refused(lambda: core.update_port(context, port["id"], {"port": given}), kind, rows)
    assert core.get_port(context, port["id"]) == before


def test_routes_between_ip_versions(make, l3, context, rows):
    subnet = make.subnet(make.network())
    router = make.router()
    l3.add_router_interface(context, router["id"], {"subnet_id": subnet["id"]})
    routes = [{"destination": "fd09::/64", "nexthop": "10.0.0.9"}]
    message = refused(
        lambda: l3.update_router(context, router["id"], {"router": {"routes": routes}}),
        exceptions.MixedRoute,
        rows,
    )
    assert "10.0.0.9" in message
    assert "fd09::/64" in message
    assert l3.get_router(context, router["id"])["routes"] == []
