"""What is refused, and why."""

from neutron_lib import exceptions


class MultipleSegments(exceptions.InvalidInput):
    """A network of several segments."""

    message = (
        "A network of type midonet or uplink has exactly one segment, this one has "
        "%(count)d. Create the network without 'segments'."
    )


class UnsupportedDeviceOwner(exceptions.Conflict):
    """A port of a kind of router that does not exist here."""

    message = (
        "Port %(port)s cannot have device_owner '%(owner)s': every MidoNet router is distributed "
        "and highly available, its interfaces are '%(instead)s'."
    )


class UnsupportedDhcpOption(exceptions.InvalidInput):
    """An extra DHCP option that hosts could not be told."""

    message = (
        "Extra DHCP option '%(name)s' of IP version %(version)d with value '%(value)s' is not "
        "supported: %(reason)s. Names are those of dnsmasq, values are written as for its "
        "--dhcp-option."
    )


class UplinkInUse(exceptions.Conflict):
    """Two uplinks on one interface."""

    message = (
        "Port %(port)s cannot have interface %(interface)s of host %(host)s: it is that of port "
        "%(other)s. Several uplinks on one interface have a VLAN each, 'vlan' in binding:profile."
    )


class RouterInterfaceInUseAsGatewayByFloatingIP(exceptions.InUse):
    """An interface by which floating IPs are reached."""

    message = (
        "Router interface for subnet %(subnet_id)s on router %(router_id)s cannot be deleted, as "
        "floating IPs of its network need it."
    )
