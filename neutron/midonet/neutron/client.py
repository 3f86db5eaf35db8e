"""The cluster's REST API: the only module that knows HTTP."""

import threading

import requests
from oslo_config import cfg
from oslo_log import log

from midonet.neutron.common import config

LOG = log.getLogger(__name__)

# kind of resource -> (collection, word in the media type)
KINDS = {
    "qos_policy": ("qos_policies", "QosPolicy"),
    "network": ("networks", "Network"),
    "subnet": ("subnets", "Subnet"),
    "address_group": ("address_groups", "AddressGroup"),
    "security_group": ("security_groups", "SecurityGroup"),
    "security_group_rule": ("security_group_rules", "SecurityGroupRule"),
    "router": ("routers", "Router"),
    "port": ("ports", "Port"),
    "floating_ip": ("floating_ips", "FloatingIp"),
    "port_forwarding": ("port_forwardings", "PortForwarding"),
}
# Answers that say nothing about the resource: come back later.
LATER = frozenset({401, 403, 408, 429, 502, 503, 504})
MESSAGE_MAX = 400


class Unavailable(Exception):
    """The cluster does not answer, or lets nobody in: any request would fail now."""


class Stale(Exception):
    """The cluster has a newer revision of the resource."""


class Refused(Exception):
    """The cluster refuses this resource."""

    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status = status
        self.reason = message


class Client:
    """A connection to the cluster. One per thread."""

    def __init__(self, conf=None):
        config.register()
        self._conf = conf or cfg.CONF.midonet
        self._root = self._conf.midonet_uri.rstrip("/")
        self._token = None
        self._lock = threading.Lock()
        self._http = requests.Session()
        # neither proxies nor .netrc of whoever started Neutron
        self._http.trust_env = False
        self._http.verify = self._conf.ca_file or True

    def create(self, kind, body):
        """Make the resource as in body, or bring it there if it exists."""
        try:
            self._send("POST", kind, body)
        except Refused as refused:
            if refused.status != 409:
                raise
            self._instead("PUT", kind, body, refused)

    def update(self, kind, body):
        """Bring the resource to what body says, or make it if it is not there."""
        try:
            self._send("PUT", kind, body)
        except Refused as refused:
            if refused.status != 404:
                raise
            self._instead("POST", kind, body, refused)

    def delete(self, kind, resource_id):
        """Delete the resource; no error if it is not there."""
        self._request("DELETE", self._path(kind, resource_id))

    def port_statuses(self, since, wait):
        """What the feed of port states has after `since`; waits up to `wait` seconds for news."""
        return self._request(
            "GET", "/neutron/port_statuses", params={"since": since, "wait": wait}, patience=wait
        ).json()

    def hosts(self):
        """The hosts that have an agent, or had one, and how they are."""
        return self._request("GET", "/status").json()["hosts"]

    def drain(self, host_id, draining):
        """Take traffic off the uplinks of a host, or let it back."""
        headers = {"Content-Type": "application/vnd.org.midonet.Host-v3+json"}
        body = {"draining": draining}
        self._request("PUT", f"/hosts/{host_id}", json=body, headers=headers)

    def delete_host(self, host_id):
        """Drop a host whose agent is gone for good."""
        self._request("DELETE", f"/hosts/{host_id}")

    def _instead(self, method, kind, body, first):
        """Second try by the other method; if that is refused as well, the first answer counts.

        A 409 is not only "exists" and a 404 not only "no such resource": both may be about another
        resource that this one names.
        """
        try:
            self._send(method, kind, body)
        except Refused as second:
            raise (second if second.status not in (404, 405, 409) else first) from None

    def _send(self, method, kind, body):
        path = self._path(kind, body["id"] if method == "PUT" else None)
        media = f"application/vnd.org.midonet.neutron.{KINDS[kind][1]}-v1+json"
        self._request(method, path, json=body, headers={"Content-Type": media, "Accept": media})

    @staticmethod
    def _path(kind, resource_id=None):
        path = f"/neutron/{KINDS[kind][0]}"
        return f"{path}/{resource_id}" if resource_id else path

    def _request(self, method, path, patience=0, headers=None, **kwargs):
        with self._lock:
            response = self._exchange(method, path, patience, headers, kwargs)
            if response.status_code == 401:
                self._token = None
                response = self._exchange(method, path, patience, headers, kwargs)
        return self._judge(response)

    def _exchange(self, method, path, patience, headers, kwargs):
        if self._token is None:
            self._token = self._login()
        headers = {**(headers or {}), "X-Auth-Token": self._token}
        return self._call(method, path, patience, headers=headers, **kwargs)

    def _login(self):
        conf = self._conf
        # as bytes: the library would encode text as Latin-1
        auth = (conf.username.encode(), conf.password.encode())
        headers = {"X-Auth-Project": conf.project_id}
        response = self._call("POST", "/login", auth=auth, headers=headers, json={})
        if response.status_code != 200:
            raise Unavailable(f"login as {conf.username} failed: {self._message(response)}")
        return response.json()["key"]

    def _call(self, method, path, patience=0, **kwargs):
        limit = self._conf.request_timeout
        try:
            return self._http.request(
                method, self._root + path, timeout=(limit, limit + patience), **kwargs
            )
        except requests.RequestException as error:
            raise Unavailable(f"{method} {self._root}{path}: {_root_cause(error)}") from error

    def _judge(self, response):
        status = response.status_code
        if status < 300:
            return response
        message = self._message(response)
        if status in LATER:
            raise Unavailable(message)
        if status == 409 and self._is_stale(response):
            raise Stale(message)
        raise Refused(status, message)

    @staticmethod
    def _is_stale(response):
        try:
            violations = response.json().get("violations", [])
        except (ValueError, AttributeError):
            return False
        return any(v.get("property") == "revision_number" for v in violations)

    @staticmethod
    def _message(response):
        try:
            message = response.json()["message"]
        except (ValueError, KeyError, TypeError):
            message = response.text or response.reason or ""
        return f"{message}"[:MESSAGE_MAX]


def _root_cause(error):
    """What the operating system said, without the wrappings of the libraries above it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error
