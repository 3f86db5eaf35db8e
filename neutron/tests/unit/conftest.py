"""A Neutron with this package's drivers, on SQLite and without an API, and a fake cluster."""

import contextlib
import itertools
import sqlite3
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_utils import uuidutils

sys.path.insert(0, str(Path(__file__).parent))

from fake_cluster import FakeCluster

CONFIG = """
[DEFAULT]
core_plugin = ml2
service_plugins = port_forwarding, midonet_l3, qos, trunk
transport_url = fake://
enable_traditional_dhcp = false
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
state_path = {directory}
[database]
connection = sqlite:///{directory}/neutron.db
[oslo_concurrency]
lock_path = {directory}
[ml2]
type_drivers = midonet,uplink,local
tenant_network_types = midonet
mechanism_drivers = midonet
extension_drivers = port_security,qos
[quotas]
default_quota = -1
quota_network = -1
quota_subnet = -1
quota_port = -1
quota_security_group = -1
quota_security_group_rule = -1
"""


@pytest.fixture(scope="session")
def _neutron(tmp_path_factory):
    """Neutron's manager with ML2 and the L3 plugin, loaded once."""
    from neutron import manager
    from neutron.api import extensions
    from neutron.common import config
    from neutron.db.migration.models import head
    from neutron_lib import rpc
    from neutron_lib.api import attributes
    from neutron_lib.db import api as db_api
    from oslo_config import cfg

    from midonet.neutron.common import config as our_config
    from midonet.neutron.db import models

    directory = tmp_path_factory.mktemp("neutron")
    file = directory / "neutron.conf"
    file.write_text(CONFIG.format(directory=directory))
    with contextlib.closing(sqlite3.connect(directory / "neutron.db")) as connection:
        # who reads in a transaction, as the journal's lock does, does not keep others from writing
        connection.execute("PRAGMA journal_mode=WAL")
    our_config.register()
    config.register_common_config_options()
    config.init(["--config-file", str(file)], default_config_files=[])
    config.set_config_defaults()
    rpc.init(cfg.CONF)
    engine = db_api.get_context_manager().writer.get_engine()
    head.get_metadata().create_all(engine)
    with engine.begin() as connection:
        names = [{"name": "journal"}, {"name": "port_status"}]
        connection.execute(sa.insert(models.Lock), names)
    manager.init()
    loaded = extensions.PluginAwareExtensionManager.get_instance()
    loaded.extend_resources("2.0", attributes.RESOURCES)
    # registers what there are quotas for
    loaded.get_resources()


@pytest.fixture
def kicks(monkeypatch):
    """How often the journal's worker was kicked; it does not run in these tests."""
    from midonet.neutron import journal

    count = itertools.count()
    calls = []
    monkeypatch.setattr(journal, "kick", lambda: calls.append(next(count)))
    return calls


@pytest.fixture
def context(_neutron, kicks):
    """An administrator's context; the journal is empty."""
    from neutron_lib import context as lib_context
    from neutron_lib.db import api as db_api

    from midonet.neutron.db import models

    context = lib_context.Context(user_id="tester", project_id="project", is_admin=True)
    with db_api.CONTEXT_WRITER.using(context):
        context.session.execute(sa.delete(models.JournalRow))
        context.session.execute(sa.update(models.Lock).values(owner=None, expires_at=None))
    kicks.clear()
    return context


@pytest.fixture
def core(context):
    """The core plugin."""
    from neutron_lib.plugins import directory

    return directory.get_plugin()


@pytest.fixture
def l3(context):
    """The L3 plugin."""
    from neutron_lib.plugins import constants, directory

    return directory.get_plugin(constants.L3)


@pytest.fixture
def rows(context):
    """A function that gives the journal's rows as (kind, id, operation), in order."""
    from neutron_lib.db import api as db_api

    from midonet.neutron.db.models import JournalRow

    def read():
        with db_api.CONTEXT_READER.using(context):
            columns = (JournalRow.resource_type, JournalRow.resource_id, JournalRow.operation)
            query = sa.select(*columns).order_by(JournalRow.id)
            return [tuple(row) for row in context.session.execute(query)]

    return read


@pytest.fixture
def cluster(_neutron):
    """A cluster that answers, and the configuration that leads to it."""
    from oslo_config import cfg

    fake = FakeCluster().start()
    cfg.CONF.set_override("midonet_uri", fake.uri, "midonet")
    cfg.CONF.set_override("username", "neutron", "midonet")
    cfg.CONF.set_override("password", "secret", "midonet")
    cfg.CONF.set_override("request_timeout", 2.0, "midonet")
    yield fake
    fake.stop()


class Maker:
    """Makes resources the short way, with the API's defaults."""

    def __init__(self, context, core, l3):
        self._context, self._core, self._l3 = context, core, l3
        # ports of other tests are on other hosts
        self.host = f"gw-{uuidutils.generate_uuid()[:8]}"

    def filled(self, collection, body):
        """A body of the API with its defaults."""
        from neutron_lib.api import attributes

        info = attributes.AttributeInfo(attributes.RESOURCES[collection])
        body = {"project_id": "project", "tenant_id": "project", **body}
        info.fill_post_defaults(body, check_allow_post=False)
        info.convert_values(body)
        return body

    def network(self, **given):
        body = self.filled("networks", {"admin_state_up": True, **given})
        return self._core.create_network(self._context, {"network": body})

    def subnet(self, network, cidr="10.0.0.0/24", **given):
        version = 6 if ":" in cidr else 4
        given = {"network_id": network["id"], "cidr": cidr, "ip_version": version, **given}
        body = self.filled("subnets", given)
        return self._core.create_subnet(self._context, {"subnet": body})

    def port(self, network, **given):
        body = self.filled("ports", {"network_id": network["id"], **given})
        return self._core.create_port(self._context, {"port": body})

    def group(self, name="web"):
        body = self.filled("security_groups", {"name": name})
        return self._core.create_security_group(self._context, {"security_group": body})

    def rule(self, group, **given):
        given = {"security_group_id": group["id"], "direction": "ingress", **given}
        body = self.filled("security_group_rules", given)
        return self._core.create_security_group_rule(self._context, {"security_group_rule": body})

    def address_group(self, addresses):
        body = self.filled("address_groups", {"name": "offices", "addresses": addresses})
        return self._core.create_address_group(self._context, {"address_group": body})

    def router(self, **given):
        return self._l3.create_router(self._context, {"router": self.filled("routers", given)})

    def gateway(self, network, **given):
        """A router with its gateway on a network."""
        return self.router(external_gateway_info={"network_id": network["id"]}, **given)

    def interface(self, router, **given):
        """Add an interface, by port_id or subnet_id."""
        return self._l3.add_router_interface(self._context, router["id"], given)

    def uplink(self, network, host=None, interface="eth1", **profile):
        """A port on an uplink network, on the test's own host if none is said."""
        profile = {"interface_name": interface, **profile}
        binding = {"binding:host_id": host or self.host, "binding:profile": profile}
        return self.port(network, **binding)

    def floating_ip(self, network, **given):
        body = self.filled("floatingips", {"floating_network_id": network["id"], **given})
        return self._l3.create_floatingip(self._context, {"floatingip": body})


@pytest.fixture
def make(context, core, l3):
    """Makes resources the short way."""
    return Maker(context, core, l3)
