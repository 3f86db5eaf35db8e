"""Neutron's port forwarding plugin with our routers."""

import pytest
from neutron_lib import exceptions
from neutron_lib.plugins import directory

from midonet.neutron import journal, resource


class Forwardings:
    """The plugin, the short way."""

    def __init__(self, context, fip):
        self._context, self._fip = context, fip
        self._plugin = directory.get_plugin("PORTFORWARDING")

    def create(self, port, **given):
        body = {
            "internal_port_id": port["id"],
            "internal_ip_address": port["fixed_ips"][0]["ip_address"],
            "protocol": "tcp",
            **({} if "external_port_range" in given else {"external_port": 2222}),
            **({} if "internal_port_range" in given else {"internal_port": 22}),
            **given,
        }
        return self._plugin.create_floatingip_port_forwarding(
            self._context, self._fip["id"], {"port_forwarding": body}
        )

    def update(self, made, **given):
        return self._plugin.update_floatingip_port_forwarding(
            self._context, made["id"], self._fip["id"], {"port_forwarding": given}
        )

    def delete(self, made):
        self._plugin.delete_floatingip_port_forwarding(self._context, made["id"], self._fip["id"])


@pytest.fixture
def vm(make):
    """A VM behind a router that has a gateway."""
    network = make.network()
    subnet = make.subnet(network)
    public = make.network(**{"router:external": True})
    make.subnet(public, "203.0.113.0/24", enable_dhcp=False)
    make.subnet(public, "2001:db8::/64", enable_dhcp=False)
    router = make.gateway(public)
    make.interface(router, subnet_id=subnet["id"])
    return {**make.port(network, device_owner="compute:nova"), "public": public, "router": router}


@pytest.fixture
def fip(make, vm):
    return make.floating_ip(vm["public"])


@pytest.fixture
def forwardings(context, fip):
    return Forwardings(context, fip)


def sent(made):
    """What the journal would send of a port forwarding."""
    return resource.read("port_forwarding", made["id"])


def test_each_change_is_journaled_with_the_floating_ip(forwardings, fip, vm, rows):
    before = len(rows())
    made = forwardings.create(vm)
    assert set(rows()[before:]) == {
        ("port_forwarding", made["id"], "create"),
        ("floating_ip", fip["id"], "update"),
    }
    body = sent(made)
    assert (body["floatingip_id"], body["internal_port_id"]) == (fip["id"], vm["id"])
    assert (body["external_port_range"], body["internal_port_range"]) == ("2222:2222", "22:22")
    assert resource.read("floating_ip", fip["id"])["router_id"] == vm["router"]["id"]

    before = len(rows())
    forwardings.update(made, external_port=2223)
    assert ("port_forwarding", made["id"], "update") in rows()[before:]
    assert sent(made)["external_port_range"] == "2223:2223"

    before = len(rows())
    forwardings.delete(made)
    assert ("port_forwarding", made["id"], "delete") in rows()[before:]
    assert ("floating_ip", fip["id"], "update") in rows()[before:]
    assert resource.read("floating_ip", fip["id"])["router_id"] is None
    with pytest.raises(exceptions.NotFound):
        sent(made)


def test_ranges_are_sent_as_ranges(forwardings, vm):
    made = forwardings.create(
        vm, protocol="udp", external_port_range="5000:5009", internal_port_range="6000:6009"
    )
    body = sent(made)
    assert (body["external_port_range"], body["internal_port_range"]) == ("5000:5009", "6000:6009")
    assert body.get("external_port") is None


def test_the_floating_ip_is_active_while_something_is_forwarded(forwardings, fip, vm):
    status = lambda: resource.read("floating_ip", fip["id"])["status"]  # noqa: E731
    assert status() == "DOWN"
    first, second = forwardings.create(vm), forwardings.create(vm, external_port=1, internal_port=1)
    forwardings.delete(first)
    assert status() == "ACTIVE"
    forwardings.delete(second)
    assert status() == "DOWN"


def test_a_deleted_port_takes_its_forwardings_along(forwardings, fip, vm, core, context, rows):
    made = forwardings.create(vm)
    before = len(rows())
    core.delete_port(context, vm["id"])
    assert ("port_forwarding", made["id"], "delete") in rows()[before:]
    assert resource.read("floating_ip", fip["id"])["router_id"] is None


def test_what_is_not_translated_is_refused(forwardings, make, context, vm, rows):
    before = len(rows())
    with pytest.raises(exceptions.BadRequest, match="tcp and udp"):
        forwardings.create(vm, protocol="sctp")
    six = make.floating_ip(vm["public"], floating_ip_address="2001:db8::9")
    before = len(rows())
    with pytest.raises(exceptions.BadRequest, match="IPv4"):
        Forwardings(context, six).create(vm)
    assert rows()[before:] == []


def test_a_forwarding_s_floating_ip_keeps_the_gateway(forwardings, vm, l3, context):
    forwardings.create(vm)
    body = {"router": {"external_gateway_info": {}}}
    with pytest.raises(exceptions.InUse):
        l3.update_router(context, vm["router"]["id"], body)


def test_it_goes_out_after_its_floating_ip_and_away_before(forwardings, fip, vm):
    assert journal.PUT_ORDER.index("port_forwarding") > journal.PUT_ORDER.index("floating_ip")
    assert journal.PUT_ORDER.index("port_forwarding") > journal.PUT_ORDER.index("port")
