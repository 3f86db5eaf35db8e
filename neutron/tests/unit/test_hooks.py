"""What each change of Neutron's leaves in the journal."""

import pytest
from neutron.plugins.ml2.common.exceptions import MechanismDriverError
from neutron_lib import exceptions
from neutron_lib.api.definitions import portbindings
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import l3 as l3_exceptions

from midonet.neutron import journal


def named(rows, *kinds):
    return [row for row in rows() if row[0] in kinds]


def test_networks_subnets_and_ports(make, core, context, rows, kicks):
    network = make.network()
    subnet = make.subnet(network)
    port = make.port(network)
    expected = [
        ("network", network["id"], "create"),
        ("subnet", subnet["id"], "create"),
        ("port", port["id"], "create"),
    ]
    assert named(rows, "network", "subnet", "port") == expected
    assert len(kicks) >= 3

    core.delete_port(context, port["id"])
    core.delete_network(context, network["id"])
    deleted = [(kind, id_, "delete") for kind, id_, _ in reversed(expected)]
    assert named(rows, "network", "subnet", "port") == expected + deleted


def test_a_change_that_is_rolled_back_leaves_no_row(make, context, rows, kicks):
    network = make.network()
    before, kicked = rows(), len(kicks)

    def fails():
        with db_api.CONTEXT_WRITER.using(context):
            journal.record(context, "network", network["id"], journal.UPDATE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert rows() == before
    assert len(kicks) == kicked


def test_networks_of_other_types_are_left_alone(make, rows):
    network = make.network(**{"provider:network_type": "local"})
    make.port(network)
    assert named(rows, "network", "port") == []


def test_a_bound_port_is_down_until_the_cluster_says_so(make, context, rows):
    from neutron.db import provisioning_blocks
    from neutron_lib.callbacks import resources

    network = make.network()
    port = make.port(network, **{portbindings.HOST_ID: "host1"})
    assert port[portbindings.VIF_TYPE] == "midonet"
    assert (
        port[portbindings.VIF_DETAILS].items()
        >= {"port_filter": True, "connectivity": "l2"}.items()
    )
    assert port["status"] == "DOWN"
    assert provisioning_blocks.is_object_blocked(context, port["id"], resources.PORT)


def test_a_port_of_another_vnic_type_is_not_bound(make):
    given = {portbindings.HOST_ID: "host1", portbindings.VNIC_TYPE: "direct"}
    port = make.port(make.network(), **given)
    assert port[portbindings.VIF_TYPE] == portbindings.VIF_TYPE_BINDING_FAILED


def test_the_state_that_the_cluster_told_is_not_told_back(make, core, context, rows):
    port = make.port(make.network(), **{portbindings.HOST_ID: "host1"})
    before = rows()
    core.update_port_status(context, port["id"], "ACTIVE")
    assert core.get_port(context, port["id"])["status"] == "ACTIVE"
    assert rows() == before


def test_addresses_of_a_new_subnet_are_journaled_with_the_port(make, core, context, rows):
    network = make.network()
    make.subnet(network)
    port = make.port(network)
    make.subnet(network, "fd00::/64", ipv6_address_mode="slaac", ipv6_ra_mode="slaac")
    assert len(core.get_port(context, port["id"])["fixed_ips"]) == 2
    assert ("port", port["id"], "update") == rows()[-1]


def test_several_segments_are_refused(make, rows):
    segments = [{"provider:network_type": kind} for kind in ("midonet", "local")]
    for segment in segments:
        segment.update({"provider:physical_network": None, "provider:segmentation_id": None})
    with pytest.raises(MechanismDriverError) as refusal:
        make.network(segments=segments)
    assert "exactly one segment" in str(refusal.value.inner_exceptions[0])
    assert named(rows, "network") == []


def test_provider_attributes_are_refused(make):
    with pytest.raises(exceptions.InvalidInput, match="segmentation_id is prohibited"):
        make.network(**{"provider:network_type": "midonet", "provider:segmentation_id": 7})


def test_interfaces_of_other_kinds_of_routers_are_refused(make, rows):
    network = make.network()
    with pytest.raises(MechanismDriverError) as refusal:
        make.port(network, device_owner="network:router_interface_distributed")
    assert "every MidoNet router is distributed" in str(refusal.value.inner_exceptions[0])
    assert named(rows, "port") == []


def test_security_groups_and_rules(make, core, context, rows):
    group, other = make.group(), make.group("other")
    rule = make.rule(group)
    remote = make.rule(group, remote_group_id=other["id"])
    core.delete_security_group_rule(context, rule["id"])
    core.delete_security_group(context, other["id"])
    wanted = [
        ("security_group", group["id"], "create"),
        ("security_group", other["id"], "create"),
        ("security_group_rule", rule["id"], "create"),
        ("security_group_rule", remote["id"], "create"),
        ("security_group_rule", rule["id"], "delete"),
        ("security_group", other["id"], "delete"),
        # goes by cascade, without an event of its own
        ("security_group_rule", remote["id"], "delete"),
    ]
    ids = {group["id"], other["id"], rule["id"], remote["id"]}
    assert [row for row in rows() if row[1] in ids] == wanted


def test_address_groups_are_journaled_with_each_change(make, core, context, rows):
    from midonet.neutron import resource

    def changes(action):
        before = len(rows())
        action()
        return rows()[before:]

    empty = make.address_group([])
    group = make.address_group(["10.0.0.0/8", "fd00::1/128"])
    assert rows()[0] == ("address_group", empty["id"], "create")
    kinds = {operation for _, id_, operation in rows() if id_ == group["id"]}
    assert kinds == {"create", "update"}

    def body():
        return resource.read("address_group", group["id"])

    update = ("address_group", group["id"], "update")
    first = body()
    assert sorted(first["addresses"]) == ["10.0.0.0/8", "fd00::1/128"]
    more = {"addresses": ["192.0.2.0/24"]}
    done = changes(lambda: core.add_addresses(context, group["id"], more))
    assert set(done) == {update}
    second = body()
    assert "192.0.2.0/24" in second["addresses"]
    assert second["revision_number"] > first["revision_number"]
    done = changes(lambda: core.remove_addresses(context, group["id"], more))
    assert set(done) == {update}
    third = body()
    assert third["addresses"] == first["addresses"]
    assert third["revision_number"] >= second["revision_number"]
    rename = {"address_group": {"name": "new"}}
    done = changes(lambda: core.update_address_group(context, group["id"], rename))
    assert set(done) == {update}

    web = make.group()
    rule = make.rule(web, remote_address_group_id=group["id"])
    assert rows()[-1] == ("security_group_rule", rule["id"], "create")
    core.delete_security_group_rule(context, rule["id"])
    done = changes(lambda: core.delete_address_group(context, group["id"]))
    assert ("address_group", group["id"], "delete") in done


def external(make):
    network = make.network(**{"router:external": True})
    make.subnet(network, "172.24.0.0/24")
    return network


def test_a_router_its_interfaces_and_routes(make, l3, core, context, rows):
    network = make.network()
    subnet = make.subnet(network)
    router = make.router()
    added = l3.add_router_interface(context, router["id"], {"subnet_id": subnet["id"]})
    port = core.get_port(context, added["port_id"])
    assert (port["device_owner"], port["device_id"]) == (
        "network:router_interface",
        router["id"],
    )
    assert ("port", added["port_id"], "create") in rows()
    routes = [{"destination": "9.0.0.0/8", "nexthop": "10.0.0.9"}]
    l3.update_router(context, router["id"], {"router": {"routes": routes}})
    assert rows()[-1] == ("router", router["id"], "update")
    l3.update_router(context, router["id"], {"router": {"routes": []}})
    l3.remove_router_interface(context, router["id"], {"subnet_id": subnet["id"]})
    assert rows()[-1] == ("port", added["port_id"], "delete")
    l3.delete_router(context, router["id"])
    assert rows()[-1] == ("router", router["id"], "delete")


def test_a_gateway_given_with_the_router_is_journaled_after_it_is_set(make, l3, context, rows):
    network = external(make)
    router = make.router(external_gateway_info={"network_id": network["id"]})
    assert l3.get_router(context, router["id"])["gw_port_id"]
    assert rows()[-1] == ("router", router["id"], "update")


def test_floating_ips(make, l3, core, context, rows):
    outside = external(make)
    network = make.network()
    subnet = make.subnet(network)
    router = make.router(external_gateway_info={"network_id": outside["id"]})
    l3.add_router_interface(context, router["id"], {"subnet_id": subnet["id"]})
    port = make.port(network)
    floating = make.floating_ip(outside, port_id=port["id"])
    assert floating["status"] == "ACTIVE"
    assert ("floating_ip", floating["id"], "create") in rows()

    core.delete_port(context, port["id"])
    assert named(rows, "floating_ip")[-1] == ("floating_ip", floating["id"], "update")
    assert l3.get_floatingip(context, floating["id"])["status"] == "DOWN"

    l3.delete_floatingip(context, floating["id"])
    assert named(rows, "floating_ip")[-1] == ("floating_ip", floating["id"], "delete")
    with pytest.raises(l3_exceptions.FloatingIPNotFound):
        l3.get_floatingip(context, floating["id"])


def test_what_is_not_kept_is_not_announced(core, l3):
    announced = set(core.supported_extension_aliases) | set(l3.supported_extension_aliases)
    assert {"router", "ext-gw-mode", "extraroute", "port-security"} <= announced
    assert not {"multi-provider", "vlan-transparent", "qinq", "dvr", "l3-ha"} & announced


def test_mtu_leaves_room_for_the_tunnel(make):
    assert make.network()["mtu"] == 1450
