"""Port states from the feed to Neutron."""

import pytest

from midonet.neutron import client, status
from midonet.neutron.db import lease_db

BOUND = {"binding:host_id": "host1"}


class Clock:
    """Time that passes when told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def follower(cluster, clock, monkeypatch):
    monkeypatch.setattr(status, "POLL_SECONDS", 0)
    monkeypatch.setattr(status.time, "sleep", lambda seconds: None)
    return status.Follower(client.Client(), status.Applier(clock), clock)


@pytest.fixture
def state(core, context):
    return lambda port: core.get_port(context, port["id"])["status"]


def test_up_and_down_and_up(make, cluster, follower, state):
    port = make.port(make.network(), **BOUND)
    follower.step()
    assert state(port) == "DOWN"
    for wanted in ("ACTIVE", "DOWN", "ACTIVE"):
        cluster.set_status(port["id"], wanted)
        follower.step()
        assert state(port) == wanted


def test_what_happened_before_is_read_in_full(make, cluster, follower, state):
    port = make.port(make.network(), **BOUND)
    cluster.set_status(port["id"], "ACTIVE")
    follower.step()
    assert state(port) == "ACTIVE"


def test_a_port_that_is_up_before_it_is_bound(
    make, core, context, cluster, follower, clock, state, monkeypatch
):
    from neutron.plugins.ml2.managers import MechanismManager

    bind = MechanismManager.bind_port
    monkeypatch.setattr(MechanismManager, "bind_port", lambda self, context: None)
    port = make.port(make.network(), **BOUND)
    follower.step()
    cluster.set_status(port["id"], "ACTIVE")
    follower.step()
    assert state(port) == "DOWN"
    monkeypatch.setattr(MechanismManager, "bind_port", bind)
    core.update_port(context, port["id"], {"port": {"binding:profile": {}}})
    clock.now += 1
    follower.step()
    assert state(port) == "ACTIVE"


def test_after_a_restart_of_the_cluster_ports_are_not_down_at_once(
    make, cluster, follower, clock, state
):
    port, gone = (make.port(make.network(), **BOUND) for _ in range(2))
    for one in (port, gone):
        cluster.set_status(one["id"], "ACTIVE")
    follower.step()
    assert state(port) == state(gone) == "ACTIVE"

    cluster.feed.clear()
    cluster.instance = "another"
    follower.step()  # notices
    follower.step()  # reads in full: nothing is up
    assert state(port) == "ACTIVE"
    cluster.set_status(port["id"], "ACTIVE")
    follower.step()
    clock.now += status.SETTLE_SECONDS + 1
    follower.step()
    assert state(port) == "ACTIVE"
    assert state(gone) == "DOWN"


def test_a_deleted_port_is_nobody(make, core, context, cluster, follower):
    port = make.port(make.network(), **BOUND)
    follower.step()
    core.delete_port(context, port["id"])
    cluster.set_status(port["id"], "ACTIVE")
    follower.step()
    assert port["id"] not in follower._applier._wanted


def test_one_process_has_the_lease(context):
    assert lease_db.acquire("port_status", "one", 10)
    assert not lease_db.acquire("port_status", "two", 10)
    assert lease_db.acquire("port_status", "one", -1)
    assert lease_db.acquire("port_status", "two", 10)
