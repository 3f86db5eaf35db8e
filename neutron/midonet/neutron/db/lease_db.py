"""A lease: one process does a job for as long as it keeps saying that it lives."""

import datetime

import sqlalchemy as sa
from neutron_lib import context as lib_context
from neutron_lib.db import api as db_api
from oslo_utils import timeutils

from midonet.neutron.db.models import Lock


@db_api.retry_db_errors
def acquire(name, owner, seconds):
    """Take the lease or renew it; whether it is ours now."""
    now = timeutils.utcnow()
    free = sa.or_(Lock.owner == owner, Lock.expires_at.is_(None), Lock.expires_at < now)
    context = lib_context.get_admin_context()
    with db_api.CONTEXT_WRITER.using(context):
        taken = context.session.execute(
            sa.update(Lock)
            .where(Lock.name == name, free)
            .values(owner=owner, expires_at=now + datetime.timedelta(seconds=seconds))
            .execution_options(synchronize_session=False)
        )
        return taken.rowcount == 1
