"""Words shared by the modules of this package."""

from neutron_lib import constants

# Nova knows this VIF type; neutron-lib does not name it any more.
VIF_TYPE_MIDONET = "midonet"

TYPE_MIDONET = "midonet"
TYPE_UPLINK = "uplink"
NETWORK_TYPES = frozenset({TYPE_MIDONET, TYPE_UPLINK})

# Ports that are a router's and never bound to a host.
ROUTER_OWNERS = (constants.DEVICE_OWNER_ROUTER_INTF, constants.DEVICE_OWNER_ROUTER_GW)
