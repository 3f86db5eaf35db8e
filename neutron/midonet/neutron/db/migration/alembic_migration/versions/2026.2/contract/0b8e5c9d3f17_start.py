"""Nothing to contract yet."""

from neutron.db.migration import cli

revision = "0b8e5c9d3f17"
down_revision = "start_networking_midonet"
branch_labels = (cli.CONTRACT_BRANCH,)


def upgrade():
    pass
