"""Neutron's resources as they are now, by kind."""

from neutron.objects import port_forwarding
from neutron.services.portforwarding.common import exceptions as pf_exceptions
from neutron_lib import constants, exceptions
from neutron_lib import context as lib_context
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins import constants as services
from neutron_lib.plugins import directory

from midonet.neutron.services.trunk import places


def _core():
    return directory.get_plugin()


def _l3():
    return directory.get_plugin(services.L3)


# Device owners of ports that are nowhere in particular.
ROUTER_OWNERS = frozenset({constants.DEVICE_OWNER_ROUTER_INTF, constants.DEVICE_OWNER_ROUTER_GW})

READERS = {
    "qos_policy": lambda c, i: directory.get_plugin(services.QOS).get_policy(c, i),
    "network": lambda c, i: _core().get_network(c, i),
    "subnet": lambda c, i: _core().get_subnet(c, i),
    "port": lambda c, i: _port(c, i),
    "address_group": lambda c, i: _core().get_address_group(c, i),
    "security_group": lambda c, i: _security_group(c, i),
    "security_group_rule": lambda c, i: _core().get_security_group_rule(c, i),
    "router": lambda c, i: _l3().get_router(c, i),
    "floating_ip": lambda c, i: _l3().get_floatingip(c, i),
    "port_forwarding": lambda c, i: _port_forwarding(c, i),
}


def _port(context, port_id):
    """Bound as its trunk wants it, if it is in one."""
    port = _core().get_port(context, port_id)
    if places.follow(context, port):
        return _core().get_port(context, port_id)
    return port


def _port_forwarding(context, forwarding_id):
    """With the floating IP it is part of; the project is that one's."""
    forwarding = port_forwarding.PortForwarding.get_object(context, id=forwarding_id)
    if forwarding is None:
        raise pf_exceptions.PortForwardingNotFound(id=forwarding_id)
    return forwarding.to_dict()


def _security_group(context, group_id):
    """Without rules that name other groups: two new groups may name each other.

    Neutron has no event for the rules that a group is born with; these name no other group.
    """
    group = _core().get_security_group(context, group_id)
    rules = [
        rule
        for rule in group["security_group_rules"]
        if rule["remote_group_id"] in (None, group_id)
    ]
    return {**group, "security_group_rules": rules}


def read(kind, resource_id):
    """The resource as Neutron's API would show it to an administrator. Raises NotFound."""
    body = READERS[kind](lib_context.get_admin_context(), resource_id)
    # the cluster's API is older than the word "project"
    project = body.get("project_id", body.get("tenant_id"))
    return {**body, "project_id": project, "tenant_id": project}


def acknowledged(kind, body):
    """The cluster has the resource: tell Neutron what follows from that.

    A router is wherever its networks are, so an interface of it is up as soon as it is known. An
    uplink is bound to a host, whose agent says whether it is up.
    """
    if (
        kind == "port"
        and body["device_owner"] in ROUTER_OWNERS
        and not body[portbindings.HOST_ID]
        and body["status"] != constants.PORT_STATUS_ACTIVE
    ):
        try:
            _core().update_port_status(
                lib_context.get_admin_context(), body["id"], constants.PORT_STATUS_ACTIVE
            )
        except exceptions.PortNotFound:
            # deleted meanwhile
            return
