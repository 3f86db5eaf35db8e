"""The ML2 mechanism driver: validates, journals, binds."""

from neutron import policy
from neutron.db import provisioning_blocks
from neutron_lib import constants
from neutron_lib.api.definitions import (
    multiprovidernet,
    port_device_profile,
    port_numa_affinity_policy,
    port_numa_affinity_policy_socket,
    portbindings,
    provider_net,
    qinq,
    vlantransparent,
)
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins.ml2 import api
from oslo_log import log
from sqlalchemy import orm

from midonet.neutron import agents, dhcp_options, journal, status
from midonet.neutron.common import config, exceptions
from midonet.neutron.common import constants as ours
from midonet.neutron.ml2 import address_groups, refusals, sg_callbacks, uplinks
from midonet.neutron.services import port_forwarding
from midonet.neutron.services.qos import driver as qos_driver
from midonet.neutron.services.trunk import driver as trunk_driver

LOG = log.getLogger(__name__)

# ML2 announces these whatever the driver; networks of our types do not keep what they promise.
UNSUPPORTED_EXTENSIONS = frozenset(
    {
        multiprovidernet.ALIAS,
        port_device_profile.ALIAS,
        port_numa_affinity_policy.ALIAS,
        port_numa_affinity_policy_socket.ALIAS,
        qinq.ALIAS,
        vlantransparent.ALIAS,
    }
)
# Device owners of kinds of routers that do not exist here.
UNSUPPORTED_OWNERS = frozenset(
    {
        constants.DEVICE_OWNER_DVR_INTERFACE,
        constants.DEVICE_OWNER_HA_REPLICATED_INT,
        constants.DEVICE_OWNER_ROUTER_HA_INTF,
        constants.DEVICE_OWNER_ROUTER_SNAT,
    }
)
# What an update of the port's state alone changes; the cluster told it, so it is not told back.
STATE_FIELDS = frozenset({"status", "revision_number", "updated_at"})


class MidonetMechanismDriver(api.MechanismDriver):
    """Makes networks of types `midonet` and `uplink` real by way of the MidoNet cluster."""

    def initialize(self):
        """Called once when ML2 has loaded all drivers."""
        config.register()
        self._vif_details = {
            portbindings.CAP_PORT_FILTER: True,
            portbindings.VIF_DETAILS_CONNECTIVITY: portbindings.CONNECTIVITY_L2,
        }
        # the registry keeps no strong reference
        self._security_groups = sg_callbacks.SecurityGroupCallbacks()
        self._qos = qos_driver.MidonetQosDriver()
        self._trunks = trunk_driver.MidonetTrunkDriver()
        self._agents = agents.AgentCallbacks()
        address_groups.listen()
        port_forwarding.adopt()
        registry.subscribe(self._start, resources.PROCESS, events.AFTER_INIT)

    @staticmethod
    def _start(resource, event, trigger, payload=None):
        """Start the threads, in the process that serves the API and not in its parent."""
        _finish_lazy_parts()
        journal.kick()
        status.start()

    @property
    def connectivity(self):
        """Layer 2: VMs see an Ethernet segment."""
        return portbindings.CONNECTIVITY_L2

    def supported_extensions(self, extensions):
        """Keep what cannot be kept from being announced."""
        return extensions - UNSUPPORTED_EXTENSIONS

    def check_vlan_transparency(self, context):
        """VLAN tags of VMs do not pass."""
        return not _is_ours(context.current)

    def check_vlan_qinq(self, context):
        """VLAN tags of VMs do not pass, let alone two."""
        return not _is_ours(context.current)

    # Networks

    def create_network_precommit(self, context):
        """Validate and journal."""
        self._check_segments(context)
        self._network(context, journal.CREATE)

    def update_network_precommit(self, context):
        """Validate and journal."""
        self._check_segments(context)
        self._network(context, journal.UPDATE)

    def delete_network_precommit(self, context):
        """Journal."""
        self._network(context, journal.DELETE)

    @staticmethod
    def _network(context, operation):
        if _is_ours(context.current):
            refusals.check_network(context.current)
            journal.record(context.plugin_context, "network", context.current["id"], operation)

    @staticmethod
    def _check_segments(context):
        segments = context.network_segments
        if len(segments) > 1 and any(s[api.NETWORK_TYPE] in ours.NETWORK_TYPES for s in segments):
            raise exceptions.MultipleSegments(count=len(segments))
        uplinks.check_network(context.current)

    # Subnets

    def create_subnet_precommit(self, context):
        """Validate and journal."""
        if _is_ours(context.network.current):
            refusals.check_subnet(context.current)
        self._subnet(context, journal.CREATE)

    def update_subnet_precommit(self, context):
        """Journal."""
        self._subnet(context, journal.UPDATE)

    def delete_subnet_precommit(self, context):
        """Journal."""
        self._subnet(context, journal.DELETE)

    @staticmethod
    def _subnet(context, operation):
        if _is_ours(context.network.current):
            journal.record(context.plugin_context, "subnet", context.current["id"], operation)

    # Ports

    def create_port_precommit(self, context):
        """Validate, block until it is plugged, journal."""
        if not _is_ours(context.network.current):
            return
        self._check_owner(context.current)
        refusals.check_port(context.plugin_context, context.current)
        dhcp_options.check(context.current)
        self._check_uplink(context)
        self._block(context, moved=True)
        self._port(context, journal.CREATE)

    def update_port_precommit(self, context):
        """Validate, block if it goes to another host, journal."""
        if not _is_ours(context.network.current):
            return
        trunk_driver.parent_updated(context)
        if _only_state_changed(context):
            return
        if context.current["device_owner"] != context.original["device_owner"]:
            self._check_owner(context.current)
        refusals.check_port(context.plugin_context, context.current)
        dhcp_options.check(context.current)
        self._check_uplink(context)
        self._block(context, moved=context.host != context.original_host)
        self._port(context, journal.UPDATE)

    def delete_port_precommit(self, context):
        """Journal."""
        if _is_ours(context.network.current):
            self._port(context, journal.DELETE)

    @staticmethod
    def _port(context, operation):
        port, plugin_context = context.current, context.plugin_context
        journal.record(plugin_context, "port", port["id"], operation)
        if port["device_owner"] == constants.DEVICE_OWNER_ROUTER_GW and port["device_id"]:
            # the addresses of the gateway are part of the router, but no event of the router's
            journal.record(plugin_context, "router", port["device_id"], journal.UPDATE)

    @staticmethod
    def _check_owner(port):
        if port["device_owner"] in UNSUPPORTED_OWNERS:
            raise exceptions.UnsupportedDeviceOwner(
                port=port["id"],
                owner=port["device_owner"],
                instead=constants.DEVICE_OWNER_ROUTER_INTF,
            )

    @staticmethod
    def _check_uplink(context):
        if uplinks.is_uplink(context.network.current):
            uplinks.check_port(context.plugin_context, context.current)

    @staticmethod
    def _block(context, moved):
        """Keep a port that is to be plugged on a host from ACTIVE until the cluster says so."""
        port = context.current
        if (
            moved
            and context.host
            and port[portbindings.VNIC_TYPE] == portbindings.VNIC_NORMAL
            and port["status"] != constants.PORT_STATUS_ACTIVE
        ):
            provisioning_blocks.add_provisioning_component(
                context.plugin_context,
                port["id"],
                resources.PORT,
                provisioning_blocks.L2_AGENT_ENTITY,
            )

    def bind_port(self, context):
        """Bind an ordinary port on a network of ours; it is up when the cluster says so."""
        vnic_type = context.current[portbindings.VNIC_TYPE]
        if vnic_type != portbindings.VNIC_NORMAL:
            LOG.warning(
                "port %s is not bound: vnic_type %s is not supported, only %s is",
                context.current["id"],
                vnic_type,
                portbindings.VNIC_NORMAL,
            )
            return
        for segment in context.segments_to_bind:
            if segment[api.NETWORK_TYPE] in ours.NETWORK_TYPES:
                context.set_binding(segment[api.ID], ours.VIF_TYPE_MIDONET, self._vif_details)
                return


def _finish_lazy_parts():
    """Do now what Neutron does with the first request, which is not safe from several threads.

    Until the policy's rules are loaded, other requests are forbidden or find nothing; get_port
    names an attribute of a model that is there only after the first query of the process.
    """
    policy.init()
    orm.configure_mappers()


def _is_ours(network):
    segments = network.get(multiprovidernet.SEGMENTS) or [network]
    return any(s.get(provider_net.NETWORK_TYPE) in ours.NETWORK_TYPES for s in segments)


def _only_state_changed(context):
    """Whether the update is that of the port's state which the cluster told.

    An update in which nothing changed at all is none: Neutron announces in this way that a port got
    an address of a new subnet.
    """
    current, original = context.current, context.original
    changed = {
        key for key in current.keys() | original.keys() if current.get(key) != original.get(key)
    }
    return "status" in changed and changed <= STATE_FIELDS
