"""The trunk driver: whatever changes a port's place in a trunk leaves a row in the journal.

Before the port is sent, its binding is made what its place says (`places`).
"""

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.services.trunk import models
from neutron.services.trunk.drivers import base
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.services.trunk import constants
from oslo_config import cfg

from midonet.neutron import journal
from midonet.neutron.common import constants as ours

NAME = "midonet"


@registry.has_registry_receivers
class MidonetTrunkDriver(base.DriverBase):
    """Lets Neutron's trunk plugin have trunks on ports of ours."""

    def __init__(self):
        super().__init__(
            NAME,
            (ours.VIF_TYPE_MIDONET,),
            (constants.SEGMENTATION_TYPE_VLAN,),
            can_trunk_bound_port=True,
        )

    @property
    def is_loaded(self):
        """Whether ML2 was told to use MidoNet."""
        return NAME in cfg.CONF.ml2.mechanism_drivers

    @registry.receives(resources.TRUNK, [events.PRECOMMIT_CREATE])
    def _created(self, resource, event, trigger, payload):
        trunk = payload.desired_state
        _journal(payload.context, trunk.sub_ports)
        _set_status(payload.context, trunk)

    @registry.receives(resources.TRUNK, [events.PRECOMMIT_DELETE])
    def _deleted(self, resource, event, trigger, payload):
        _journal(payload.context, payload.states[0].sub_ports)

    @registry.receives(resources.SUBPORTS, [events.PRECOMMIT_CREATE, events.PRECOMMIT_DELETE])
    def _sub_ports_changed(self, resource, event, trigger, payload):
        _journal(payload.context, payload.metadata["subports"])
        _set_status(payload.context, payload.states[1])


def _journal(context, sub_ports):
    for sub_port in sub_ports:
        journal.record(context, "port", sub_port.port_id, journal.UPDATE)


def _set_status(context, trunk):
    """Neutron has just set it DOWN; its parent did not go down for that."""
    port = models_v2.Port
    status = context.session.scalar(sa.select(port.status).where(port.id == trunk.port_id))
    trunk.update(status=_status(status))


def _status(of_parent):
    up = of_parent == constants.TRUNK_ACTIVE_STATUS
    return constants.TRUNK_ACTIVE_STATUS if up else constants.TRUNK_DOWN_STATUS


def parent_updated(context):
    """In the transaction that changes a port: the trunk on it goes up and down with it."""
    port = context.current
    if "trunk_details" not in port or port["status"] == context.original["status"]:
        return
    session = context.plugin_context.session
    trunk = session.get(models.Trunk, port["trunk_details"]["trunk_id"])
    if trunk:
        trunk.status = _status(port["status"])
