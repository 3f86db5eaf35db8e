"""Trunks: what they leave in the journal, and what the journal makes of the bindings."""

import pytest
from neutron.services.trunk import exceptions
from neutron_lib import exceptions as lib_exceptions
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins import directory

from midonet.neutron import resource


class Trunks:
    """Neutron's trunk plugin, the short way."""

    def __init__(self, context):
        self._context, self._plugin = context, directory.get_plugin("trunk")

    def create(self, parent, **sub_ports):
        body = {"port_id": parent["id"], "sub_ports": places(sub_ports), "project_id": "project"}
        return self._plugin.create_trunk(self._context, {"trunk": body})

    def add(self, trunk, **sub_ports):
        body = {"sub_ports": places(sub_ports)}
        return self._plugin.add_subports(self._context, trunk["id"], body)

    def remove(self, trunk, port):
        body = {"sub_ports": [{"port_id": port["id"]}]}
        return self._plugin.remove_subports(self._context, trunk["id"], body)

    def delete(self, trunk):
        self._plugin.delete_trunk(self._context, trunk["id"])

    def status(self, trunk):
        return self._plugin.get_trunk(self._context, trunk["id"])["status"]


def places(sub_ports):
    """From v100=port: the port on VLAN 100."""
    return [
        {"port_id": port["id"], "segmentation_type": "vlan", "segmentation_id": int(name[1:])}
        for name, port in sub_ports.items()
    ]


@pytest.fixture
def trunks(context):
    return Trunks(context)


@pytest.fixture
def parent(make):
    return make.port(make.network(), **{portbindings.HOST_ID: "h1"})


@pytest.fixture
def sub_port(make):
    return make.port(make.network())


def sent(port):
    """What the journal would send of a port."""
    return resource.read("port", port["id"])


def test_a_sub_port_is_bound_where_its_parent_is(trunks, parent, sub_port, rows):
    before = len(rows())
    trunks.create(parent, v100=sub_port)
    assert rows()[before:] == [("port", sub_port["id"], "update")]
    body = sent(sub_port)
    assert body["device_owner"] == "trunk:subport"
    assert body[portbindings.HOST_ID] == "h1"
    assert body[portbindings.VIF_TYPE] == "midonet"
    assert body[portbindings.PROFILE] == {"parent_name": parent["id"], "tag": 100}
    assert body["status"] == "DOWN"


def test_sub_ports_follow_a_parent_that_moves(trunks, parent, sub_port, core, context, rows):
    trunks.create(parent, v100=sub_port)
    sent(sub_port)
    core.update_port(context, parent["id"], {"port": {portbindings.HOST_ID: "h2"}})
    assert rows()[-1] == ("port", parent["id"], "update")
    sent(parent)
    assert ("port", sub_port["id"], "update") in rows()[-2:]
    assert core.get_port(context, sub_port["id"])[portbindings.HOST_ID] == "h2"


def test_a_port_that_is_taken_out_is_as_before(trunks, parent, sub_port, make, rows):
    trunk = trunks.create(parent, v100=sub_port)
    sent(sub_port)
    before = len(rows())
    trunks.remove(trunk, sub_port)
    assert rows()[before:] == [("port", sub_port["id"], "update")]
    other = make.port(make.network())
    trunks.add(trunk, v100=other)
    for port, owner, host in ((sub_port, "", ""), (other, "trunk:subport", "h1")):
        body = sent(port)
        assert (body["device_owner"], body[portbindings.HOST_ID]) == (owner, host)
    assert sent(sub_port)[portbindings.PROFILE] == {}
    trunks.delete(trunk)
    assert sent(other)["device_owner"] == ""


def test_ports_outside_trunks_are_left_alone(make, core, context, rows):
    profile = {portbindings.PROFILE: {"interface_name": "eth1"}, "device_owner": "compute:nova"}
    port = make.port(make.network(), **{portbindings.HOST_ID: "h1"}, **profile)
    before = len(rows())
    body = sent(port)
    assert body[portbindings.PROFILE] == {"interface_name": "eth1"}
    assert len(rows()) == before


def test_a_trunk_is_as_up_as_its_parent(trunks, parent, sub_port, core, context, make):
    trunk = trunks.create(parent)
    assert trunk["status"] == "DOWN"
    core.update_port_status(context, parent["id"], "ACTIVE")
    assert trunks.status(trunk) == "ACTIVE"
    assert trunks.add(trunk, v100=sub_port)["status"] == "ACTIVE"
    assert trunks.remove(trunk, sub_port)["status"] == "ACTIVE"
    core.update_port_status(context, parent["id"], "DOWN")
    assert trunks.status(trunk) == "DOWN"


def test_what_cannot_be_is_refused(trunks, parent, sub_port, make):
    with pytest.raises(lib_exceptions.InvalidInput):
        trunks.create(parent, v4095=sub_port)
    trunk = trunks.create(parent, v100=sub_port)
    with pytest.raises(exceptions.DuplicateSubPort):
        trunks.add(trunk, v100=make.port(make.network()))
