"""The options of section [midonet], by the names that operators know."""

from oslo_config import cfg

GROUP = "midonet"

OPTS = [
    cfg.StrOpt(
        "midonet_uri",
        default="http://localhost:8181/midonet-api",
        help="Root of the MidoNet cluster's REST API.",
    ),
    cfg.StrOpt("username", default="admin", help="User who logs in to the cluster."),
    cfg.StrOpt("password", default="passw0rd", secret=True, help="The user's password."),
    cfg.StrOpt(
        "project_id",
        default="77777777-7777-7777-7777-777777777777",
        help="Project in which the user logs in, by name or ID.",
    ),
    cfg.FloatOpt(
        "request_timeout",
        default=10.0,
        min=0.1,
        help="Seconds after which a request to the cluster counts as unanswered.",
    ),
    cfg.StrOpt(
        "ca_file",
        help="CA certificates (PEM) for an https midonet_uri; the system's if not set.",
    ),
]


def register(conf=cfg.CONF):
    """Make the options known; may be called more than once."""
    conf.register_opts(OPTS, GROUP)


def list_opts():
    """What the sample configuration generator shows."""
    return [(GROUP, OPTS)]
