"""The journal: every change reaches the cluster, whatever dies on the way.

A change writes a row "this resource changed" in its own transaction. A thread in each API process,
kicked by the commit, takes the rows, reads each resource *as it is now* and sends it with its
revision number. So rows of one resource collapse into one, and what is sent is never older than
what was sent before. The row goes when the cluster has acknowledged.
"""

import dataclasses
import logging
import os
import random
import threading

from neutron_lib import exceptions
from oslo_db import exception as db_exc
from oslo_log import log
from sqlalchemy import event

from midonet.neutron import client, resource
from midonet.neutron.db import journal_db

LOG = log.getLogger(__name__)

CREATE, UPDATE, DELETE = "create", "update", "delete"
# Rows taken at a time: within them resources go out in the order in which they depend.
BATCH = 1000
# A row left by a process that died is found within this many seconds.
PERIOD = 5.0
# Seconds before the next try when the cluster does not answer: doubling, within these bounds.
AWAY_MIN, AWAY_MAX = 0.2, 5.0
# The same for a resource that the cluster refuses.
REFUSED_MIN, REFUSED_MAX = 1.0, 60.0
# Resources go out after those they name, and away before them.
PUT_ORDER = (
    "qos_policy",
    "network",
    "subnet",
    "address_group",
    "security_group",
    "security_group_rule",
    "router",
    "port",
    "floating_ip",
    "port_forwarding",
)
# What nothing else names: deleted before anything is put, which may need its address or its name.
LEAVES = ("port_forwarding", "floating_ip", "port", "security_group_rule")

_PENDING = "midonet_journal_pending"


def record(context, kind, resource_id, operation):
    """Write a row in the transaction of context; the commit kicks the worker."""
    write(context.session, context.session, kind, resource_id, operation)


def write(session, connection, kind, resource_id, operation):
    """As record, by way of a connection that takes part in the session's transaction."""
    connection.execute(journal_db.insert(kind, resource_id, operation))
    if _PENDING not in session.info:
        event.listen(session, "after_commit", _committed)
    session.info[_PENDING] = True


def _committed(session):
    """The outermost commit, not that of a savepoint, makes rows visible to the worker."""
    if not session.in_nested_transaction() and session.info.get(_PENDING):
        session.info[_PENDING] = False
        kick()


@dataclasses.dataclass
class Task:
    """What is to be done about one resource: all its rows in one."""

    kind: str
    resource_id: str
    operation: str
    last: int
    attempts: int

    def merge(self, row):
        """Take in a later row: a deletion is the last word, and what began new stays new."""
        self.last = max(self.last, row.id)
        self.attempts = max(self.attempts, row.attempts)
        if DELETE in (self.operation, row.operation):
            self.operation = DELETE
        elif CREATE in (self.operation, row.operation):
            self.operation = CREATE


def plan(rows):
    """Tasks from rows: one per resource, in the order in which the cluster can take them."""
    tasks = {}
    for row in rows:
        key = (row.resource_type, row.resource_id)
        if key in tasks:
            tasks[key].merge(row)
        else:
            tasks[key] = Task(*key, row.operation, row.id, row.attempts)
    return sorted(tasks.values(), key=_rank)


def _rank(task):
    order = PUT_ORDER.index(task.kind)
    if task.operation != DELETE:
        return 1, order
    return (0 if task.kind in LEAVES else 2), -order


def delay(attempt, shortest, longest):
    """Seconds before try number attempt + 1, spread so that many do not come at once."""
    return min(longest, shortest * 2 ** min(attempt, 16)) * random.uniform(0.7, 1.0)


class Forwarder:
    """Sends what the journal has, one pass at a time."""

    def __init__(self, cluster=None):
        self._client = cluster or client.Client()

    def drain(self):
        """Send all rows that are due. Raises client.Unavailable if the cluster is away."""
        while journal_db.any_due():
            with journal_db.exclusive():
                self._pass(plan(journal_db.due(BATCH)))

    def _pass(self, tasks):
        refused = [task for task in tasks if not self._try(task)]
        if len(refused) == len(tasks):
            return
        # some may have waited for others of this very pass
        for task in refused:
            self._try(task)

    def _try(self, task):
        """Forward one resource; False if it was refused and waits for its next turn."""
        try:
            self._forward(task)
        except client.Unavailable:
            raise
        except client.Stale:
            LOG.debug("%s %s: the cluster has a newer revision", task.kind, task.resource_id)
        except client.Refused as refused:
            self._postpone(task, f"{refused}")
            return False
        except Exception as error:
            # one resource that cannot be read must not hold up all others
            LOG.exception("%s %s could not be forwarded", task.kind, task.resource_id)
            self._postpone(task, f"{type(error).__name__}: {error}")
            return False
        journal_db.forget(task.kind, task.resource_id, task.last)
        return True

    def _forward(self, task):
        if task.operation == DELETE:
            self._client.delete(task.kind, task.resource_id)
            return
        try:
            body = resource.read(task.kind, task.resource_id)
        except exceptions.NotFound:
            # gone meanwhile; the row of its deletion does the rest
            return
        if task.operation == CREATE:
            self._client.create(task.kind, body)
        else:
            self._client.update(task.kind, body)
        resource.acknowledged(task.kind, body)

    @staticmethod
    def _postpone(task, error):
        pause = delay(task.attempts, REFUSED_MIN, REFUSED_MAX)
        journal_db.postpone(task.kind, task.resource_id, task.last, task.attempts + 1, pause, error)
        # what waits for another resource usually goes through soon
        level = logging.WARNING if task.attempts else logging.INFO
        LOG.log(
            level,
            "the cluster refuses to %s %s %s (try %d, next in %.0f s): %s",
            *(task.operation, task.kind, task.resource_id, task.attempts + 1, pause, error),
        )


class Worker(threading.Thread):
    """Drains the journal whenever it is kicked, and every few seconds."""

    def __init__(self):
        super().__init__(name="midonet-journal", daemon=True)
        self.pid = os.getpid()
        self._kicked = threading.Event()
        self._answers = threading.Event()
        self._ending = False

    def kick(self):
        """There may be something to send."""
        self._kicked.set()

    def cluster_answers(self):
        """Whatever pause there is because the cluster was away is over."""
        self._answers.set()

    def end(self):
        """Stop after the pass that is going on."""
        self._ending = True
        self._kicked.set()
        self._answers.set()

    def run(self):
        """Until told otherwise; a process that ends does not wait for it."""
        failures = 0
        forwarder = Forwarder()
        while not self._ending:
            error = attempt(forwarder.drain)
            if error is None:
                failures = 0
                self._kicked.wait(PERIOD * random.uniform(0.8, 1.2))
                self._kicked.clear()
            elif not isinstance(error, db_exc.DBDeadlock):
                self._report(failures, error)
                self._answers.wait(delay(failures, AWAY_MIN, AWAY_MAX))
                self._answers.clear()
                failures += 1
            # else another process has been forwarding for long: queue again

    @staticmethod
    def _report(failures, error):
        """Say it when the trouble begins, then rarely."""
        if not isinstance(error, client.Unavailable):
            LOG.error("the journal cannot be forwarded now", exc_info=error)
        elif failures % 12 == 0:
            LOG.warning("the cluster is away, changes wait in the journal: %s", error)


def attempt(action):
    """The error of an action, if it has one: reported later, outside of its handler."""
    try:
        action()
    except Exception as error:
        return error
    return None


_start = threading.Lock()
_worker = None


def worker():
    """This process's worker, started if it is not there: threads do not survive a fork."""
    global _worker
    with _start:
        if _worker is None or _worker.pid != os.getpid() or not _worker.is_alive():
            _worker = Worker()
            _worker.start()
        return _worker


def kick():
    """There may be something to send."""
    worker().kick()
