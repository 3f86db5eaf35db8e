"""Network type `uplink`: groups ports that are physical interfaces of an edge router."""

from midonet.neutron.common import constants
from midonet.neutron.ml2 import type_segmentless


class UplinkTypeDriver(type_segmentless.SegmentlessTypeDriver):
    """Made by an administrator who asks for it by name, never handed to a project."""

    NETWORK_TYPE = constants.TYPE_UPLINK

    def allocate_project_segment(self, context, filters=None):
        """Refuse: an uplink is not what a project's network is made of."""
        return
