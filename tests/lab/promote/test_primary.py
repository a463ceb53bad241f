"""A Redis with replicas, one of them promoted: what a client was told to be written survives planned moves and power
cuts, and never are two instances primaries at one time.

The long form (HACTL_ROUNDS=20, `make bench-promote`) does each of the rounds twenty times.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hactl.lab import netns, spawn
from hactl.lab.spec import CLIENT
from hactl.lab.system import boottime_ms, run, wait_until
from tests.lab.cluster.whole import Cluster
from tests.support.outages import figures
from tests.support.promises import promised

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(3600)]

TIMING = {"lease": "6s", "stop_budget": "2s", "self_fence_lead": "500ms"}
ROUNDS = int(os.environ.get("HACTL_ROUNDS", "0"))
VIP, PORT = "10.77.0.34", 6379
WRITER = Path(__file__).with_name("writer.py")
SCRIPT = Path(__file__).parents[3] / "deploy/examples/redis-primary"


class Database:
    """Both groups, and the client that writes to the address."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.path = cluster.lab.spec.path
        self.acks = self.path / "acks"
        self.acks.unlink(missing_ok=True)
        self.outages: list[float] = []

    def groups(self) -> list[dict[str, Any]]:
        server = (
            f'cd "{self.path}" && mkdir -p "redis/$HACTL_NODE" && exec redis-server --port {PORT} --bind 0.0.0.0 '
            '--protected-mode no --dir "redis/$HACTL_NODE" --save "" --appendonly yes --appendfsync always '
            f"--repl-diskless-sync-delay 0 --repl-timeout 5 --replicaof {VIP} {PORT}"
        )
        role = {name: [str(SCRIPT), name, VIP, str(PORT)] for name in ("promote", "demote", "role", "score")}
        return [
            {
                "name": "db",
                "run": "all",
                "resources": [{"name": "redis", "exec": {"command": ["sh", "-c", server]}, "stop_timeout": "5s"}],
            },
            {
                "name": "primary",
                "fencing": "required",
                "restarts": 0,
                "resources": [
                    {"name": "address", "vip": {"address": f"{VIP}/24", "interface": "eth0"}},
                    {"name": "role", "promote": {"of": "db/redis", **role}, "monitor_interval": "1s"},
                ],
            },
        ]

    def begin(self) -> str:
        self.cluster.apply(self.cluster.with_groups(*self.groups()))
        owner = self.cluster.await_running("primary")
        self.await_written()
        return owner

    def acknowledged(self) -> list[int]:
        lines = self.acks.read_text().splitlines() if self.acks.exists() else []
        return [int(line.split()[0]) for line in lines]

    def await_written(self, more: int = 3) -> None:
        """Until so many numbers more are acknowledged."""
        before = len(self.acknowledged())
        wait_until(lambda: len(self.acknowledged()) >= before + more, deadline_s=60, goal="the client is answered")

    def outage(self, since_ms: float) -> None:
        self.await_written(1)
        self.outages.append(boottime_ms() - since_ms)

    def ask(self, node: str, *words: str) -> str:
        namespace = netns.path(self.cluster.lab.spec.namespace(node))
        return run(["nsenter", f"--net={namespace}", "redis-cli", "-p", str(PORT), *words]).strip()

    def roles(self) -> dict[str, str]:
        """What every instance that answers says that it is."""
        roles = {}
        for name in self.cluster.nodes:
            with contextlib.suppress(Exception):
                roles[name] = self.ask(name, "role").split()[0]
        return roles

    def await_replicas(self) -> None:
        """Until every other instance follows the primary."""
        owner = self.cluster.owner("primary")

        def follow() -> bool:
            lines = dict(line.split(":", 1) for line in self.ask(owner, "info", "replication").split() if ":" in line)
            states = [lines.get(f"slave{number}", "") for number in range(len(self.cluster.nodes) - 1)]
            return all("state=online" in state for state in states)

        wait_until(follow, deadline_s=60, goal="every other instance follows the primary")

    def check(self, owner: str) -> None:
        """On the primary: all that was acknowledged is there; no other instance is one."""
        acks = set(self.acknowledged())
        there = {int(number) for number in self.ask(owner, "lrange", "journal", "0", "-1").split()}
        lost = acks - there
        promised(not lost, f"lost: {sorted(lost)[:10]} of {len(acks)}; there up to {max(there, default=0)}")
        primaries = [name for name, role in self.roles().items() if role == "master"]
        promised(primaries == [owner], f"primaries: {primaries}; the owner is {owner}")


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Database]:
    cluster.deadline_s = 60.0
    database = Database(cluster)
    client = spawn.attached(
        cluster.lab.spec.namespace(CLIENT),
        cluster.lab.client_group,
        [sys.executable, "-I", str(WRITER), VIP, str(PORT), str(database.acks)],
    )
    with subprocess.Popen(client, stderr=subprocess.DEVNULL) as process:
        yield database
        process.kill()


def test_what_was_acknowledged_survives_moves_and_power_cuts(database: Database) -> None:
    """Two moves and two power cuts; twenty of each in the long form."""
    cluster, owner = database.cluster, database.begin()
    rounds = ROUNDS or 2
    for _ in range(rounds):
        database.await_replicas()
        target, since = cluster.others(owner)[0], boottime_ms()
        assert cluster.move("primary", target)[0] == 200
        owner = cluster.await_running("primary", [target])
        database.outage(since)
        database.check(owner)
    moved, database.outages = database.outages, []
    for _ in range(rounds):
        database.await_replicas()
        database.await_written()
        epoch, since = cluster.group("primary").epoch, boottime_ms()
        cluster.lab.kill(owner)
        before, owner = owner, cluster.await_running("primary", cluster.others(owner), epoch_above=epoch)
        database.outage(since)
        database.check(owner)
        cluster.lab.start(before)
        cluster.await_live(before)
    database.await_replicas()
    print(f"\nmoves {figures(moved)}; power cuts {figures(database.outages)}; {len(database.acknowledged())} writes")


def test_a_primary_that_dies_is_promoted_again_only_where_nothing_is_lost(database: Database) -> None:
    """Its process is killed: another instance, or the same one, has all that was acknowledged; nobody is fenced."""
    cluster, owner = database.cluster, database.begin()
    database.await_replicas()
    boots = {name: node.boots for name, node in cluster.nodes.items()}
    database.await_written()
    epoch = cluster.group("primary").epoch
    os.kill(int(database.ask(owner, "info", "server").split("process_id:")[1].split()[0]), signal.SIGKILL)
    owner = cluster.await_running("primary", epoch_above=epoch)
    database.await_written()
    database.check(owner)
    database.await_replicas()
    assert {name: node.boots for name, node in cluster.nodes.items()} == boots


def test_the_guard_ends_the_primary_when_the_lease_ends(database: Database) -> None:
    """etcd is gone: no instance is a primary after the lease, and all instances run."""
    cluster, owner = database.cluster, database.begin()
    database.await_replicas()
    epoch = cluster.group("primary").epoch
    cluster.lab.stop_etcd()
    others = {name: role for name, role in database.roles().items() if name != owner}
    wait_until(
        lambda: database.roles() == {owner: "slave", **others}, deadline_s=60, goal="the primary is a replica again"
    )
    cluster.lab.start_etcd()
    owner = cluster.await_running("primary", epoch_above=epoch)
    database.await_written()
    database.check(owner)
