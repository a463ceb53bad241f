"""HAProxy does what the configuration says: a real one with a rendered file, servers behind it, requests through it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest

from hactl.config.load import parse_cluster
from hactl.haproxy.control.runtime import ask, parse_server_states
from hactl.haproxy.render.document import render
from hactl.haproxy.routing import Routing
from hactl.haproxy.settings import HaproxySettings
from tests.lab.haproxy.haproxy_lab import BINARY, DEADLINE_S, NODES, free_port
from tests.support.haproxy_accepts import make_tls_files
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(
    not shutil.which(BINARY, path="/usr/local/sbin:/usr/sbin:/usr/bin"), reason="needs haproxy"
)

CLUSTER = f"""\
cluster: demo
nodes:
  - {{name: a, address: {NODES[0]}}}
  - {{name: b, address: {NODES[1]}}}
  - {{name: c, address: {NODES[2]}}}
groups:
  - {{name: writer, fencing: required, resources: [{{name: unit, systemd: {{unit: a.service}}}}]}}
"""
QUIET = "log: [], nbthread: 1, maxconn: 200, user: '', group: ''"
ALL = frozenset("abc")
# Fast enough for a test, slow enough for a busy machine.
CHECK = "inter: 200ms, fastinter: 50ms, downinter: 100ms"


@pytest.fixture
def place() -> Iterator[Path]:
    # Short: it holds unix sockets.
    with tempfile.TemporaryDirectory(prefix="hactl-") as directory:
        yield Path(directory)


class Balancer:
    """A HAProxy that runs."""

    def __init__(self, place: Path, node: str) -> None:
        self.settings = HaproxySettings(str(place / node), BINARY)
        Path(self.settings.run_dir).mkdir()
        Path(self.settings.health_file).touch()

    def command(self, text: str) -> str:
        return asyncio.run(ask(self.settings.stats_socket, text, DEADLINE_S))

    def states(self, service: str) -> dict[str, str]:
        states = parse_server_states(self.command("show stat"))
        return {server.server: server.status for server in states if server.proxy == service}


@contextlib.contextmanager
def running(place: Path, text: str, node: str = "a", routing: Routing | None = None) -> Iterator[Balancer]:
    """HAProxy of `node` with these services. `text`: the part of cluster.yaml after the nodes."""
    made = Balancer(place, node)
    spec = parse_cluster(CLUSTER + text)
    Path(made.settings.config_file).write_text(render(spec, routing or Routing(ALL), node, made.settings))
    argv = [BINARY, "-db", "-f", made.settings.config_file]
    with (place / f"{node}.log").open("w") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            until(lambda: Path(made.settings.stats_socket).exists() or process.poll() is not None, "HAProxy listens")
            assert process.poll() is None, (place / f"{node}.log").read_text()
            yield made
        finally:
            process.kill()


class Web(BaseHTTPRequestHandler):
    """Says the node, the path, and the headers that the request came with."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/odd":
            self.send_response(404)
        else:
            self.send_response(200)
        node = "abc"[NODES.index(self.server.server_address[0])]
        body = f"{node} {self.path}\n{self.headers}".encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving(handler: Any, port: int, nodes: str = "abc", tls: Path | None = None) -> Iterator[None]:
    """Servers on the nodes."""
    kind = ThreadingHTTPServer if issubclass(handler, BaseHTTPRequestHandler) else ThreadingTCPServer
    kind.allow_reuse_address = kind.daemon_threads = True
    servers = [kind((NODES["abc".index(node)], port), handler) for node in nodes]
    for server in servers:
        if tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(tls / "api.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def get(port: int, path: str = "/", tls: bool = False, **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
    context = ssl._create_unverified_context()
    made: Any = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    connection = made("127.0.0.1", port, timeout=DEADLINE_S, **({"context": context} if tls else {}))
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def test_tls_ends_and_begins_again(place: Path) -> None:
    front, back = free_port(), free_port()
    (tls := place / "tls").mkdir()
    make_tls_files(tls)
    text = f"""
services:
  - name: web
    binds: [{{address: "127.0.0.1:{front}", tls: {{certificates: [{tls}/api.pem], alpn: http/1.1}}}}]
    port: {back}
    mode: http
    server: {{tls: {{ca_file: {tls}/ca.pem, verify_host: api.example.org}}}}
    check: {{http: /, {CHECK}}}
    http_request: ["set-header X-Forwarded-Proto https if {{ ssl_fc }}"]
haproxy: {{{QUIET}}}
"""
    with serving(Web, back, tls=tls), running(place, text) as balancer:
        until(lambda: balancer.states("web").get("a") == "UP", "checked by TLS")
        status, body, _ = get(front, tls=True)
        assert status == 200
        assert {"x-forwarded-proto: https", "x-forwarded-for: 127.0.0.1"} <= set(body.lower().splitlines())


def test_a_frontend_chooses_and_a_cookie_stays(place: Path) -> None:
    front, back = free_port(), free_port()
    text = f"""
services:
  - name: web
    kind: frontend
    binds: ["127.0.0.1:{front}"]
    mode: http
    acls: ["is_api path_beg /api"]
    use_backend: [api if is_api]
    default_backend: pages
  - {{name: api, kind: backend, mode: http, port: {back}, nodes: [c], check: none}}
  - {{name: pages, kind: backend, mode: http, port: {back}, nodes: [a, b], check: none, cookie: {{name: SERVERID}}}}
haproxy: {{{QUIET}}}
"""
    with serving(Web, back), running(place, text):
        assert get(front, "/api/v3")[1].startswith("c /api/v3")
        _, body, headers = get(front)
        server = headers["Set-Cookie"].partition(";")[0]
        assert server == f"SERVERID={body[0]}"
        assert {get(front, Cookie="SERVERID=b")[1][0] for _ in range(4)} == {"b"}
        assert {get(front)[1][0] for _ in range(4)} == {"a", "b"}


def test_a_table_is_shared_by_the_balancers(place: Path) -> None:
    front, other, back, peers = free_port(), free_port(), free_port(), free_port()
    text = f"""
services:
  - name: web
    binds: ["127.0.0.1:%d"]
    port: {back}
    check: none
    stick: {{}}
haproxy: {{{QUIET}, peers_port: {peers}}}
"""
    with serving(Web, back), running(place, text % front, "a") as first, running(place, text % other, "b") as second:
        chosen = {get(front)[1][0] for _ in range(6)}
        assert len(chosen) == 1
        until(lambda: "key=127.0.0.1" in second.command("show table web"), "the table of the other one has the client")
        assert {get(other)[1][0] for _ in range(6)} == chosen
        assert "key=127.0.0.1" in first.command("show table web")


class Redis(StreamRequestHandler):
    """The node a is the master."""

    def handle(self) -> None:
        role = "master" if self.server.server_address[0] == NODES[0] else "slave"
        with contextlib.suppress(OSError):
            for line in self.rfile:
                info = f"$99\r\n# Replication\r\nrole:{role}\r\n"
                answer = {b"PING": "+PONG\r\n", b"QUIT": "+OK\r\n"}.get(line.strip(), info)
                self.wfile.write(answer.encode())


def test_the_redis_of_a_role(place: Path) -> None:
    back = free_port()
    text = f"""
services:
  - {{name: redis, binds: ["127.0.0.1:{free_port()}"], port: {back}, check: {{kind: redis, role: master, {CHECK}}}}}
  - {{name: any, binds: ["127.0.0.1:{free_port()}"], port: {back}, check: {{kind: redis, {CHECK}}}}}
haproxy: {{{QUIET}}}
"""
    with serving(Redis, back), running(place, text) as balancer:
        until(lambda: balancer.states("redis") == {"a": "UP", "b": "DOWN", "c": "DOWN"}, "the master alone is up")
        assert set(balancer.states("any").values()) == {"UP"}


def test_requests_of_an_http_check(place: Path) -> None:
    back, own = free_port(), free_port()
    text = f"""
services:
  - name: odd
    binds: ["127.0.0.1:{free_port()}"]
    port: {back}
    check: {{http: /odd, expect_status: "404", {CHECK}}}
  - {{name: even, binds: ["127.0.0.1:{free_port()}"], port: {back}, check: {{http: /odd, {CHECK}}}}}
  - name: elsewhere
    binds: ["127.0.0.1:{free_port()}"]
    port: {back}
    check: {{kind: http, host: api.example.org, port: {own}, {CHECK}}}
haproxy: {{{QUIET}}}
"""
    with serving(Web, back), serving(Web, own, "b"), running(place, text) as balancer:
        until(lambda: set(balancer.states("even").values()) == {"DOWN"}, "404 is no good answer")
        until(lambda: balancer.states("elsewhere") == {"a": "DOWN", "b": "UP", "c": "DOWN"}, "the other port counts")
        assert set(balancer.states("odd").values()) == {"UP"}


class Agent(StreamRequestHandler):
    """The node c wants to be left alone."""

    def handle(self) -> None:
        asked = self.rfile.readline()
        drain = asked == b"state\n" and self.server.server_address[0] == NODES[2]
        self.wfile.write(b"drain\n" if drain else b"ready\n")


def test_an_agent_is_asked(place: Path) -> None:
    back, agent = free_port(), free_port()
    text = f"""
services:
  - name: web
    binds: ["127.0.0.1:{free_port()}"]
    port: {back}
    check: {{agent: {{port: {agent}, inter: 100ms, send: 'state\\n'}}, {CHECK}}}
haproxy: {{{QUIET}}}
"""
    with serving(Web, back), serving(Agent, agent), running(place, text) as balancer:
        until(lambda: balancer.states("web").get("c", "").startswith("DRAIN"), "the agent drains its server")
        assert balancer.states("web")["a"] == "UP"


def test_pages_and_metrics(place: Path) -> None:
    front, metrics = free_port(), free_port()
    text = f"""
services:
  - name: stats
    binds: ["127.0.0.1:{front}"]
    members: false
    mode: http
    stats: {{uri: /stats, userlist: operators}}
haproxy:
  {QUIET.replace(", ", f"{chr(10)}  ")}
  exporter: {{port: {metrics}}}
  userlists:
    operators: [{{name: admin, password: "$5$saltsalt$wIyVHvTcC1lRRyCzEiIc/.kDwHYnSMfOKyVOAcYAWY3"}}]
"""
    with running(place, text):
        assert get(front, "/stats")[0] == 401
        status, body, _ = get(metrics, "/metrics")
        assert (status, "haproxy_process_current_connections" in body) == (200, True)
        assert get(metrics, "/")[0] == 404


def test_the_owner_is_the_only_server_in_use(place: Path) -> None:
    front, back = free_port(), free_port()
    text = f"""
services:
  - {{name: db, binds: ["127.0.0.1:{front}"], port: {back}, writer: elected, group: writer, check: none}}
haproxy: {{{QUIET}}}
"""
    owned = Routing(ALL, owners={"writer": "b"})
    with serving(Web, back), running(place, text, routing=owned) as balancer:
        assert {get(front)[1][0] for _ in range(6)} == {"b"}
        assert balancer.states("db") == {"a": "MAINT", "b": "no check", "c": "MAINT"}


def test_a_server_drained_and_one_not_heard(place: Path) -> None:
    front, back = free_port(), free_port()
    text = f"""
services:
  - {{name: web, binds: ["127.0.0.1:{front}"], port: {back}, check: none}}
haproxy: {{{QUIET}}}
"""
    with serving(Web, back), running(place, text, routing=Routing(frozenset("ab"), frozenset({("web", "a")}))):
        asked = [get(front)[1][0] for _ in range(60)]
        assert "a" not in asked
        assert asked.count("c") <= 2


def test_a_server_that_is_not_heard_serves_when_no_other_does(place: Path) -> None:
    front, back = free_port(), free_port()
    text = f"""
services:
  - {{name: web, binds: ["127.0.0.1:{front}"], port: {back}, check: {{{CHECK}}}}}
haproxy: {{{QUIET}}}
"""
    with serving(Web, back, "c"), running(place, text, routing=Routing(frozenset("ab"))) as balancer:
        until(lambda: balancer.states("web") == {"a": "DOWN", "b": "DOWN", "c": "UP"}, "two do not answer")
        assert get(front)[1].startswith("c")


def test_the_proxy_protocol_names_the_client(place: Path) -> None:
    front, middle, back = free_port(), free_port(), free_port()
    text = f"""
services:
  - name: outer
    binds: ["127.0.0.1:{front}"]
    members: false
    servers: [{{name: inner, address: 127.0.0.1, port: {middle}}}]
    server: {{send_proxy: v2}}
    check: none
  - name: inner
    binds: [{{address: "127.0.0.1:{middle}", accept_proxy: true}}]
    port: {back}
    mode: http
    nodes: [a]
    check: none
haproxy: {{{QUIET}}}
"""
    with serving(Web, back), running(place, text):
        with socket.create_connection(("127.0.0.1", front), DEADLINE_S, ("127.0.0.9", 0)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert b"x-forwarded-for: 127.0.0.9" in answer.lower()
