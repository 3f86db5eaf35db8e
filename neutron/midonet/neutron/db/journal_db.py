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


def _rows_of(resource_type, resource_id, last):
    """Rows about a resource that were there when `last` was read."""
    return sa.and_(
        JournalRow.resource_type == resource_type,
        JournalRow.resource_id == resource_id,
        JournalRow.id <= last,
    )


def forget(resource_type, resource_id, last):
    """The cluster has acknowledged what the rows up to `last` announced."""
    _execute(sa.delete(JournalRow).where(_rows_of(resource_type, resource_id, last)))


def postpone(resource_type, resource_id, last, attempts, seconds, error):
    """The cluster refused: not again before `seconds` from now."""
    _execute(
        sa.update(JournalRow)
        .where(_rows_of(resource_type, resource_id, last))
        .values(
            attempts=attempts,
            retry_at=timeutils.utcnow() + datetime.timedelta(seconds=seconds),
            last_error=error[:ERROR_MAX],
        )
    )


@db_api.retry_db_errors
def _execute(statement):
    context = lib_context.get_admin_context()
    with db_api.CONTEXT_WRITER.using(context):
        context.session.execute(statement.execution_options(synchronize_session=False))


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
