from logging import config as logging_config

from alembic import context
from neutron_lib.db import model_base
from oslo_config import cfg
from oslo_db.sqlalchemy import session
from sqlalchemy import Table, event

from midonet.neutron.db import head

VERSION_TABLE = "alembic_version_midonet"

config = context.config
neutron_config = config.neutron_config
logging_config.fileConfig(config.config_file_name)


def mysql_engine():
    try:
        chosen = neutron_config.command.mysql_engine
    except cfg.NoSuchOptError:
        chosen = None
    return chosen or model_base.BASEV2.__table_args__["mysql_engine"]


@event.listens_for(Table, "after_parent_attach")
def set_storage_engine(target, parent):
    target.kwargs["mysql_engine"] = mysql_engine()


def run_offline():
    database = neutron_config.database
    source = (
        {"url": database.connection}
        if database.connection
        else {"dialect_name": neutron_config.database.engine}
    )
    context.configure(version_table=VERSION_TABLE, **source)
    with context.begin_transaction():
        context.run_migrations()


def run_online():
    engine = session.create_engine(neutron_config.database.connection)
    connection = engine.connect()
    context.configure(
        connection=connection, target_metadata=head.metadata, version_table=VERSION_TABLE
    )
    try:
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.close()
        engine.dispose()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
