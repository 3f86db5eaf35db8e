"""QoS policies: what is journaled, what is sent, and what Neutron refuses."""

import json

import pytest
from neutron.objects.qos import rule as rules
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks.exceptions import CallbackFailure
from neutron_lib.exceptions import DriverCallError
from neutron_lib.exceptions import qos as exceptions
from neutron_lib.plugins import constants as services
from neutron_lib.plugins import directory

from midonet.neutron import journal, resource

BANDWIDTH, PACKETS, DSCP, MINIMUM, MINIMUM_PACKETS = (
    rules.QosBandwidthLimitRule,
    rules.QosPacketRateLimitRule,
    rules.QosDscpMarkingRule,
    rules.QosMinimumBandwidthRule,
    rules.QosMinimumPacketRateRule,
)
# What no host can promise.
PROMISES = [
    (MINIMUM, {"min_kbps": 1, "direction": constants.EGRESS_DIRECTION}),
    (MINIMUM, {"min_kbps": 1, "direction": constants.INGRESS_DIRECTION}),
    (MINIMUM_PACKETS, {"min_kpps": 1, "direction": constants.ANY_DIRECTION}),
    (MINIMUM_PACKETS, {"min_kpps": 1, "direction": constants.EGRESS_DIRECTION}),
]


class Qos:
    """The QoS plugin, the short way."""

    def __init__(self, context):
        self._context = context
        self.plugin = directory.get_plugin(services.QOS)

    def policy(self, **given):
        body = {"project_id": "project", "name": "gold", "shared": False, **given}
        return self.plugin.create_policy(self._context, {"policy": body})

    def rule(self, policy, cls, **given):
        body = {f"{cls.rule_type}_rule": given}
        return self.plugin.create_policy_rule(self._context, cls, policy["id"], body)

    def change(self, policy, cls, rule, **given):
        body = {f"{cls.rule_type}_rule": given}
        self.plugin.update_policy_rule(self._context, cls, rule["id"], policy["id"], body)

    def drop(self, policy, cls, rule):
        self.plugin.delete_policy_rule(self._context, cls, rule["id"], policy["id"])


@pytest.fixture
def qos(context):
    return Qos(context)


def limit(kbps, direction="egress"):
    return {"max_kbps": kbps, "max_burst_kbps": 0, "direction": direction}


def test_a_policy_is_journaled_with_every_change_of_its_rules(qos, context, rows, kicks):
    policy = qos.policy()
    rule = qos.rule(policy, BANDWIDTH, **limit(1000))
    qos.change(policy, BANDWIDTH, rule, max_kbps=2000)
    qos.drop(policy, BANDWIDTH, rule)
    qos.plugin.delete_policy(context, policy["id"])
    operations = ["create", "update", "update", "update", "delete"]
    assert rows() == [("qos_policy", policy["id"], operation) for operation in operations]
    assert len(kicks) >= len(operations)


def test_what_is_sent_is_the_policy_with_its_rules_and_its_revision(qos):
    policy = qos.policy()
    qos.rule(policy, BANDWIDTH, **limit(1000, "ingress"))
    before = resource.read("qos_policy", policy["id"])
    qos.rule(policy, PACKETS, max_kpps=5, max_burst_kpps=0, direction="egress")
    qos.rule(policy, DSCP, dscp_mark=46)
    after = json.loads(json.dumps(resource.read("qos_policy", policy["id"])))
    assert {rule["type"] for rule in after["rules"]} == {
        "bandwidth_limit",
        "packet_rate_limit",
        "dscp_marking",
    }
    assert after["revision_number"] > before["revision_number"]
    assert after["tenant_id"] == "project"


def test_the_policy_goes_to_the_cluster_before_those_that_name_it(qos, make, cluster):
    policy = qos.policy()
    network = make.network(qos_policy_id=policy["id"])
    port = make.port(network)
    body = resource.read("port", port["id"])
    assert (body["qos_policy_id"], body["qos_network_policy_id"]) == (None, policy["id"])
    assert resource.read("network", network["id"])["qos_policy_id"] == policy["id"]
    assert journal.PUT_ORDER.index("qos_policy") < journal.PUT_ORDER.index("network")


def test_the_default_policy_of_a_project_is_its_new_networks(qos, make):
    policy = qos.policy(is_default=True)
    try:
        assert make.network()["qos_policy_id"] == policy["id"]
    finally:
        # one default per project: other tests make networks too
        qos.plugin.update_policy(qos._context, policy["id"], {"policy": {"is_default": False}})


@pytest.mark.parametrize("bound", [{}, {portbindings.HOST_ID: "host1"}], ids=["unbound", "bound"])
@pytest.mark.parametrize(("cls", "given"), PROMISES)
def test_a_rule_that_is_not_honoured_is_refused_on_a_port(qos, make, rows, bound, cls, given):
    policy = qos.policy()
    port = make.port(make.network(), qos_policy_id=policy["id"], **bound)
    before = rows()
    with pytest.raises(exceptions.QosRuleNotSupported):
        qos.rule(policy, cls, **given)
    assert rows() == before
    assert port["qos_policy_id"] == policy["id"]


@pytest.mark.parametrize(("cls", "given"), PROMISES)
def test_a_rule_that_is_not_honoured_is_refused_on_a_network(qos, make, rows, cls, given):
    policy = qos.policy()
    make.network(qos_policy_id=policy["id"])
    before = rows()
    # one of several drivers' errors, which the API shows as the conflict that it is
    with pytest.raises(DriverCallError) as refused:
        qos.rule(policy, cls, **given)
    [error] = refused.value.inner_exceptions
    assert isinstance(error, exceptions.QosRuleNotSupportedByNetwork)
    assert rows() == before
    assert qos.plugin.get_policy(qos._context, policy["id"])["rules"] == []


@pytest.mark.parametrize(("cls", "given"), PROMISES)
def test_a_policy_with_a_rule_that_is_not_honoured_is_refused_for_networks_and_ports(
    qos, make, cls, given
):
    policy = qos.policy()
    qos.rule(policy, cls, **given)
    refusal = f"{cls.rule_type} is not supported"
    with pytest.raises(CallbackFailure, match=refusal):
        make.network(qos_policy_id=policy["id"])
    network = make.network()
    with pytest.raises(CallbackFailure, match=refusal):
        make.port(network, qos_policy_id=policy["id"])


@pytest.mark.parametrize("direction", constants.VALID_DIRECTIONS)
def test_what_is_honoured_may_be_on_a_port_and_change_there(qos, make, rows, direction):
    policy = qos.policy()
    make.port(make.network(), qos_policy_id=policy["id"])
    rule = qos.rule(policy, BANDWIDTH, **limit(1000, direction))
    packets = {"max_kpps": 1, "max_burst_kpps": 0, "direction": direction}
    qos.rule(policy, PACKETS, **packets)
    qos.rule(policy, DSCP, dscp_mark=46)
    qos.change(policy, BANDWIDTH, rule, max_kbps=2000)
    assert rows()[-4:] == [("qos_policy", policy["id"], "update")] * 4


def test_what_is_honoured_is_all_that_is_announced(qos, context):
    announced = {rule["type"] for rule in qos.plugin.get_rule_types(context, fields=["type"])}
    assert announced == {"bandwidth_limit", "packet_rate_limit", "dscp_marking"}


@pytest.mark.parametrize(
    ("cls", "given"),
    [
        (BANDWIDTH, limit(0)),
        (PACKETS, {"max_kpps": 0, "max_burst_kpps": 0, "direction": "ingress"}),
    ],
)
def test_a_rate_of_nothing_is_refused(qos, make, cls, given):
    policy = qos.policy()
    make.port(make.network(), qos_policy_id=policy["id"])
    with pytest.raises(exceptions.QosRuleNotSupported):
        qos.rule(policy, cls, **given)
