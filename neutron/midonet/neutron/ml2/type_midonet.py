"""Network type `midonet`: a virtual network, on all hosts that have a port on it."""

from neutron_lib.plugins import utils
from oslo_config import cfg

from midonet.neutron.common import constants
from midonet.neutron.ml2 import type_segmentless

# Bytes around a packet by IP version of the underlay: IP, UDP, VXLAN and the inner Ethernet header.
OVERHEAD = {4: 50, 6: 70}


class MidonetTypeDriver(type_segmentless.SegmentlessTypeDriver):
    """Any number of networks, each one of them an overlay."""

    NETWORK_TYPE = constants.TYPE_MIDONET

    def get_mtu(self, physical_network=None):
        """What fits the underlay with VXLAN around it; 0 is unknown."""
        limits = [m for m in (utils.get_deployment_physnet_mtu(), cfg.CONF.ml2.path_mtu) if m > 0]
        if not limits:
            return 0
        return min(limits) - OVERHEAD[cfg.CONF.ml2.overlay_ip_version]
