"""The cluster's agents in Neutron's list."""

import pytest
from neutron_lib.api import faults
from neutron_lib.callbacks import exceptions

from midonet.neutron import agents, client


def host(name, **given):
    return {
        "id": f"id-of-{name}",
        "name": name,
        "alive": True,
        "zone": "",
        "version": "1.0",
        "tunnel": "192.0.2.1",
        "ports_total": 3,
        "ports_up": 2,
        "revision": 7,
        "lag": 0,
        "draining": False,
        **given,
    }


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def reporter(context, core, cluster, clock):
    yield agents.Reporter(client.Client(), clock)
    cluster.hosts.clear()
    for agent in core.get_agents(context):
        core.delete_agent(context, agent["id"])


@pytest.fixture
def listed(core, context):
    return lambda: {agent["host"]: agent for agent in core.get_agents(context)}


def test_one_row_for_each_host_that_lives(cluster, reporter, listed):
    cluster.hosts = [host("a", zone="north"), host("b", alive=False)]
    reporter.step()
    assert set(listed()) == {"a"}
    row = listed()["a"]
    assert (row["agent_type"], row["binary"]) == ("MidoNet agent", "midonet-agent")
    assert row["alive"]
    assert row["availability_zone"] == "north"
    assert row["configurations"]["version"] == "1.0"
    assert row["configurations"]["ports_up"] == 2


def test_a_new_host_does_not_wait_for_the_next_heartbeat(cluster, reporter, listed, clock):
    cluster.hosts = [host("a")]
    reporter.step()
    cluster.hosts.append(host("b"))
    clock.now += agents.LOOK_SECONDS
    reporter.step()
    assert set(listed()) == {"a", "b"}


def test_disabling_an_agent_drains_its_host(core, context, cluster, reporter, listed, clock):
    cluster.hosts = [host("a"), host("b")]
    reporter.step()
    for wanted in (False, True):
        core.update_agent(context, listed()["a"]["id"], {"agent": {"admin_state_up": wanted}})
        clock.now += agents.LOOK_SECONDS
        reporter.step()
        assert [h["draining"] for h in cluster.hosts] == [not wanted, False]


def _refusal(core, context, agent):
    """Why an agent is not deleted, and what the API's user sees of it."""
    # with Neutron's configuration loaded
    from neutron.api import api_common

    with pytest.raises(exceptions.CallbackFailure) as caught:
        core.delete_agent(context, agent["id"])
    (inner,) = caught.value.inner_exceptions
    shown = api_common.convert_exception_to_http_exc(caught.value, faults.FAULT_MAP, None)
    return type(inner), shown.code


def test_deleting_a_dead_agent_deletes_its_host(core, context, cluster, reporter, listed):
    cluster.hosts = [host("a"), host("b")]
    reporter.step()
    cluster.refuse["id-of-a"] = 409
    assert _refusal(core, context, listed()["a"]) == (agents.AgentInUse, 409)
    core.delete_agent(context, listed()["b"]["id"])
    assert set(listed()) == {"a"}
    assert [h["name"] for h in cluster.hosts] == ["a"]
    del cluster.refuse["id-of-a"]


def test_without_the_cluster_nothing_is_deleted(core, context, cluster, reporter, listed):
    cluster.hosts = [host("a")]
    reporter.step()
    cluster.refuse["id-of-a"] = 503
    assert _refusal(core, context, listed()["a"]) == (agents.ClusterAway, 503)
    assert set(listed()) == {"a"}
    del cluster.refuse["id-of-a"]
