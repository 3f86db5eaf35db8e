"""Port states from the cluster to Neutron: ACTIVE when frames of a port can pass, else DOWN.

One process of all reads the cluster's feed, the others stand by. What the feed says is kept as
what each port *should* be until Neutron agrees, because a port can be up before Neutron has
committed its binding.
"""

import dataclasses
import functools
import os
import socket
import threading
import time

import sqlalchemy as sa
from neutron.db import models_v2, provisioning_blocks
from neutron.plugins.ml2 import models as ml2_models
from neutron_lib import constants, exceptions
from neutron_lib import context as lib_context
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import resources
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory
from oslo_log import log
from oslo_utils import uuidutils

from midonet.neutron import agents, client, journal
from midonet.neutron.common import constants as ours
from midonet.neutron.db import lease_db

LOG = log.getLogger(__name__)

ACTIVE, DOWN = constants.PORT_STATUS_ACTIVE, constants.PORT_STATUS_DOWN
LEASE = "port_status"
# A process that does not renew its lease for this long has lost it.
LEASE_SECONDS = 10
# How long the cluster may hold a request when there is no news.
POLL_SECONDS = 3
# How often a process that stands by looks whether the lease is free.
STANDBY_SECONDS = 2.0
# After a (re)connection a port counts as down only if it is still down after this: agents need a
# moment to tell a cluster that has just started what they hold.
SETTLE_SECONDS = 10.0
# A port that is up before it is bound: how often to look whether it is bound, and how long.
RETRY_SECONDS = 0.2
RETRY_MAX_SECONDS = 60.0
# Everything is compared again this often, news or not.
RECONCILE_SECONDS = 300.0


@dataclasses.dataclass
class Wanted:
    """What a port should be, not before `at`, given up after `until` (monotonic seconds)."""

    status: str
    at: float
    until: float


class Applier:
    """Brings Neutron's port states to what the feed says."""

    def __init__(self, clock=time.monotonic):
        self._clock = clock
        self._wanted = {}

    @property
    def busy(self):
        """Whether there is something still to be applied."""
        return bool(self._wanted)

    def changed(self, port_id, status, settle=0.0):
        """The feed says so; a DOWN waits for `settle` seconds."""
        now = self._clock()
        at = now + (settle if status == DOWN else 0.0)
        self._wanted[port_id] = Wanted(status, at, at + RETRY_MAX_SECONDS)

    def full(self, statuses):
        """What the feed says about all ports: only differences with Neutron count."""
        self._wanted.clear()
        for port_id, now in _statuses().items():
            should = statuses.get(port_id, DOWN)
            if now != should:
                self.changed(port_id, should, settle=SETTLE_SECONDS)

    def apply(self):
        """Do all that can be done now."""
        now = self._clock()
        for port_id, wanted in list(self._wanted.items()):
            if wanted.at > now:
                continue
            if self._one(port_id, wanted.status) or now >= wanted.until:
                self._wanted.pop(port_id, None)
            else:
                wanted.at = now + RETRY_SECONDS

    @staticmethod
    def _one(port_id, status):
        try:
            return set_status(port_id, status)
        except exceptions.PortNotFound:
            return True
        except Exception:
            LOG.exception("port %s could not be set %s", port_id, status)
            return False


def _statuses():
    """Status by id of the ports that we answer for: bound, or about to be."""
    context = lib_context.get_admin_context()
    port, binding = models_v2.Port, ml2_models.PortBinding
    query = (
        sa.select(port.id, port.status)
        .join(binding, binding.port_id == port.id)
        .where(
            sa.or_(
                binding.vif_type == ours.VIF_TYPE_MIDONET,
                sa.and_(binding.vif_type == portbindings.VIF_TYPE_UNBOUND, binding.host != ""),
            )
        )
    )
    with db_api.CONTEXT_READER.using(context):
        return dict(context.session.execute(query).all())


def set_status(port_id, status):
    """Make Neutron's port ACTIVE or DOWN. False: not yet, its binding is not committed."""
    context = lib_context.get_admin_context()
    plugin = directory.get_plugin()
    port = plugin.get_port(context, port_id)
    if port["status"] == status:
        return True
    if status == ACTIVE:
        return _provisioned(context, port)
    if port[portbindings.VIF_TYPE] == ours.VIF_TYPE_MIDONET:
        provisioning_blocks.add_provisioning_component(
            context, port_id, resources.PORT, provisioning_blocks.L2_AGENT_ENTITY
        )
        plugin.update_port_status(context, port_id, DOWN)
    return True


def _provisioned(context, port):
    bound = port[portbindings.VIF_TYPE]
    if bound == portbindings.VIF_TYPE_UNBOUND and port[portbindings.HOST_ID]:
        return False
    if bound == ours.VIF_TYPE_MIDONET:
        provisioning_blocks.provisioning_complete(
            context, port["id"], resources.PORT, provisioning_blocks.L2_AGENT_ENTITY
        )
    return True


class Follower:
    """Reads the feed and applies it, one step at a time."""

    def __init__(self, cluster=None, applier=None, clock=time.monotonic):
        self._client = cluster or client.Client()
        self._applier = applier or Applier()
        self._clock = clock
        self._instance = None
        self._cursor = 0
        self._reconcile_at = 0.0

    def restart(self):
        """Begin anew with the full list."""
        self._instance = None

    def step(self):
        """One request, and all that follows from it. Raises client.Unavailable."""
        if self._instance is None or self._clock() >= self._reconcile_at:
            self._full()
        else:
            self._news()
        self._applier.apply()

    def _full(self):
        connected = self._instance is None
        feed = self._client.port_statuses(0, 0)
        self._applier.full({p["id"]: p["status"] for p in feed["ports"]})
        self._instance, self._cursor = feed["instance"], feed["cursor"]
        self._reconcile_at = self._clock() + RECONCILE_SECONDS
        if connected:
            LOG.info("port states: following cluster %s", self._instance)

    def _news(self):
        busy = self._applier.busy
        if busy:
            time.sleep(RETRY_SECONDS)
        feed = self._client.port_statuses(self._cursor, 0 if busy else POLL_SECONDS)
        if feed["instance"] != self._instance:
            self.restart()
            return
        for port in feed["ports"]:
            self._applier.changed(port["id"], port["status"])
        self._cursor = feed["cursor"]


class Worker(threading.Thread):
    """Follows the feed while this process has the lease."""

    def __init__(self):
        super().__init__(name="midonet-port-status", daemon=True)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuidutils.generate_uuid()[:8]}"

    def run(self):
        """Until the process ends."""
        follower, reporter, failures = Follower(), agents.Reporter(), 0
        while True:
            error = journal.attempt(functools.partial(self._turn, follower, reporter))
            if error is None:
                if failures:
                    journal.worker().cluster_answers()
                failures = 0
            else:
                self._report(failures, error)
                follower.restart()
                time.sleep(journal.delay(failures, journal.AWAY_MIN, journal.AWAY_MAX))
                failures += 1

    def _turn(self, follower, reporter):
        """One step if the lease is ours, else a pause."""
        if lease_db.acquire(LEASE, self._owner, LEASE_SECONDS):
            follower.step()
            reporter.step()
        else:
            follower.restart()
            time.sleep(STANDBY_SECONDS)

    @staticmethod
    def _report(failures, error):
        if not isinstance(error, client.Unavailable):
            LOG.error("port states cannot be followed now", exc_info=error)
        elif failures % 12 == 0:
            LOG.warning("the cluster is away, port states stay as they are: %s", error)


def start():
    """Start following in this process."""
    Worker().start()
