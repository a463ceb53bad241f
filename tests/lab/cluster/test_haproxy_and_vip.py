"""A VIP goes to a node whose HAProxy is well, stays where none is better, and one that hangs does not hang for good."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.lab.spec import VIP, VIP_PORTS

from .status_document import group_named, has_warning
from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

PORT = VIP_PORTS["api-one"]
# Takes HAProxy's port as soon as it is free, and answers nobody.
_TAKES_THE_PORT = f"""
import pathlib, signal, socket, sys, time
while True:
    try:
        taken = socket.create_server(("0.0.0.0", {PORT}))
        break
    except OSError:
        time.sleep(0.001)
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""


def processes(cluster: Cluster, node: str) -> list[int]:
    file = Path(cluster.node(node).group.child("resources").path, "%40haproxy", "cgroup.procs")
    with contextlib.suppress(OSError):  # it may be gone at any moment
        return [int(word) for word in file.read_text().split()]
    return []


def answers(cluster: Cluster) -> bool:
    return bool(cluster.lab.ask(f"{VIP}:{PORT}"))


def readiness(cluster: Cluster, node: str) -> str:
    """The node's readiness for the VIP's group, by its status."""
    levels = group_named(cluster.status(node), "vip")["readiness"]
    return str(levels.get(node, {}).get("level", "ready"))


@pytest.fixture
def taken(cluster: Cluster) -> Iterator[list[int]]:
    """Programs that take HAProxy's port; they end with the test."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for name in cluster.nodes:
        cluster.until(lambda name=name: readiness(cluster, name) == "ready", f"HAProxy is well on {name}")  # type: ignore[misc]


def take_port(cluster: Cluster, node: str, pids: list[int]) -> None:
    """Have HAProxy end there, and not start again."""
    mark = cluster.node(node).home / "taken"
    mark.unlink(missing_ok=True)
    pids.append(cluster.node(node).start_other("other", [sys.executable, "-c", _TAKES_THE_PORT, str(mark)]))

    def taken() -> bool:
        for pid in processes(cluster, node):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return mark.exists()

    cluster.until(taken, "the port is taken")


def test_the_vip_goes_where_haproxy_is_well_and_stays_where_nobody_is_better(
    cluster: Cluster, taken: list[int]
) -> None:
    owner = cluster.await_running("vip")
    cluster.until(lambda: answers(cluster), "the service is served")
    cluster.begin()
    cluster.overlap_planned, began = True, time.monotonic()
    take_port(cluster, owner, taken)
    after = cluster.await_running("vip", cluster.others(owner))
    cluster.until(lambda: answers(cluster), "it is served by the other node")
    print(f"served again after {time.monotonic() - began:.1f} s")
    assert readiness(cluster, owner) == "poor"
    assert has_warning(cluster.status(after), "not ready for group vip")
    for name in cluster.others(owner):
        take_port(cluster, name, taken)
    for name in cluster.others(owner):
        cluster.until(lambda name=name: readiness(cluster, name) == "poor", f"HAProxy is not well on {name}")  # type: ignore[misc]
    cluster.until(lambda: not cluster.group("vip").holders, "a move that was under way is over")
    owner, epoch = cluster.owner("vip"), cluster.group("vip").epoch
    cluster.until(lambda: has_warning(cluster.status(owner), "no other node is better", field="do"), "it is said")
    assert cluster.holders("vip") == [owner]
    assert cluster.group("vip").epoch == epoch


def test_one_that_hangs_is_started_again_and_the_vip_stays(cluster: Cluster) -> None:
    owner = cluster.await_running("vip")
    cluster.until(lambda: answers(cluster), "the service is served")
    cluster.begin()
    epoch, hung, began = cluster.group("vip").epoch, processes(cluster, owner), time.monotonic()
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    cluster.await_event(owner, "haproxy.hung")
    cluster.until(lambda: answers(cluster), "it is served again")
    print(f"served again after {time.monotonic() - began:.1f} s")
    assert not set(hung) & set(processes(cluster, owner))
    assert (cluster.await_running("vip"), cluster.group("vip").epoch) == (owner, epoch)
