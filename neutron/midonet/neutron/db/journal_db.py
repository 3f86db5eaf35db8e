"""Rows of the journal and the lock of who forwards them."""

import contextlib
import datetime

import sqlalchemy as sa
from neutron_lib import context as lib_context
from neutron_lib.db import api as db_api
from oslo_utils import timeutils

from midonet.neutron.db.models import JournalRow, Lock

LOCK = "journal"
ERROR_MAX = JournalRow.last_error.type.length


def insert(resource_type, resource_id, operation):
    """Statement that adds a row."""
    return sa.insert(JournalRow).values(
        resource_type=resource_type, resource_id=resource_id, operation=operation
    )


def _due():
    now = timeutils.utcnow()
    return sa.or_(JournalRow.retry_at.is_(None), JournalRow.retry_at <= now)


def any_due():
    """Whether there is a row to be sent now."""
    context = lib_context.get_admin_context()
    with db_api.CONTEXT_READER.using(context):
        return bool(context.session.scalar(sa.select(JournalRow.id).where(_due()).limit(1)))


def due(limit):
    """Up to limit rows to be sent now, the oldest first."""
    context = lib_context.get_admin_context()
    columns = (
        JournalRow.id,
        JournalRow.resource_type,
        JournalRow.resource_id,
        JournalRow.operation,
        JournalRow.attempts,
    )
    with db_api.CONTEXT_READER.using(context):
        query = sa.select(*columns).where(_due()).order_by(JournalRow.id).limit(limit)
        return context.session.execute(query).all()


def forget(resource_type, resource_id, last):
    """The cluster has acknowledged what the rows up to `last` announced."""
    _change(sa.delete(JournalRow), resource_type, resource_id, last)


def postpone(resource_type, resource_id, last, attempts, seconds, error):
    """The cluster refused: not again before `seconds` from now."""
    values = {
        "attempts": attempts,
        "retry_at": timeutils.utcnow() + datetime.timedelta(seconds=seconds),
        "last_error": error[:ERROR_MAX],
    }
    _change(sa.update(JournalRow).values(values), resource_type, resource_id, last)


@db_api.retry_db_errors
def _change(statement, resource_type, resource_id, last):
    """Change the rows about a resource that were there when `last` was read.

    They are named by their ids: a condition on the resource would lock the gaps between rows, and
    make the transactions that write rows wait, or worse, be the victims of a deadlock.
    """
    context = lib_context.get_admin_context()
    known = sa.select(JournalRow.id).where(
        JournalRow.resource_type == resource_type,
        JournalRow.resource_id == resource_id,
        JournalRow.id <= last,
    )
    with db_api.CONTEXT_WRITER.using(context):
        ids = context.session.scalars(known).all()
        changed = statement.where(JournalRow.id.in_(ids))
        context.session.execute(changed.execution_options(synchronize_session=False))


@contextlib.contextmanager
def exclusive():
    """Only one process at a time gets in here.

    The lock is a row lock of an open transaction, so it ends with the database connection: when
    the process that has it dies, the next one waiting goes on at once.
    """
    context = lib_context.get_admin_context()
    with db_api.CONTEXT_WRITER.using(context):
        context.session.execute(
            sa.select(Lock.name).where(Lock.name == LOCK).with_for_update()
        ).one()
        yield
