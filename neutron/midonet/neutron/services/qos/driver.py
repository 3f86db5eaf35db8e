"""The QoS driver: says what is honoured, and journals policies."""

from neutron.objects import network as network_objects
from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.db import constants as db_constants
from neutron_lib.exceptions import qos as exceptions
from neutron_lib.services.qos import base
from neutron_lib.services.qos import constants as qos
from oslo_config import cfg

from midonet.neutron import journal
from midonet.neutron.common import constants as ours

# Neutron takes 0 for a rate too; nobody can mean that.
_RATE = {"type:range": [1, db_constants.DB_INTEGER_MAX_VALUE]}
_BURST = {"type:range": [0, db_constants.DB_INTEGER_MAX_VALUE]}
_EITHER_WAY = {"type:values": constants.VALID_DIRECTIONS}
# What the hosts enforce. Neutron refuses any other rule on a port or a network.
SUPPORTED_RULES = {
    qos.RULE_TYPE_BANDWIDTH_LIMIT: {
        qos.MAX_KBPS: _RATE,
        qos.MAX_BURST: _BURST,
        qos.DIRECTION: _EITHER_WAY,
    },
    qos.RULE_TYPE_PACKET_RATE_LIMIT: {
        qos.MAX_KPPS: _RATE,
        qos.MAX_BURST_KPPS: _BURST,
        qos.DIRECTION: _EITHER_WAY,
    },
    qos.RULE_TYPE_DSCP_MARKING: {
        qos.DSCP_MARK: {"type:values": constants.VALID_DSCP_MARKS},
    },
}


class MidonetQosDriver(base.DriverBase):
    """Keeps the cluster's policies those of Neutron.

    Which policy a port has is part of the port and of its network; a change of a policy's rules is
    one change of the policy.
    """

    def __init__(self):
        super().__init__(
            name="midonet",
            vif_types=[ours.VIF_TYPE_MIDONET],
            vnic_types=[portbindings.VNIC_NORMAL],
            supported_rules=SUPPORTED_RULES,
        )

    @property
    def is_loaded(self):
        """Whether ports and networks have policies at all."""
        return "qos" in cfg.CONF.ml2.extension_drivers

    def create_policy_precommit(self, context, policy):
        """Journal."""
        journal.record(context, "qos_policy", policy["id"], journal.CREATE)

    def update_policy_precommit(self, context, policy):
        """Validate and journal; this is also how a change of a rule is told."""
        self._check_networks(context, policy)
        journal.record(context, "qos_policy", policy["id"], journal.UPDATE)

    def _check_networks(self, context, policy):
        """Refuse rules that are not honoured on networks that have the policy.

        Neutron itself looks at them when a network gets a policy, and when a policy changes only
        at the ports that there are.
        """
        refused = [rule for rule in policy.rules if not self.is_rule_supported(rule)]
        networks = policy.get_bound_networks() if refused else []
        if not networks:
            return
        for segment in network_objects.NetworkSegment.get_objects(context, network_id=networks):
            if segment.network_type in ours.NETWORK_TYPES:
                raise exceptions.QosRuleNotSupportedByNetwork(
                    rule_type=refused[0].rule_type, network_id=segment.network_id
                )

    def delete_policy_precommit(self, context, policy):
        """Journal."""
        journal.record(context, "qos_policy", policy["id"], journal.DELETE)
