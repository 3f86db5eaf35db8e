"""Security groups: no ML2 hooks, so by way of the registry."""

import sqlalchemy as sa
from neutron.db.models import securitygroup as models
from neutron_lib.callbacks import events, registry, resources

from midonet.neutron import journal

OPERATIONS = {
    events.PRECOMMIT_CREATE: journal.CREATE,
    events.PRECOMMIT_UPDATE: journal.UPDATE,
    events.PRECOMMIT_DELETE: journal.DELETE,
}


@registry.has_registry_receivers
class SecurityGroupCallbacks:
    """Journals groups and rules in the transactions that change them."""

    @registry.receives(resources.SECURITY_GROUP, list(OPERATIONS))
    def group(self, resource, event, trigger, payload):
        """Journal a group."""
        journal.record(payload.context, "security_group", payload.resource_id, OPERATIONS[event])
        if event == events.PRECOMMIT_DELETE:
            self._remote_rules(payload.context, payload.resource_id)

    @staticmethod
    def _remote_rules(context, group_id):
        """Rules of other groups that name this one go with it, without an event of their own."""
        rule = models.SecurityGroupRule
        rules = context.session.scalars(
            sa.select(rule.id).where(
                rule.remote_group_id == group_id, rule.security_group_id != group_id
            )
        )
        for rule_id in rules.all():
            journal.record(context, "security_group_rule", rule_id, journal.DELETE)

    @registry.receives(
        resources.SECURITY_GROUP_RULE, [events.PRECOMMIT_CREATE, events.PRECOMMIT_DELETE]
    )
    def rule(self, resource, event, trigger, payload):
        """Journal a rule; rules are never updated."""
        journal.record(
            payload.context, "security_group_rule", payload.resource_id, OPERATIONS[event]
        )
