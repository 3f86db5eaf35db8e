"""What both network types have in common: there is nothing to allocate."""

from neutron_lib import exceptions
from neutron_lib.plugins.ml2 import api


class SegmentlessTypeDriver(api.ML2TypeDriver):
    """Networks that need neither a physical network nor a segmentation id."""

    NETWORK_TYPE = None

    def get_type(self):
        """Name of the type."""
        return self.NETWORK_TYPE

    def initialize(self):
        """Nothing to do."""

    def initialize_network_segment_range_support(self):
        """There are no ranges."""

    def update_network_segment_range_allocations(self):
        """There are no ranges."""

    def is_partial_segment(self, segment):
        """No segment lacks anything."""
        return False

    def validate_provider_segment(self, segment):
        """Refuse every provider attribute but the type."""
        for key, value in segment.items():
            if value and key != api.NETWORK_TYPE:
                message = f"provider:{key} is prohibited for a {self.NETWORK_TYPE} network"
                raise exceptions.InvalidInput(error_message=message)

    def reserve_provider_segment(self, context, segment, filters=None):
        """Nothing to reserve."""
        return segment

    def allocate_project_segment(self, context, filters=None):
        """Give a segment to a project's network."""
        return {api.NETWORK_TYPE: self.NETWORK_TYPE}

    def allocate_tenant_segment(self, context, filters=None):
        """As allocate_project_segment, by its older name."""
        return self.allocate_project_segment(context, filters)

    def release_segment(self, context, segment):
        """Nothing to release."""

    def get_mtu(self, physical_network=None):
        """Largest packet; None leaves it to Neutron's configuration."""
        return
