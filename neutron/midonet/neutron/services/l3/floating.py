"""Floating IPs beyond Neutron's own: on networks of router interfaces, and with IPv6 addresses.

`router-interface-fip`: any port of a router on an external network, its gateway or an interface,
serves floating IPs of that network. `fip64`: the floating address may be an IPv6 one, which leads
to the port's IPv4 address; of an external network with both, IPv4 is taken unless asked otherwise.
"""

import netaddr
import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3 as models
from neutron_lib import constants as lib_constants
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.exceptions import l3 as l3_exceptions
from sqlalchemy import orm

from midonet.neutron.common import exceptions

_INTERFACES = lib_constants.ROUTER_INTERFACE_OWNERS
_EVERY_PORT = (*_INTERFACES, lib_constants.DEVICE_OWNER_ROUTER_GW)


@registry.has_registry_receivers
class FloatingIpMixin:
    """To be mixed in before Neutron's L3 classes."""

    def get_router_for_floatingip(
        self, context, internal_port, internal_subnet, external_network_id
    ):
        """Router between the subnet of a port and a floating network.

        The one that is the subnet's gateway comes first, then one that has its own gateway on the
        floating network, then the one with the lowest id.
        """
        inside, address = models.RouterPort, models_v2.IPAllocation
        outside, floating = orm.aliased(inside), orm.aliased(models_v2.Port)
        query = (
            sa.select(inside.router_id, address.ip_address, outside.port_type)
            .join(address, address.port_id == inside.port_id)
            .join(outside, outside.router_id == inside.router_id)
            .join(floating, floating.id == outside.port_id)
            .where(
                inside.port_type.in_(_INTERFACES),
                address.subnet_id == internal_subnet["id"],
                floating.network_id == external_network_id,
                outside.port_id != inside.port_id,
            )
        )

        def rank(row):
            is_gateway_of_subnet = row.ip_address == internal_subnet["gateway_ip"]
            has_gateway = row.port_type == lib_constants.DEVICE_OWNER_ROUTER_GW
            return not is_gateway_of_subnet, not has_gateway, row.router_id

        found = min(context.session.execute(query).all(), key=rank, default=None)
        if found:
            return found.router_id
        raise l3_exceptions.ExternalGatewayForFloatingIPNotFound(
            subnet_id=internal_subnet["id"],
            external_network_id=external_network_id,
            port_id=internal_port["id"],
        )

    def router_gw_port_has_floating_ips(self, context, router_id):
        """Whether floating IPs need the gateway: those that no interface serves."""
        network_id = self._get_router(context, router_id).gw_port["network_id"]
        interfaces = self._cidrs_on(context, router_id, network_id, _INTERFACES)
        return any(
            not _is_in(address, interfaces)
            for address in self._floating_addresses(context, router_id, network_id)
        )

    @registry.receives(resources.ROUTER_INTERFACE, [events.BEFORE_DELETE])
    def _interface_to_be_removed(self, resource, event, trigger, payload):
        """Floating IPs that need the interface keep it."""
        context, router_id = payload.context.elevated(), payload.resource_id
        subnet = self._core_plugin.get_subnet(context, payload.metadata["subnet_id"])
        network_id = subnet["network_id"]
        addresses = self._floating_addresses(context, router_id, network_id)
        others = self._cidrs_on(context, router_id, network_id, _EVERY_PORT, but=subnet["id"])
        served_here = [a for a in addresses if _is_in(a, [subnet["cidr"]]) or not others]
        if served_here:
            raise exceptions.RouterInterfaceInUseAsGatewayByFloatingIP(
                router_id=router_id, subnet_id=subnet["id"]
            )

    def _is_ipv4_network(self, context, net_db):
        """As Neutron asks whether a network has addresses to give; here of either family."""
        return bool(net_db.subnets)

    def _port_ipv4_fixed_ips(self, port):
        """Addresses that may be floating ones of a floating IP's port; fixed ones are IPv4."""
        addresses = super()._port_ipv4_fixed_ips(port)
        if port["device_owner"] == lib_constants.DEVICE_OWNER_FLOATINGIP:
            return addresses or list(port["fixed_ips"])
        return addresses

    @staticmethod
    def _floating_addresses(context, router_id, network_id):
        """Addresses of the router's floating IPs on a network, those of port forwardings too."""
        fip = models.FloatingIP
        query = sa.select(fip.floating_ip_address).where(
            fip.router_id == router_id, fip.floating_network_id == network_id
        )
        return context.session.scalars(query).all()

    @staticmethod
    def _cidrs_on(context, router_id, network_id, kinds, but=None):
        """Prefixes of the subnets of a network on which the router has ports of these kinds."""
        port, address, subnet = models.RouterPort, models_v2.IPAllocation, models_v2.Subnet
        query = (
            sa.select(subnet.cidr)
            .join(address, address.subnet_id == subnet.id)
            .join(port, port.port_id == address.port_id)
            .where(
                port.router_id == router_id,
                port.port_type.in_(kinds),
                subnet.network_id == network_id,
                subnet.id != (but or ""),
            )
        )
        return context.session.scalars(query).all()


def _is_in(address, cidrs):
    return any(netaddr.IPAddress(address) in netaddr.IPNetwork(cidr) for cidr in cidrs)
