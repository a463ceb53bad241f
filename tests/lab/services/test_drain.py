"""Drain, standby, scale in and out: clients that never stop lose no request."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import csv
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from hactl.haproxy.control.runtime import ask
from hactl.lab import netns, spawn
from hactl.lab.client import Probe
from hactl.lab.spec import CLIENT, PYTHON, VIP, VIP_PORTS
from hactl.lab.system import LabError, boottime_ms
from tests.lab.cluster.whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

TARGET = (VIP, VIP_PORTS["api-one"])


@contextlib.contextmanager
def asking(cluster: Cluster) -> Iterator[Probe]:
    """A client that asks all the time, and is answered every time."""
    with cluster.lab.probe(f"{VIP}:{VIP_PORTS['api-one']}") as probe:
        yield probe
    assert probe.result is not None
    assert probe.result.failures == ()
    assert probe.result.good


def answered(probe: Probe, since_ms: float) -> set[str]:
    """The servers that have answered since then."""
    assert probe.result is not None
    return {answer.node for answer in probe.result.answers if answer.at_ms > since_ms}


def open_session(cluster: Cluster, server: str) -> socket.socket:
    """A connection through the VIP to the server on this node, a request under way."""

    def connect() -> socket.socket | None:
        def inside() -> socket.socket:
            return socket.create_connection(TARGET, timeout=cluster.deadline_s)

        connection = netns.inside(cluster.lab.spec.namespace(CLIENT), inside)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        if f'"{server}"'.encode() in connection.recv(65536):
            return connection
        connection.close()
        return None

    return cluster.until(connect, f"a connection to the server on {server}")


def tunnel(cluster: Cluster, maxconn: int = 1000) -> None:
    """Have `api-one` in mode tcp, where a session lasts as long as its connection, on all balancers. Another `maxconn`
    takes a reload."""
    document = copy.deepcopy(cluster.base)
    document["services"][0] |= {"mode": "tcp", "maxconn": maxconn}
    cluster.configure(document)
    for name in cluster.nodes:
        cluster.until(lambda n=name: frontend(cluster, n) == ("tcp", str(maxconn)), f"{name} has it")  # type: ignore[misc]


def frontend(cluster: Cluster, node: str) -> tuple[str, str]:
    """Mode and limit of `api-one`, as a node's HAProxy has them."""
    socket_file = next(cluster.node(node).home.glob("**/stats.sock"))
    (row,) = csv.DictReader(
        asyncio.run(ask(str(socket_file), "show stat api-one 1 -1", 2.0)).strip("# \n").splitlines()
    )
    return row["mode"], row["slim"]


def test_a_server_is_drained_and_comes_back(cluster: Cluster) -> None:
    """Its session goes on and is shown until it ends; new ones go to the others."""
    cluster.bring("n1")
    tunnel(cluster)
    said: list[str] = []
    session = open_session(cluster, "n2")
    with asking(cluster) as probe:
        command = threading.Thread(
            target=lambda: said.append(cluster.hactl("n3", "service", "drain", "api-one", "n2", "--timeout", "60s"))
        )
        command.start()
        cluster.until(lambda: cluster.store.view().drains, "the request is written")
        with contextlib.closing(session):
            cluster.until(lambda: told(cluster, "n1") == {"n1": 1}, "its session is counted")
            drained = boottime_ms()
            cluster.await_renewals()
            session.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
            assert b'"n2"' in session.recv(65536)
            assert command.is_alive()
        command.join(cluster.deadline_s)
        assert not command.is_alive()
        drained_until = boottime_ms()
    assert "1 session left: 1 through n1" in said[0] and "no session left" in said[0]
    assert probe.result is not None
    assert {answer.node for answer in probe.result.answers if drained < answer.at_ms < drained_until} == {"n1", "n3"}
    with pytest.raises(LabError, match=r"exit 3: .*"):
        stay = open_session(cluster, "n1")
        with contextlib.closing(stay):
            cluster.hactl("n3", "service", "drain", "api-one", "n1", "--timeout", "1s")
    cluster.hactl("n3", "service", "undrain", "api-one", "n2")
    with contextlib.closing(open_session(cluster, "n2")):
        pass


def test_a_session_that_a_reload_has_left_behind_counts(cluster: Cluster) -> None:
    """The worker that was replaced has it until it ends."""
    cluster.bring("n1")
    tunnel(cluster)
    with contextlib.closing(open_session(cluster, "n2")):
        tunnel(cluster, maxconn=500)
        with pytest.raises(LabError, match=r"exit 3: .*1 session left: 1 through n1"):
            cluster.hactl("n3", "service", "drain", "api-one", "n2", "--timeout", "5s")
    cluster.hactl("n3", "service", "drain", "api-one", "n2", "--timeout", "60s")


def told(cluster: Cluster, node: str) -> dict[str, int]:
    """Which balancers have sessions left to the drained server."""
    target = "/v1/service/draining?service=api-one&node=n2"
    sessions = cluster.api(node, target)[1]["sessions"]
    return {name: count for name, count in sessions.items() if count}


def test_the_last_server_in_use_is_not_drained(cluster: Cluster) -> None:
    for name in ("n1", "n2"):
        cluster.hactl(name, "service", "drain", "api-one", name)
    cluster.until(lambda: len(cluster.store.view().drains) == 2, "two are drained")
    with pytest.raises(LabError, match=r"exit 1: .*no other server of api-one"):
        cluster.hactl("n3", "service", "drain", "api-one", "n3")
    assert cluster.lab.ask(f"{VIP}:{VIP_PORTS['api-one']}") == "n3"


def test_a_drain_outlives_haproxy_and_daemon(cluster: Cluster) -> None:
    cluster.bring("n1")
    cluster.hactl("n1", "service", "drain", "*", "n2")
    cluster.node("n1").kill_haproxy()
    cluster.node("n1").kill_daemon()
    cluster.await_live()
    with asking(cluster) as probe:
        began = boottime_ms()
        cluster.await_renewals()
    assert answered(probe, began) == {"n1", "n3"}


def test_standby_of_the_node_that_has_all(cluster: Cluster) -> None:
    """Its servers are drained, then its groups move: no request is lost, and no session of its servers is cut."""
    cluster.bring("n1")
    cluster.overlap_planned = True
    with asking(cluster) as probe:
        said = cluster.hactl("n1", "node", "standby", "n1")
        gone = boottime_ms()
        cluster.await_all_running(["n2", "n3"])
        cluster.await_renewals()
        cluster.until(lambda: "n1" not in cluster.holders("vip"), "n1 lets go of the address")
    assert "no session left" in said and "leaving it now: vip, service" in said
    assert answered(probe, gone) == {"n2", "n3"}
    cluster.hactl("n2", "node", "online", "n1")
    with asking(cluster), contextlib.closing(open_session(cluster, "n1")):
        pass


def test_standby_that_is_interrupted(cluster: Cluster) -> None:
    """It reports the drains that stay; `online` undoes them."""
    tunnel(cluster)
    with contextlib.closing(open_session(cluster, "n1")):
        words = ["node", "standby", "n1", "--drain-timeout", "60s"]
        with start(cluster, "n2", *words) as command:
            cluster.until(lambda: cluster.store.view().drains, "the request is written")
            assert command.stdout is not None
            while "1 session left" not in (line := command.stdout.readline()):
                assert line
            command.send_signal(2)
            assert command.wait(cluster.deadline_s) == 130
            assert command.stderr is not None
            assert "It stays drained; to undo: `hactl node online n1`" in command.stderr.read()
    view = cluster.store.view()
    assert set(view.drains) == {"*/n1"} and not view.standby
    cluster.hactl("n1", "node", "online", "n1")
    assert not cluster.store.view().drains


def start(cluster: Cluster, node: str, *words: str) -> subprocess.Popen[str]:
    """The command line on a node, while it runs."""
    there = cluster.node(node)
    argv = [*PYTHON, "--config", str(there.home / "node.toml"), *words]
    command = spawn.attached(there.namespace, there.group.child("shell"), argv)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_server_is_taken_out_and_added(cluster: Cluster) -> None:
    """Of the configuration, on all balancers, drained before: no request is lost."""
    cluster.bring("n1")
    without = copy.deepcopy(cluster.base)
    without["services"][0]["nodes"] = ["n1", "n2"]
    with asking(cluster) as probe:
        for _ in range(2):
            cluster.hactl("n1", "service", "drain", "api-one", "n3")
            cluster.configure(without)
            balanced(cluster, {"n1", "n2"})
            cluster.hactl("n1", "service", "undrain", "api-one", "n3")
            cluster.configure(cluster.base)
            balanced(cluster, {"n1", "n2", "n3"})
    assert probe.result is not None


def test_a_node_is_taken_out_and_added(cluster: Cluster) -> None:
    """Of the cluster: its servers are gone from every service, and come back."""
    cluster.bring("n1")
    without = copy.deepcopy(cluster.base)
    without["nodes"] = [node for node in without["nodes"] if node["name"] != "n3"]
    with asking(cluster) as probe:
        cluster.hactl("n1", "node", "standby", "n3")
        cluster.node("n3").stop_daemon()
        cluster.apply(without)
        cluster.await_live("n1", "n2")
        balanced(cluster, {"n1", "n2"})
        cluster.apply(cluster.base)
        cluster.node("n3").start_daemon()
        cluster.await_live()
        cluster.hactl("n1", "node", "online", "n3")
        balanced(cluster, {"n1", "n2", "n3"})
    assert probe.result is not None


def balanced(cluster: Cluster, names: set[str]) -> None:
    """Wait until these servers, and no other, answer at the balancer that has the VIP."""

    def look() -> bool:
        return {cluster.lab.ask(f"{VIP}:{VIP_PORTS['api-one']}") for _ in range(6)} == names

    cluster.until(look, f"{names} answer")
