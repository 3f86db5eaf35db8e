"""Where both branches begin."""

revision = "start_networking_midonet"
down_revision = None


def upgrade():
    pass
