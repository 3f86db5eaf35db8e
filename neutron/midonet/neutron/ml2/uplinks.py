"""What a port on an uplink network may be: a physical interface of a host, for an edge router.

`binding:host_id` says the host and `binding:profile` the interface: `interface_name`, and `vlan` if
its frames are tagged there.
"""

import re

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import segment
from neutron.plugins.ml2 import models as ml2_models
from neutron_lib import constants, exceptions
from neutron_lib.api.definitions import external_net, portbindings, provider_net
from oslo_serialization import jsonutils

from midonet.neutron.common import constants as ours
from midonet.neutron.common import exceptions as our_exceptions

INTERFACE, VLAN = "interface_name", "vlan"
# What Linux takes as the name of an interface.
_NAME = re.compile(r"(?!\.{1,2}$)[^\s/]{1,15}")


def is_uplink(network):
    """Whether a network only groups physical interfaces."""
    return network.get(provider_net.NETWORK_TYPE) == ours.TYPE_UPLINK


def check_network(network):
    """Refuse an uplink network that is to be external: it has neither gateways nor floating IPs."""
    if is_uplink(network) and network.get(external_net.EXTERNAL):
        raise exceptions.InvalidInput(
            error_message="a network of type uplink is not external: give the edge router an "
            "interface on the external network and another one on the uplink network"
        )


def check_port(plugin_context, port):
    """Refuse a port that can be no uplink."""
    owner = port["device_owner"]
    if owner not in ("", constants.DEVICE_OWNER_ROUTER_INTF):
        raise exceptions.UnsupportedPortDeviceOwner(
            op="use of an uplink network", port_id=port["id"], device_owner=owner
        )
    profile = port.get(portbindings.PROFILE) or {}
    host, interface = port.get(portbindings.HOST_ID), profile.get(INTERFACE)
    if owner and not host:
        _refuse(port, f"is an uplink and has no host: give it one as {portbindings.HOST_ID}")
    if owner and not interface:
        _refuse(
            port,
            f"is an uplink and has no interface: name it as {INTERFACE} in {portbindings.PROFILE}",
        )
    if interface and not (isinstance(interface, str) and _NAME.fullmatch(interface)):
        _refuse(port, f"cannot have {INTERFACE} '{interface}': no interface is called so")
    vlan = _vlan(port, profile)
    if host and interface:
        _check_free(plugin_context, port, host, interface, vlan)


def _vlan(port, profile):
    """As a number; OpenStack's client sends text."""
    said = profile.get(VLAN)
    if said is None:
        return None
    text = f"{said}"
    if isinstance(said, bool) or not (text.isascii() and text.isdigit()):
        text = "0"
    if not constants.MIN_VLAN_TAG <= int(text) <= constants.MAX_VLAN_TAG:
        _refuse(
            port,
            f"cannot have {VLAN} '{said}': it is a number from {constants.MIN_VLAN_TAG} to "
            f"{constants.MAX_VLAN_TAG}",
        )
    return int(text)


def _check_free(plugin_context, port, host, interface, vlan):
    """One interface of a host, or one VLAN of it, is one uplink."""
    binding, other = ml2_models.PortBinding, models_v2.Port
    query = (
        sa.select(other.id, binding.profile)
        .join(binding, binding.port_id == other.id)
        .join(segment.NetworkSegment, segment.NetworkSegment.network_id == other.network_id)
        .where(
            segment.NetworkSegment.network_type == ours.TYPE_UPLINK,
            binding.host == host,
            other.id != port["id"],
        )
    )
    for row in plugin_context.session.execute(query):
        profile = jsonutils.loads(row.profile) if row.profile else {}
        theirs = profile.get(VLAN)
        if profile.get(INTERFACE) == interface and (theirs and int(theirs)) == vlan:
            raise our_exceptions.UplinkInUse(
                port=port["id"], interface=interface, host=host, other=row.id
            )


def _refuse(port, why):
    raise exceptions.InvalidInput(error_message=f"port {port['id']} {why}")
