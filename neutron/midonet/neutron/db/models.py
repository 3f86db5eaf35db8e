"""Tables in Neutron's database."""

import sqlalchemy as sa
from neutron_lib.db import model_base


class JournalRow(model_base.BASEV2):
    """A change that the cluster has not acknowledged yet."""

    __tablename__ = "midonet_journal"
    __table_args__ = (sa.Index("ix_midonet_journal_resource", "resource_type", "resource_id"),)

    id = sa.Column(
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
    )
    resource_type = sa.Column(sa.String(36), nullable=False)
    resource_id = sa.Column(sa.String(36), nullable=False)
    operation = sa.Column(sa.String(8), nullable=False)
    created_at = sa.Column(sa.DateTime(), server_default=sa.func.now(), nullable=False)
    attempts = sa.Column(sa.Integer(), server_default="0", default=0, nullable=False)
    # not to be sent before; null: at once
    retry_at = sa.Column(sa.DateTime(), nullable=True)
    last_error = sa.Column(sa.String(512), nullable=True)


class Lock(model_base.BASEV2):
    """Who does what only one process may do at a time."""

    __tablename__ = "midonet_locks"

    name = sa.Column(sa.String(36), primary_key=True)
    owner = sa.Column(sa.String(255), nullable=True)
    expires_at = sa.Column(sa.DateTime(), nullable=True)
