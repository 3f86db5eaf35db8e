"""Places in trunks: what a port's place in a trunk makes of its binding.

A sub-port is bound where its parent is, with `parent_name` and `tag` in the profile, as OVN has
them, so that the cluster learns of trunks from ports alone.
"""

import sqlalchemy as sa
from neutron.services.trunk import models
from neutron_lib.api.definitions import portbindings
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from neutron_lib.services.trunk import constants

PLUGIN = "trunk"
PARENT, VLAN = "parent_name", "tag"


def follow(context, port):
    """Bind a port as its trunk wants it, if it is in one, and if it is a parent its sub-ports.

    True if the port itself had to be changed.
    """
    if not directory.get_plugin(PLUGIN):
        return False
    core = directory.get_plugin()
    ids = [sub_port["port_id"] for sub_port in port.get("trunk_details", {}).get("sub_ports", ())]
    for sub_port in core.get_ports(context, filters={"id": ids}) if ids else ():
        _bind(context, core, sub_port)
    return _bind(context, core, port)


def _bind(context, core, port):
    wanted = _wanted(context, core, port)
    change = {field: value for field, value in wanted.items() if port[field] != value}
    if change:
        core.update_port(context, port["id"], {"port": change})
    return bool(change)


def _wanted(context, core, port):
    """What its place in a trunk makes of a port; nothing if it never had one."""
    place = _place(context, port["id"])
    if place:
        return {
            "device_owner": constants.TRUNK_SUBPORT_OWNER,
            portbindings.HOST_ID: core.get_port(context, place[PARENT])[portbindings.HOST_ID],
            portbindings.PROFILE: place,
        }
    if port["device_owner"] == constants.TRUNK_SUBPORT_OWNER:
        return {"device_owner": "", portbindings.HOST_ID: "", portbindings.PROFILE: {}}
    return {}


def _place(context, port_id):
    trunk, sub_port = models.Trunk, models.SubPort
    query = (
        sa.select(trunk.port_id.label(PARENT), sub_port.segmentation_id.label(VLAN))
        .join(trunk, trunk.id == sub_port.trunk_id)
        .where(sub_port.port_id == port_id)
    )
    with db_api.CONTEXT_READER.using(context):
        row = context.session.execute(query).mappings().first()
    return row and dict(row)
