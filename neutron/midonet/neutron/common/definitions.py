"""Definitions of API extensions that neutron-lib no longer has."""

import types

from neutron_lib.api.definitions import l3


def _shim(alias, name, description, updated):
    """An extension that says how something behaves, without attributes of its own."""
    return types.SimpleNamespace(
        ALIAS=alias,
        IS_SHIM_EXTENSION=True,
        IS_STANDARD_ATTR_EXTENSION=False,
        NAME=name,
        DESCRIPTION=description,
        UPDATED_TIMESTAMP=updated,
        RESOURCE_ATTRIBUTE_MAP={},
        SUB_RESOURCE_ATTRIBUTE_MAP={},
        ACTION_MAP={},
        REQUIRED_EXTENSIONS=[l3.ALIAS],
        OPTIONAL_EXTENSIONS=[],
        ACTION_STATUS={},
    )


ROUTER_INTERFACE_FIP = _shim(
    "router-interface-fip",
    "Floating IPs on router interfaces",
    "Floating IPs on an external network that a router reaches by an interface.",
    "2015-10-15T00:00:00-00:00",
)
FIP64 = _shim(
    "fip64",
    "IPv6 floating IPs for IPv4 addresses",
    "Floating IPs with an IPv6 address that lead to an IPv4 address.",
    "2016-08-01T00:00:00-00:00",
)
