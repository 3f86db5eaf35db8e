"""The L3 plugin: routers and floating IPs, journaled; no agent, no scheduler.

Router interfaces and gateways are ports and travel as such.
"""

import sqlalchemy as sa
from neutron.db import dns_db, extraroute_db, l3_db, l3_gwmode_db
from neutron.db.models import l3 as models
from neutron.quota import resource_registry
from neutron_lib import constants as lib_constants
from neutron_lib.api.definitions import extraroute, extraroute_atomic, l3, l3_ext_gw_mode
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import constants
from neutron_lib.services import base
from sqlalchemy import event as sa_event
from sqlalchemy import orm

from midonet.neutron import journal


@registry.has_registry_receivers
class MidonetL3ServicePlugin(
    base.ServicePluginBase,
    extraroute_db.ExtraRoute_dbonly_mixin,
    l3_gwmode_db.L3_NAT_dbonly_mixin,
    l3_db.L3NotifierMixin,
    dns_db.DNSDbMixin,
):
    """Routers by Neutron's own tables and checks; the cluster makes them real."""

    __native_pagination_support = True
    __native_sorting_support = True

    supported_extension_aliases = [  # noqa: RUF012 - Neutron reads it from the class
        l3.ALIAS,
        l3_ext_gw_mode.ALIAS,
        extraroute.ALIAS,
        extraroute_atomic.ALIAS,
    ]

    @resource_registry.tracked_resources(router=models.Router, floatingip=models.FloatingIP)
    def __init__(self):
        super().__init__()

    @classmethod
    def get_plugin_type(cls):
        """Which service this is."""
        return constants.L3

    def get_plugin_description(self):
        """For people."""
        return "MidoNet L3 service plugin: distributed routers without agents"

    def create_floatingip(self, context, floatingip, initial_status=None):
        """As Neutron does, but a floating IP that leads nowhere is not ACTIVE."""
        leads = bool(floatingip["floatingip"].get("port_id"))
        return super().create_floatingip(context, floatingip, initial_status or _status(leads))

    @registry.receives(resources.ROUTER, [events.PRECOMMIT_CREATE])
    def _router_created(self, resource, event, trigger, payload):
        journal.record(payload.context, "router", payload.resource_id, journal.CREATE)

    @registry.receives(resources.ROUTER, [events.PRECOMMIT_UPDATE])
    def _router_updated(self, resource, event, trigger, payload):
        journal.record(payload.context, "router", payload.resource_id, journal.UPDATE)

    @registry.receives(resources.ROUTER, [events.PRECOMMIT_DELETE])
    def _router_deleted(self, resource, event, trigger, payload):
        journal.record(payload.context, "router", payload.resource_id, journal.DELETE)

    @registry.receives(resources.FLOATING_IP, [events.PRECOMMIT_CREATE])
    def _floating_ip_created(self, resource, event, trigger, payload):
        journal.record(payload.context, "floating_ip", payload.resource_id, journal.CREATE)

    @registry.receives(resources.FLOATING_IP, [events.PRECOMMIT_UPDATE])
    def _floating_ip_updated(self, resource, event, trigger, payload):
        # the event of a disassociation carries no resource_id
        changed = payload.desired_state
        journal.record(payload.context, "floating_ip", changed.id, journal.UPDATE)

    @registry.receives(resources.FLOATING_IP, [events.PRECOMMIT_DELETE])
    def _floating_ip_deleted(self, resource, event, trigger, payload):
        # it goes by cascade with its port, and the event is the port's
        floating_ip = models.FloatingIP
        ids = payload.context.session.scalars(
            sa.select(floating_ip.id).where(floating_ip.floating_port_id == payload.resource_id)
        )
        for floating_ip_id in ids.all():
            journal.record(payload.context, "floating_ip", floating_ip_id, journal.DELETE)

    @registry.receives(resources.FLOATING_IP, [events.AFTER_UPDATE])
    def _floating_ip_status(self, resource, event, trigger, payload):
        leads = bool(payload.latest_state.get("port_id"))
        self.update_floatingip_status(
            payload.context.elevated(), payload.resource_id, _status(leads)
        )


def _status(leads):
    if leads:
        return lib_constants.FLOATINGIP_STATUS_ACTIVE
    return lib_constants.FLOATINGIP_STATUS_DOWN


@sa_event.listens_for(models.Router, "after_update")
def _router_row_changed(mapper, connection, router):
    """Journal in the transaction that sets or clears a gateway: Neutron has no event for it."""
    if sa.inspect(router).attrs.gw_port_id.history.has_changes():
        session = orm.object_session(router)
        journal.write(session, connection, "router", router.id, journal.UPDATE)
