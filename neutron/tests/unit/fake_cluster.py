"""A cluster that speaks the wire contract and keeps what it is told. Also a program: PORT."""

import base64
import json
import re
import sys
import threading
import uuid

# by name: Neutron's libraries replace the attribute "server" of the package by one without threads
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = "/midonet-api"
MEDIA = "application/vnd.org.midonet.neutron."


class FakeCluster:
    """State, and an HTTP server for it on a free port of the loopback interface."""

    def __init__(self, port=0):
        self.stored = {}
        self.requests = []
        self.tokens = set()
        self.logins = 0
        self.password = "secret"
        # kind/id or kind -> status to answer instead
        self.refuse = {}
        self.instance = str(uuid.uuid4())
        self.feed = []
        self.hosts = []
        self.changed = threading.Condition()
        handler = type("Handler", (_Handler,), {"cluster": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}{ROOT}"

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def set_status(self, port_id, status):
        with self.changed:
            self.feed.append((port_id, status))
            self.changed.notify_all()

    def sent(self, *methods):
        """(method, collection, id) of the requests about resources, in order."""
        return [r for r in self.requests if not methods or r[0] in methods]

    def ids(self, collection):
        return {i for c, i in self.stored if c == collection}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster = None

    def log_message(self, *args):
        pass

    def _answer(self, status, body=None, headers=()):
        payload = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _error(self, status, message, violations=()):
        self._answer(status, {"code": status, "message": message, "violations": list(violations)})

    def _body(self):
        length = int(self.headers.get("Content-Length", 0))
        return json.loads(self.rfile.read(length)) if length else None

    def do_request(self):
        body = self._body()
        path, _, query = self.path.partition("?")
        path = path.removeprefix(ROOT)
        if path == "/login":
            self._login()
        elif self.headers.get("X-Auth-Token") not in self.cluster.tokens:
            self._error(401, "no valid token")
        elif path == "/status":
            self._answer(200, {"hosts": self.cluster.hosts})
        elif path.startswith("/hosts/"):
            self._host(path.removeprefix("/hosts/"), body)
        elif path == "/neutron/port_statuses":
            self._port_statuses(dict(p.split("=") for p in query.split("&")))
        else:
            match = re.fullmatch(r"/neutron/([a-z_]+)(?:/([0-9a-f-]+))?", path)
            self._resource(match[1], match[2], body)

    do_GET = do_POST = do_PUT = do_DELETE = do_request  # noqa: N815

    def _login(self):
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        _, _, password = base64.b64decode(value).decode().partition(":")
        self.cluster.logins += 1
        if kind != "Basic" or password != self.cluster.password:
            self._error(401, "wrong user or password")
            return
        token = uuid.uuid4().hex
        self.cluster.tokens.add(token)
        cookie = ("Set-Cookie", f"sessionId={token}")
        self._answer(200, {"key": token, "expires": "2100-01-01"}, [cookie])

    def _port_statuses(self, query):
        cluster, since = self.cluster, int(query["since"])
        with cluster.changed:
            if len(cluster.feed) <= since:
                cluster.changed.wait(float(query["wait"]))
            news = dict(cluster.feed[since:])
            cursor = len(cluster.feed)
        ports = [{"id": i, "status": s} for i, s in news.items()]
        self._answer(200, {"instance": cluster.instance, "cursor": cursor, "ports": ports})

    def _host(self, host_id, body):
        cluster = self.cluster
        cluster.requests.append((self.command, "hosts", host_id))
        if host_id in cluster.refuse:
            self._error(cluster.refuse[host_id], "is alive: its agent is connected")
            return
        for host in list(cluster.hosts):
            if host["id"] == host_id and self.command == "PUT":
                host.update(body)
            elif host["id"] == host_id:
                cluster.hosts.remove(host)
        self._answer(204)

    def _resource(self, collection, given, body):
        cluster, method = self.cluster, self.command
        key = (collection, given or body["id"])
        cluster.requests.append((method, *key))
        refuse = cluster.refuse.get(key[1], cluster.refuse.get(collection))
        if refuse:
            self._error(refuse, f"refused {collection} for the test")
        elif method == "DELETE":
            cluster.stored.pop(key, None)
            self._answer(204)
        elif not self.headers["Content-Type"].startswith(MEDIA):
            self._error(415, "media type")
        elif method == "POST" and key in cluster.stored:
            self._error(409, f"{collection} {key[1]} exists")
        elif method == "PUT" and key not in cluster.stored:
            self._error(404, f"{collection} {key[1]} does not exist")
        elif body["revision_number"] < cluster.stored.get(key, body)["revision_number"]:
            self._error(409, "stale", [{"property": "revision_number", "message": "older"}])
        else:
            cluster.stored[key] = body
            self._answer(201 if method == "POST" else 200, body)


if __name__ == "__main__":
    fake = FakeCluster(int(sys.argv[1])).start()
    threading.Event().wait()
