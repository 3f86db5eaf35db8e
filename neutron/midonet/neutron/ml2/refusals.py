"""What Neutron would take and the cluster would not: refused here, before it is committed."""

import netaddr
from neutron.db.models import l3 as l3_models
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.services.trunk import constants as trunk_constants

from midonet.neutron.common import exceptions
from midonet.neutron.services.trunk import places

# The least that IPv4 must carry (RFC 791).
MTU_MIN = 68
# Set by the trunk driver alone.
PLACE = (places.PARENT, places.VLAN)
ROUTER_OWNERS = (constants.DEVICE_OWNER_ROUTER_INTF, constants.DEVICE_OWNER_ROUTER_GW)


def check_network(network):
    """Packets of some size must pass; 0 leaves the size to us."""
    mtu = network.get("mtu") or 0
    if 0 < mtu < MTU_MIN:
        raise exceptions.MtuTooSmall(mtu=mtu, least=MTU_MIN)


def check_subnet(subnet):
    """Prefixes are not delegated: there is no agent that would ask for one."""
    if subnet.get("subnetpool_id") == constants.IPV6_PD_POOL_ID:
        raise exceptions.UnsupportedPrefixDelegation()


def check_port(context, port):
    """A MAC of one device, a binding profile that can be read, a router that is there."""
    mac = port["mac_address"]
    if netaddr.EUI(mac).words[0] & 1:
        raise exceptions.NotADevice(mac=mac)
    _check_profile(port)
    _check_router(context, port)


def check_routes(routes):
    """A route leads to a next hop of its own IP version."""
    for route in routes:
        versions = {
            netaddr.IPNetwork(route["destination"]).version,
            netaddr.IPAddress(route["nexthop"]).version,
        }
        if len(versions) > 1:
            raise exceptions.MixedRoute(**route)


def _check_profile(port):
    profile = port.get(portbindings.PROFILE) or {}
    owner = port["device_owner"]
    if owner != trunk_constants.TRUNK_SUBPORT_OWNER and any(key in profile for key in PLACE):
        raise exceptions.PlaceOutsideTrunk(port=port["id"])
    interface = profile.get("interface_name", "")
    if not isinstance(interface, str):
        raise exceptions.NotAnInterface(given=interface)


def _check_router(context, port):
    router, owner = port["device_id"], port["device_owner"]
    if owner in ROUTER_OWNERS and not context.session.get(l3_models.Router, router):
        raise exceptions.NoSuchRouter(port=port["id"], owner=owner, router=router)
