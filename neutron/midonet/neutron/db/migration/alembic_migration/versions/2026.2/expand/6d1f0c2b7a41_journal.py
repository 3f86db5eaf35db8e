"""The journal and the locks."""

import sqlalchemy as sa
from alembic import op
from neutron.db.migration import cli

revision = "6d1f0c2b7a41"
down_revision = "start_networking_midonet"
branch_labels = (cli.EXPAND_BRANCH,)


def upgrade():
    op.create_table(
        "midonet_journal",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("resource_type", sa.String(36), nullable=False),
        sa.Column("resource_id", sa.String(36), nullable=False),
        sa.Column("operation", sa.String(8), nullable=False),
        sa.Column("created_at", sa.DateTime(), server_default=sa.func.now(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(), nullable=True),
        sa.Column("last_error", sa.String(512), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_midonet_journal_resource", "midonet_journal", ["resource_type", "resource_id"]
    )
    locks = op.create_table(
        "midonet_locks",
        sa.Column("name", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(255), nullable=True),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.bulk_insert(locks, [{"name": "journal"}, {"name": "port_status"}])
