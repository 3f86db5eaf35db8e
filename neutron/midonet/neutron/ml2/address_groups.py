"""Address groups: Neutron tells of changes after their commit only, so by way of their rows."""

import sqlalchemy as sa
from neutron.db.models import address_group as models
from sqlalchemy import orm

from midonet.neutron import journal


def listen():
    """Journal address groups in the transactions that change them; once is enough."""
    for event, operation in (
        ("after_insert", journal.CREATE),
        ("after_update", journal.UPDATE),
        ("after_delete", journal.DELETE),
    ):
        _on(models.AddressGroup, event, operation, "id")
    for event in ("after_insert", "after_delete"):
        _on(models.AddressAssociation, event, journal.UPDATE, "address_group_id")


def _on(model, event, operation, column):
    def changed(mapper, connection, row):
        session = orm.object_session(row)
        journal.write(session, connection, "address_group", getattr(row, column), operation)

    sa.event.listen(model, event, changed)
