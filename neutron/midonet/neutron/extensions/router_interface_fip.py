"""`router-interface-fip`: a router serves floating IPs on networks of its interfaces, too."""

from neutron_lib.api import extensions

from midonet.neutron.common import definitions


class Router_interface_fip(extensions.APIExtensionDescriptor):  # noqa: N801 - named as Neutron wants
    """The extension."""

    api_definition = definitions.ROUTER_INTERFACE_FIP
