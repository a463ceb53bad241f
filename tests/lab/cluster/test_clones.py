"""A group that runs on every node, with real processes, an address that runs with it, and a service that follows it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from hactl.lab.spec import VIP
from hactl.lab.system import LabError, boottime_ms
from hactl.lab.traces import read_runs

from .whole import EXCLUSIVE, Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

TIMING = {"lease": "4s"}
ADDRESS, PORT, FRONT = "10.77.0.36", 7000, 8090


class Broker:
    """The clone, and what is around it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.traces = cluster.lab.spec.traces / "broker"
        shutil.rmtree(self.traces, ignore_errors=True)
        self.traces.mkdir()

    def document(self) -> dict[str, Any]:
        command = [sys.executable, "-I", "-m", "hactl.lab.service", "--listen", f"0.0.0.0:{PORT}"]
        ready = ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{PORT}"]
        instance = {"name": "broker", "exec": {"command": [*command, "--trace", str(self.traces)], "ready": ready}}
        address = {"name": "address", "vip": {"address": f"{ADDRESS}/24", "interface": "eth0"}}
        document = self.cluster.with_groups(
            {"name": "broker", "run": "all", "resources": [instance]},
            {"name": "entry", "together_with": ["broker"], "resources": [address]},
        )
        service = {
            "name": "broker", "binds": [f"{VIP}:{FRONT}"], "port": PORT, "mode": "http", "group": "broker",
            "check": {"http": "/"},
        }  # fmt: skip
        return {**document, "services": [*document["services"], service]}

    def begin(self) -> str:
        """It runs on every node; the node that has the address."""
        self.cluster.apply(self.document())
        self.cluster.await_live()
        self.wait("broker=running", "entry=running")
        self.cluster.begin()
        return self.cluster.await_running("entry")

    def wait(self, *conditions: str) -> None:
        self.cluster.hactl("n1", "wait", *conditions, "--for", "30s")

    def pids(self) -> dict[str, list[int]]:
        return {name: sorted(self._pids(name)) for name in self.cluster.nodes}

    def _pids(self, node: str) -> list[int]:
        return [pid for pid in self.cluster.node(node).group.child("resources").pids() if self._is_instance(pid)]

    def _is_instance(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return str(self.traces).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        return False

    def on(self) -> list[str]:
        return [name for name, pids in self.pids().items() if pids]

    def kill(self, node: str) -> list[int]:
        """SIGKILL of the node's instance."""
        pids = self.pids()[node]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return pids

    def server(self, node: str) -> tuple[bool, set[int]]:
        """Whether the node's server is to get no new connections, and its weight for HAProxy on each node."""
        services = self.cluster.status("n1")["services"]
        servers = next(service for service in services if service["name"] == "broker")["servers"]
        server = next(server for server in servers if server["name"] == node)
        return server["away"], {said["weight"] for said in server["balancers"].values()}

    def answers(self, count: int = 6) -> set[str]:
        """The nodes that answer so many clients of the service."""
        return {self.cluster.lab.ask(f"{VIP}:{FRONT}") for _ in range(count)}

    def down(self, since_ms: float) -> list[tuple[str, float, float]]:
        """When no instance ran on a node, since then: from the last that was heard of one to the next one."""
        runs = read_runs(self.traces)
        of = {name: [run for run in runs if run.node == name and run.end_ms >= since_ms] for name in self.cluster.nodes}
        pairs = ((name, *pair) for name, own in of.items() for pair in pairwise(own))
        return [(name, earlier.end_ms, later.begin_ms) for name, earlier, later in pairs]


@pytest.fixture
def broker(cluster: Cluster) -> Broker:
    return Broker(cluster)


def test_it_is_restarted_where_it_is_and_from_node_to_node(broker: Broker) -> None:
    cluster, owner = broker.cluster, broker.begin()
    assert broker.on() == list(cluster.nodes)
    epoch, before = cluster.group("entry").epoch, broker.kill(owner)
    cluster.await_event(owner, "resource_failed", group="broker")
    cluster.until(lambda: broker.pids()[owner] not in ([], before), "the instance is restarted")
    broker.wait("broker=running", f"broker@{owner}")
    own = cluster.group("entry")
    assert (own.node, own.epoch, cluster.events(owner, "group_leaving")) == (owner, epoch, [])

    cluster.hactl("n1", "group", "cleanup", "broker")
    old, since = broker.pids(), boottime_ms()
    said = cluster.hactl("n2", "group", "restart", "broker")
    assert "broker is to be restarted on one node after the other" in said and "broker is running" in said
    new = broker.pids()
    assert all(new[name] and not set(new[name]) & set(old[name]) for name in cluster.nodes)
    down = sorted(broker.down(since), key=lambda gap: gap[1])
    assert [name for name, _, _ in down] == ["n1", "n2", "n3"]
    print("down: " + ", ".join(f"{name} {end - begin:.0f} ms" for name, begin, end in down))
    assert all(later[1] > earlier[2] for earlier, later in combinations(down, 2)), down
    assert cluster.group("entry").epoch == epoch
    with pytest.raises(LabError, match="runs on every node, so it cannot be moved"):
        cluster.hactl("n1", "failover", "broker", "--to", "n2")


def test_nothing_but_an_operator_stops_it(broker: Broker) -> None:
    """Not the end of a daemon, nor that of every session."""
    cluster, owner = broker.cluster, broker.begin()
    before = broker.pids()
    killed = cluster.node(owner).kill_daemon()
    cluster.until(lambda: cluster.node(owner).daemon_pid() not in (None, killed), "the daemon is back")
    cluster.await_live()
    cluster.lab.stop_etcd()
    exclusive = (ADDRESS, *EXCLUSIVE.values())
    cluster.until(
        lambda: not any(cluster.judge.watcher.holders(address) for address in exclusive),
        "the leases are over, and what is exclusive is stopped",
    )
    assert broker.pids() == before
    cluster.lab.start_etcd()
    cluster.await_live()
    broker.wait("broker=running", "entry=running")
    assert broker.pids() == before


def test_what_operators_want(broker: Broker) -> None:
    """Standby, a ban that ends, and maintenance that ends; HAProxy's servers follow."""
    cluster, owner = broker.cluster, broker.begin()
    cluster.overlap_planned = True  # the VIP of the lab leaves the node, too
    other = cluster.others(owner)[0]
    cluster.until(lambda: broker.answers() == set(cluster.nodes), "HAProxy uses all instances")
    said = cluster.hactl("n1", "node", "standby", owner, "--drain-timeout", "0s")
    assert "broker" in said and owner not in broker.on()
    assert cluster.group("entry").node != owner
    cluster.hactl("n1", "node", "online", owner)
    broker.wait("broker=running")
    assert broker.on() == list(cluster.nodes)

    said = cluster.hactl("n1", "group", "ban", "broker", other, "--no-wait")
    assert f"leaving {other} now" in said
    cluster.until(lambda: other not in broker.on(), "it leaves the node")
    cluster.until(lambda: broker.server(other) == (True, {0}), "its server is drained")
    assert broker.answers() <= set(cluster.others(other))
    assert "banned by" in cluster.hactl("n1", "explain", "broker")
    cluster.hactl("n1", "group", "clear", "broker")
    cluster.hactl("n1", "group", "ban", "broker", owner, "--for", "3s")
    cluster.until(lambda: not cluster.store.view().bans, "the ban ends")
    broker.wait("broker=running")
    assert broker.on() == list(cluster.nodes)
    cluster.until(lambda: broker.server(other) == (False, {100}), "its server is used again")

    cluster.hactl("n1", "maintenance", "on", "--group", "broker", "--for", "6s")
    broker.kill(other)
    cluster.await_renewals()
    assert other not in broker.on() and "GROUP broker IS IN MAINTENANCE" in cluster.hactl("n1", "status")
    cluster.until(lambda: other in broker.on(), "the maintenance ends")


def test_it_is_taken_out_of_the_configuration(broker: Broker) -> None:
    """Also on a node whose daemon was away meanwhile."""
    cluster, _ = broker.cluster, broker.begin()
    document = broker.document()
    document["groups"][-1]["enabled"] = False  # what a node owns is not taken out
    cluster.apply(document)
    broker.wait("entry=stopped", "settled")
    node = cluster.node("n3")
    node.group.child("supervisor").kill()
    node.kill_daemon()
    cluster.apply(cluster.base, via="n1")
    cluster.until(lambda: broker.on() == ["n3"], "it has stopped where a daemon runs")
    node.start_daemon()
    cluster.until(lambda: broker.on() == [], "it has stopped where the daemon is back")
    cluster.until(lambda: cluster.status("n1").get("clones") == [], "nothing of it is shown any more")
