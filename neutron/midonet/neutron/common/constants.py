"""Words shared by the modules of this package."""

# Nova knows this VIF type; neutron-lib does not name it any more.
VIF_TYPE_MIDONET = "midonet"

TYPE_MIDONET = "midonet"
TYPE_UPLINK = "uplink"
NETWORK_TYPES = frozenset({TYPE_MIDONET, TYPE_UPLINK})
# Those that may be external: have gateways of routers and floating IPs.
EXTERNAL_TYPES = frozenset({TYPE_MIDONET})
