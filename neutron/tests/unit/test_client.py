"""The client, over HTTP against the fake cluster."""

import uuid

import pytest
from oslo_config import cfg

from midonet.neutron import client


@pytest.fixture
def connected(cluster):
    return client.Client()


def network(revision=0):
    return {"id": str(uuid.uuid4()), "name": "n", "revision_number": revision}


def test_it_logs_in_once(cluster, connected):
    connected.create("network", network())
    connected.create("network", network())
    assert cluster.logins == 1


def test_it_logs_in_again_when_the_token_ends(cluster, connected):
    connected.create("network", network())
    cluster.tokens.clear()
    connected.create("network", network())
    assert cluster.logins == 2
    assert len(cluster.stored) == 2


def test_a_wrong_password_is_the_cluster_unavailable(cluster, connected):
    cluster.password = "other"
    with pytest.raises(client.Unavailable, match="login as neutron failed: wrong user"):
        connected.create("network", network())


def test_create_of_what_exists_is_an_update(cluster, connected):
    body = network()
    connected.create("network", body)
    connected.create("network", {**body, "name": "new", "revision_number": 1})
    assert cluster.stored["networks", body["id"]]["name"] == "new"
    assert [r[0] for r in cluster.requests] == ["POST", "POST", "PUT"]


def test_update_of_what_does_not_exist_is_a_creation(cluster, connected):
    body = network()
    connected.update("network", body)
    assert cluster.stored["networks", body["id"]] == body
    assert [r[0] for r in cluster.requests] == ["PUT", "POST"]


def test_an_older_revision_is_stale(cluster, connected):
    body = network(revision=5)
    connected.create("network", body)
    for send in (connected.create, connected.update):
        with pytest.raises(client.Stale):
            send("network", {**body, "revision_number": 4})


def test_deleting_twice_is_fine(cluster, connected):
    body = network()
    connected.create("network", body)
    connected.delete("network", body["id"])
    connected.delete("network", body["id"])
    assert cluster.stored == {}


@pytest.mark.parametrize("status", [400, 404, 409, 500])
def test_a_refusal_says_why(cluster, connected, status):
    cluster.refuse["networks"] = status
    with pytest.raises(client.Refused, match=f"{status}: refused networks for the test"):
        connected.create("network", network())


@pytest.mark.parametrize("status", [401, 403, 429, 502, 503, 504])
def test_what_says_nothing_about_the_resource_is_unavailability(cluster, connected, status):
    cluster.refuse["networks"] = status
    with pytest.raises(client.Unavailable):
        connected.create("network", network())


def test_nobody_there(cluster):
    cfg.CONF.set_override("midonet_uri", "http://127.0.0.1:1/midonet-api", "midonet")
    with pytest.raises(client.Unavailable, match="Connection refused"):
        client.Client().create("network", network())


def test_every_kind_has_a_path(cluster, connected):
    for kind, (collection, _) in client.KINDS.items():
        body = network()
        connected.create(kind, body)
        assert cluster.ids(collection) == {body["id"]}
