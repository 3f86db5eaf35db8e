"""`fip64`: a floating IP may have an IPv6 address, which leads to an IPv4 address."""

from neutron_lib.api import extensions

from midonet.neutron.common import definitions


class Fip64(extensions.APIExtensionDescriptor):
    """The extension."""

    api_definition = definitions.FIP64
