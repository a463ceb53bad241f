"""Serving may not harm deciding: nothing done to the ports of a node moves a group."""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import resource
import signal
import socket
from collections.abc import Iterator

import pytest

from hactl.lab import netns
from hactl.lab.spec import CLIENT
from hactl.lab.system import wait_until

from .test_restarts import Unmoved
from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

PORT = 9664

# More than a process may have open by default (RLIMIT_NOFILE, 1024).
CONNECTIONS = 1100


@pytest.fixture(autouse=True)
def many_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def idle_connections(cluster: Cluster, node: str, count: int) -> Iterator[int]:
    """Open, and ask nothing; how many could be."""
    opened: list[socket.socket] = []

    def connect() -> None:
        for _ in range(count):
            with contextlib.suppress(OSError):
                opened.append(socket.create_connection((cluster.node(node).address, PORT), 1))

    netns.inside(cluster.lab.spec.namespace(CLIENT), connect)
    try:
        yield len(opened)
    finally:
        for connection in opened:
            connection.close()


def fetch(cluster: Cluster, node: str, path: str, *, inside: str = "") -> tuple[int, str]:
    """Ask the node's serving process, from the client or from the station `inside`; 0: it does not answer."""

    def ask() -> tuple[int, str]:
        connection = http.client.HTTPConnection(cluster.node(node).address, PORT, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    return netns.inside(cluster.lab.spec.namespace(inside or CLIENT), ask)


def test_idle_connections_move_nothing(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    other = cluster.others(owner)[0]
    cluster.until(lambda: fetch(cluster, owner, "/healthz")[0] == 200, "it is served")
    unmoved = Unmoved(cluster)
    with idle_connections(cluster, owner, CONNECTIONS) as opened:
        assert opened
        cluster.await_renewals(12)
        assert cluster.status(owner)["asked"] == owner
        # Another host is served nevertheless.
        ask = functools.partial(fetch, cluster, owner, "/metrics", inside=other)
        status, text = wait_until(lambda: (answer := ask())[0] == 200 and answer, deadline_s=10, goal="it is served")
        assert status == 200 and "hactl_group_owned" in text
    unmoved.check()
    for name in cluster.nodes:
        assert not cluster.events(name, "lease_lapsing") and not cluster.events(name, "stop_failed")


def test_a_daemon_listens_on_no_port(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        listening = node.call("ss", "-Hlntp")
        mine = [line for line in listening.splitlines() if f"pid={node.daemon_pid()}," in line]
        assert listening and mine == []


def test_the_http_service_may_die_and_a_daemon_may_hang(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    node, other = cluster.node(owner), cluster.others(owner)[0]
    cluster.until(lambda: fetch(cluster, owner, "/healthz")[0] == 200, "it is served")
    unmoved = Unmoved(cluster)
    [pid] = node.group.child("http").pids()
    os.kill(pid, signal.SIGKILL)
    cluster.until(lambda: fetch(cluster, owner, "/healthz")[0] == 200, "another one serves")
    unmoved.check()
    daemon = cluster.node(other).daemon_pid()
    assert daemon
    os.kill(daemon, signal.SIGSTOP)
    try:
        cluster.until(lambda: fetch(cluster, other, "/healthz")[0] == 503, "it is told that the daemon hangs")
        status, text = fetch(cluster, other, "/metrics")
        assert status == 200 and "hactl_up 0" in text and "hactl_group_owned" not in text
    finally:
        os.kill(daemon, signal.SIGCONT)
    cluster.until(lambda: fetch(cluster, other, "/healthz")[0] == 200, "it goes on")
