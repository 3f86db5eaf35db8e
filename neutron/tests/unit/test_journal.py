"""The journal: what is sent, in which order, and what happens when it cannot be."""

import threading

import pytest
import sqlalchemy as sa
from neutron_lib.db import api as db_api
from oslo_utils import timeutils

from midonet.neutron import client, journal
from midonet.neutron.db import journal_db
from midonet.neutron.db.models import JournalRow


@pytest.fixture
def forwarder(cluster):
    return journal.Forwarder(client.Client())


@pytest.fixture
def pending(context):
    """A function that gives the columns of the rows that are left."""

    def read(*columns):
        with db_api.CONTEXT_READER.using(context):
            query = sa.select(*(getattr(JournalRow, c) for c in columns)).order_by(JournalRow.id)
            return [tuple(row) for row in context.session.execute(query)]

    return read


def now_due(context):
    with db_api.CONTEXT_WRITER.using(context):
        context.session.execute(sa.update(JournalRow).values(retry_at=None))


def row(id_, kind, operation, resource="r", attempts=0):
    return JournalRow(
        id=id_, resource_type=kind, resource_id=resource, operation=operation, attempts=attempts
    )


def test_rows_of_one_resource_become_one_task():
    (task,) = journal.plan([row(1, "port", "create"), row(4, "port", "update", attempts=2)])
    assert (task.operation, task.last, task.attempts) == ("create", 4, 2)


def test_a_deletion_is_the_last_word():
    rows = [row(1, "port", "create"), row(2, "port", "delete"), row(3, "port", "update")]
    assert [task.operation for task in journal.plan(rows)] == ["delete"]


def test_order_follows_dependencies_and_leaves_go_first():
    rows = [
        row(1, "network", "delete", "old"),
        row(2, "floating_ip", "create"),
        row(3, "port", "update"),
        row(4, "router", "create"),
        row(5, "security_group_rule", "create"),
        row(6, "security_group", "create"),
        row(11, "address_group", "create"),
        row(7, "subnet", "create"),
        row(8, "network", "create"),
        row(9, "subnet", "delete", "old"),
        row(10, "port", "delete", "old"),
    ]
    order = [(task.kind, task.operation) for task in journal.plan(rows)]
    assert order == [
        ("port", "delete"),
        ("network", "create"),
        ("subnet", "create"),
        ("address_group", "create"),
        ("security_group", "create"),
        ("security_group_rule", "create"),
        ("router", "create"),
        ("port", "update"),
        ("floating_ip", "create"),
        ("subnet", "delete"),
        ("network", "delete"),
    ]


def test_the_cluster_gets_what_neutron_has(make, core, context, cluster, forwarder, pending):
    network = make.network(name="one")
    make.subnet(network)
    port = make.port(network, **{"binding:host_id": "host1"})
    core.update_network(context, network["id"], {"network": {"name": "two"}})
    forwarder.drain()
    assert pending("id") == []
    stored = cluster.stored["networks", network["id"]]
    assert (stored["name"], stored["tenant_id"]) == ("two", "project")
    stored = cluster.stored["ports", port["id"]]
    assert (stored["binding:host_id"], stored["mac_address"]) == ("host1", port["mac_address"])
    assert stored["revision_number"] == core.get_port(context, port["id"])["revision_number"]
    # creation and update have become one request
    assert len([r for r in cluster.sent() if r[2] == network["id"]]) == 1


def test_deleted_before_it_was_sent(make, core, context, cluster, forwarder):
    network = make.network()
    core.delete_network(context, network["id"])
    forwarder.drain()
    sent = [r for r in cluster.sent() if r[2] == network["id"]]
    assert sent == [("DELETE", "networks", network["id"])]


def test_two_new_groups_may_name_each_other(make, cluster, forwarder, pending):
    one, two = make.group("one"), make.group("two")
    rules = {make.rule(g, remote_group_id=r["id"])["id"] for g, r in ((one, two), (two, one))}
    forwarder.drain()
    assert cluster.stored["security_groups", one["id"]]["security_group_rules"] == []
    assert rules <= cluster.ids("security_group_rules")
    assert pending("id") == []


def test_a_router_interface_is_up_when_the_cluster_knows_it(
    make, l3, core, context, forwarder, pending
):
    subnet = make.subnet(make.network())
    router = make.router()
    port = l3.add_router_interface(context, router["id"], {"subnet_id": subnet["id"]})["port_id"]
    assert core.get_port(context, port)["status"] == "DOWN"
    forwarder.drain()
    assert core.get_port(context, port)["status"] == "ACTIVE"
    assert pending("id") == []


def test_rows_wait_for_a_cluster_that_is_away(make, cluster, forwarder, pending):
    networks = {make.network()["id"] for _ in range(3)}
    cluster.refuse["networks"] = 503
    with pytest.raises(client.Unavailable):
        forwarder.drain()
    assert {i for i, *_ in pending("resource_id")} >= networks
    assert all(row == (0, None) for row in pending("attempts", "retry_at"))
    cluster.refuse.clear()
    forwarder.drain()
    assert networks <= cluster.ids("networks")


def test_a_refused_resource_waits_and_others_go_on(make, context, cluster, forwarder, pending):
    bad, good = make.network(), make.network()
    cluster.refuse[bad["id"]] = 400
    forwarder.drain()
    assert good["id"] in cluster.ids("networks")
    ((resource, attempts, retry_at, error),) = pending(
        "resource_id", "attempts", "retry_at", "last_error"
    )
    assert resource == bad["id"]
    assert retry_at > timeutils.utcnow()
    assert error == "400: refused networks for the test"

    # before its time nothing is asked
    asked = len(cluster.requests)
    forwarder.drain()
    assert len(cluster.requests) == asked

    now_due(context)
    forwarder.drain()
    ((again,),) = pending("attempts")
    assert again > attempts

    cluster.refuse.clear()
    now_due(context)
    forwarder.drain()
    assert bad["id"] in cluster.ids("networks")
    assert pending("id") == []


def test_a_new_change_does_not_wait_for_an_old_refusal(
    make, core, context, cluster, forwarder, pending
):
    network = make.network(name="bad")
    cluster.refuse[network["id"]] = 400
    forwarder.drain()
    cluster.refuse.clear()
    core.update_network(context, network["id"], {"network": {"name": "good"}})
    forwarder.drain()
    assert cluster.stored["networks", network["id"]]["name"] == "good"
    assert pending("id") == []


def test_a_newer_revision_at_the_cluster_is_enough(make, cluster, forwarder, pending):
    network = make.network()
    cluster.stored["networks", network["id"]] = {**network, "revision_number": 99}
    forwarder.drain()
    assert pending("id") == []


def test_a_row_written_while_its_resource_is_sent_stays(
    make, core, context, forwarder, pending, monkeypatch
):
    network = make.network(name="one")
    send = client.Client.create

    def change_meanwhile(self, kind, body):
        send(self, kind, body)
        if body["name"] == "one":
            core.update_network(context, network["id"], {"network": {"name": "two"}})

    monkeypatch.setattr(client.Client, "create", change_meanwhile)
    forwarder._pass(journal.plan(journal_db.due(journal.BATCH)))
    assert pending("resource_id", "operation") == [(network["id"], "update")]


def test_a_resource_that_cannot_be_read_does_not_stop_others(
    make, cluster, forwarder, pending, monkeypatch
):
    from midonet.neutron import resource

    bad, good = make.network(), make.network()
    read = resource.READERS["network"]

    def broken(context, network_id):
        if network_id == bad["id"]:
            raise ValueError("broken")
        return read(context, network_id)

    monkeypatch.setitem(resource.READERS, "network", broken)
    forwarder.drain()
    assert good["id"] in cluster.ids("networks")
    assert pending("resource_id", "last_error") == [(bad["id"], "ValueError: broken")]


def test_pauses_grow_and_are_bounded():
    shortest = [journal.delay(n, 1.0, 60.0) for n in range(40)]
    assert all(0.7 <= pause <= 60.0 for pause in shortest)
    assert max(shortest[:1]) <= 1.0
    assert min(shortest[10:]) >= 0.7 * 60


def test_the_worker_forwards_what_is_committed(make, context, cluster, monkeypatch, pending):
    stored = threading.Event()
    forget = journal_db.forget

    def noticed(kind, resource_id, last):
        forget(kind, resource_id, last)
        if kind == "network":
            stored.set()

    monkeypatch.setattr(journal_db, "forget", noticed)
    worker = journal.Worker()
    monkeypatch.setattr(journal, "kick", worker.kick)
    worker.start()
    network = make.network()
    assert stored.wait(10)
    assert network["id"] in cluster.ids("networks")
    worker.end()
    worker.join(10)
    assert not worker.is_alive()


def test_a_thread_is_started_once_per_process(monkeypatch):
    started = []
    monkeypatch.setattr(journal.Worker, "start", lambda self: started.append(self))
    monkeypatch.setattr(journal.Worker, "is_alive", lambda self: True)
    monkeypatch.setattr(journal, "_worker", None)
    first = journal.worker()
    assert journal.worker() is first
    # after a fork the thread is not there
    first.pid = -1
    assert journal.worker() is not first
    assert len(started) == 2
