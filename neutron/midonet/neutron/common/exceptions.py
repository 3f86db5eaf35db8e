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


class MtuTooSmall(exceptions.InvalidInput):
    """A network that could not carry IPv4."""

    message = "An MTU of %(mtu)d bytes is too small: IPv4 needs at least %(least)d."


class UnsupportedPrefixDelegation(exceptions.InvalidInput):
    """A subnet whose prefix another router would have to give."""

    message = (
        "Prefix delegation is not supported: give the subnet a cidr, or a subnet pool to take "
        "it from."
    )


class NotADevice(exceptions.InvalidInput):
    """A MAC address that no device can have."""

    message = "%(mac)s is not the address of one device."


class PlaceOutsideTrunk(exceptions.InvalidInput):
    """A place in a trunk, given by hand."""

    message = (
        "Port %(port)s cannot be given parent_name or tag in binding:profile: add it to a trunk "
        "as a sub-port instead."
    )


class NotAnInterface(exceptions.InvalidInput):
    """Something else where the name of an interface is wanted."""

    message = "interface_name in binding:profile is the name of an interface, not %(given)s."


class NoSuchRouter(exceptions.Conflict):
    """An interface or gateway of a router that is not there."""

    message = (
        "Port %(port)s cannot have device_owner '%(owner)s': there is no router '%(router)s'. "
        "Add it to a router as an interface instead."
    )


class MixedRoute(exceptions.InvalidInput):
    """A route and a next hop of different IP versions."""

    message = "Next hop %(nexthop)s is not of the IP version of destination %(destination)s."
