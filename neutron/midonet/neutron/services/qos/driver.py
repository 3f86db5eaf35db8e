"""The QoS driver: says what is honoured, and journals policies."""

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.services.qos import base
from neutron_lib.services.qos import constants as qos
from oslo_config import cfg

from midonet.neutron import journal
from midonet.neutron.common import constants as ours

# What the hosts enforce. Neutron refuses any other rule on a port or a network.
SUPPORTED_RULES = {
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
        """Journal; this is also how a change of a rule is told."""
        journal.record(context, "qos_policy", policy["id"], journal.UPDATE)

    def delete_policy_precommit(self, context, policy):
        """Journal."""
        journal.record(context, "qos_policy", policy["id"], journal.DELETE)
