"""The L3 plugin: routers and floating IPs, journaled; no agent, no scheduler.

Router interfaces and gateways are ports and travel as such.
"""

import sqlalchemy as sa
from neutron.api import extensions as api_extensions
from neutron.db import dns_db, extraroute_db, l3_db, l3_gwmode_db
from neutron.db.models import l3 as models
from neutron.quota import resource_registry
from neutron.services.portforwarding import constants as forwarding
from neutron_lib import constants as lib_constants
from neutron_lib import exceptions as lib_exceptions
from neutron_lib.api.definitions import (
    extraroute,
    extraroute_atomic,
    l3,
    l3_ext_gw_mode,
    provider_net,
)
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import constants
from neutron_lib.services import base
from sqlalchemy import event as sa_event
from sqlalchemy import orm

from midonet.neutron import extensions, journal
from midonet.neutron.common import constants as ours
from midonet.neutron.common import definitions
from midonet.neutron.ml2 import refusals
from midonet.neutron.services.l3 import floating

api_extensions.append_api_extensions_path(extensions.__path__)


@registry.has_registry_receivers
class MidonetL3ServicePlugin(
    base.ServicePluginBase,
    floating.FloatingIpMixin,
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
        definitions.ROUTER_INTERFACE_FIP.ALIAS,
        definitions.FIP64.ALIAS,
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
        leads = floatingip["floatingip"].get("port_id")
        return super().create_floatingip(context, floatingip, initial_status or _status(leads))

    def update_floatingip(self, context, id, floatingip):  # noqa: A002 - Neutron's name for it
        """As Neutron does; the answer has the status that the change led to."""
        updated = super().update_floatingip(context, id, floatingip)
        return {**updated, "status": _status(updated["router_id"])}

    def add_router_interface(self, context, router_id, interface_info=None):
        """As Neutron does, on networks that are ours."""
        self._check_interface(context, interface_info or {})
        return super().add_router_interface(context, router_id, interface_info)

    def _check_interface(self, context, interface_info):
        core = self._core_plugin
        if interface_info.get("port_id"):
            place = core.get_port(context, interface_info["port_id"])
        elif interface_info.get("subnet_id"):
            place = core.get_subnet(context, interface_info["subnet_id"])
        else:
            return
        self._check_network(context, place["network_id"], ours.NETWORK_TYPES, l3.ROUTER)

    @registry.receives(resources.ROUTER_GATEWAY, [events.BEFORE_CREATE])
    def _gateway_to_be_created(self, resource, event, trigger, payload):
        network_id = payload.metadata["network_id"]
        self._check_network(payload.context, network_id, ours.EXTERNAL_TYPES, l3.ROUTER)

    @registry.receives(resources.FLOATING_IP, [events.BEFORE_CREATE])
    def _floating_ip_to_be_created(self, resource, event, trigger, payload):
        network_id = payload.request_body["floatingip"]["floating_network_id"]
        self._check_network(payload.context, network_id, ours.EXTERNAL_TYPES, l3.FLOATINGIP)

    def _check_network(self, context, network_id, types, resource):
        """Refuse a network that our routers cannot be on."""
        network = self._core_plugin.get_network(context.elevated(), network_id)
        network_type = network.get(provider_net.NETWORK_TYPE)
        if network_type not in types:
            raise lib_exceptions.BadRequest(
                resource=resource,
                msg=f"Incompatible network {network_id}: it is of type {network_type}, "
                f"wanted is {' or '.join(sorted(types))}",
            )

    def _validate_routes(self, context, router_id, routes, **known):
        """As Neutron does, which looks at next hops only."""
        super()._validate_routes(context, router_id, routes, **known)
        refusals.check_routes(routes)

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
        self._set_status(payload.context, payload.latest_state)

    @registry.receives(forwarding.PORT_FORWARDING, [events.AFTER_CREATE, events.AFTER_DELETE])
    def _forwarding_status(self, resource, event, trigger, payload):
        context = payload.context.elevated()
        self._set_status(context, self.get_floatingip(context, payload.latest_state.floatingip_id))

    def _set_status(self, context, floating_ip):
        status = _status(floating_ip["router_id"])
        self.update_floatingip_status(context.elevated(), floating_ip["id"], status)


def _status(router_id):
    """A floating IP that leads somewhere, as a whole or by its ports, has a router."""
    if router_id:
        return lib_constants.FLOATINGIP_STATUS_ACTIVE
    return lib_constants.FLOATINGIP_STATUS_DOWN


@sa_event.listens_for(models.Router, "after_update")
def _router_row_changed(mapper, connection, router):
    """Journal in the transaction that sets or clears a gateway: Neutron has no event for it."""
    if sa.inspect(router).attrs.gw_port_id.history.has_changes():
        session = orm.object_session(router)
        journal.write(session, connection, "router", router.id, journal.UPDATE)
