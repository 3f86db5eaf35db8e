"""Neutron's port forwarding plugin with our routers: what it changes is journaled.

The plugin publishes its events after the fact only, so the rows themselves are watched, in their
transaction.
"""

import netaddr
import sqlalchemy as sa
from neutron.db.models import l3 as l3_models
from neutron.db.models import port_forwarding as models
from neutron.services.portforwarding import pf_plugin
from neutron_lib import constants
from neutron_lib import exceptions as lib_exceptions
from neutron_lib.api.definitions import floating_ip_port_forwarding as definition
from sqlalchemy import event, orm

from midonet.neutron import journal

# What has ports and is translated.
PROTOCOLS = frozenset({constants.PROTO_NAME_TCP, constants.PROTO_NAME_UDP})


def adopt():
    """Tell the plugin what routers there are, before it is loaded.

    It knows only of Neutron's own routers, would load them, and would tell their agents by way of a
    message queue; here are neither.
    """
    pf_plugin.PortForwardingPlugin.required_service_plugins = ["midonet_l3"]
    pf_plugin.PortForwardingPlugin._rpc_notifications_required = False


@event.listens_for(models.PortForwarding, "before_insert")
@event.listens_for(models.PortForwarding, "before_update")
def _check(mapper, connection, forwarding):
    if forwarding.protocol not in PROTOCOLS:
        raise lib_exceptions.BadRequest(
            resource=definition.RESOURCE_NAME,
            msg=f"protocol {forwarding.protocol} is not forwarded, tcp and udp are",
        )
    fip = l3_models.FloatingIP
    address = connection.scalar(
        sa.select(fip.floating_ip_address).where(fip.id == forwarding.floatingip_id)
    )
    if address and netaddr.IPAddress(address).version != constants.IP_VERSION_4:
        raise lib_exceptions.BadRequest(
            resource=definition.RESOURCE_NAME,
            msg=f"ports of {address} cannot be forwarded, only those of IPv4 addresses",
        )


@event.listens_for(models.PortForwarding, "after_insert")
def _created(mapper, connection, forwarding):
    _journal(connection, forwarding, journal.CREATE)


@event.listens_for(models.PortForwarding, "after_update")
def _updated(mapper, connection, forwarding):
    _journal(connection, forwarding, journal.UPDATE)


@event.listens_for(models.PortForwarding, "after_delete")
def _deleted(mapper, connection, forwarding):
    _journal(connection, forwarding, journal.DELETE)


def _journal(connection, forwarding, operation):
    """The first forwarding gives its floating IP a router, the last one takes it away."""
    session = orm.object_session(forwarding)
    journal.write(session, connection, "floating_ip", forwarding.floatingip_id, journal.UPDATE)
    journal.write(session, connection, "port_forwarding", forwarding.id, operation)
