"""MidoNet's agents in Neutron's list: `openstack network agent list` shows one for each host.

The cluster knows which agents are there. Whoever follows the port states writes their heartbeats
into Neutron's table, and takes from it whether an operator has disabled one: that takes traffic off
the uplinks of its host. An agent that is gone for good is deleted here and at the cluster.
"""

import time

from neutron_lib import context as lib_context
from neutron_lib import exceptions
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import directory
from oslo_log import log

from midonet.neutron import client

LOG = log.getLogger(__name__)

AGENT_TYPE = "MidoNet agent"
BINARY = "midonet-agent"
# Neutron counts an agent as dead after agent_down_time, 75 s unless it is told otherwise.
HEARTBEAT_SECONDS = 20.0
# How often it is looked whether an operator has enabled or disabled one.
LOOK_SECONDS = 3.0


class AgentInUse(exceptions.Conflict):
    """An agent that is there, or whose host has ports, cannot be deleted."""

    message = "Agent %(agent)s on host %(host)s cannot be deleted: %(reason)s"


class ClusterAway(exceptions.ServiceUnavailable):
    """What cannot be done without the cluster."""

    message = "The MidoNet cluster does not answer: %(reason)s"


class Reporter:
    """Keeps the rows of Neutron's table those of the cluster's hosts."""

    def __init__(self, cluster=None, clock=time.monotonic):
        self._client = cluster or client.Client()
        self._clock = clock
        self._look_at = self._beat_at = 0.0

    def step(self):
        """Do what is due. Raises client.Unavailable."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        hosts = self._client.hosts()
        enabled = _enabled()
        if now >= self._beat_at or any(h["alive"] and h["name"] not in enabled for h in hosts):
            self._beat_at = now + HEARTBEAT_SECONDS
            for host in hosts:
                if host["alive"]:
                    _heartbeat(host)
        for host in hosts:
            draining = not enabled.get(host["name"], True)
            if host["draining"] != draining:
                self._client.drain(host["id"], draining)


def _enabled():
    """Whether each agent is enabled, by host."""
    filters = {"agent_type": [AGENT_TYPE]}
    rows = directory.get_plugin().get_agent_objects(lib_context.get_admin_context(), filters)
    return {row.host: row.admin_state_up for row in rows}


def _heartbeat(host):
    state = {
        "agent_type": AGENT_TYPE,
        "binary": BINARY,
        "host": host["name"],
        "topic": "N/A",
        "availability_zone": host["zone"] or None,
        "configurations": {
            "version": host["version"],
            "tunnel_ip": host["tunnel"],
            "ports": host["ports_total"],
            "ports_up": host["ports_up"],
            "revision": host["revision"],
            "revisions_behind": host["lag"],
        },
    }
    directory.get_plugin().create_or_update_agent(lib_context.get_admin_context(), state)


class AgentCallbacks:
    """Deletes at the cluster what is deleted in Neutron."""

    def __init__(self):
        registry.subscribe(self._deleted, resources.AGENT, events.BEFORE_DELETE)

    @staticmethod
    def _deleted(resource, event, trigger, payload):
        agent = payload.states[0]
        if agent.agent_type != AGENT_TYPE:
            return
        # a connection of its own: it is used once in a blue moon, by any thread
        cluster = client.Client()
        try:
            for host in cluster.hosts():
                if host["name"] == agent.host:
                    cluster.delete_host(host["id"])
        except client.Refused as refused:
            raise AgentInUse(agent=agent.id, host=agent.host, reason=refused.reason) from refused
        except client.Unavailable as away:
            raise ClusterAway(reason=away) from away
