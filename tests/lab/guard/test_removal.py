"""The end of guard and processes when hactl is taken off a machine."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from fencing.linux.clock import now
from hactl.config.node import NodeConfig
from hactl.removal import stopping
from hactl.removal.verdict import RefusedError
from tests.lab.guard.guard_lab import Lab
from tests.support.guard_client import GuardClient

pytestmark = pytest.mark.root

STEP = {"kind": "command", "argv": ["true"], "timeout_ms": 1000}


@pytest.fixture
def node(lab: Lab) -> NodeConfig:
    return NodeConfig(cluster="c", node="n1", run_dir=str(lab.directory), cgroup_root=str(lab.cgroup))


def guard(lab: Lab, node: NodeConfig) -> int:
    return lab.spawn_guard(socket=node.guard_socket)


def test_a_guard_that_holds_nothing_is_ended(lab: Lab, node: NodeConfig) -> None:
    pid = guard(lab, node)
    stopping.end_guard(node)
    assert not Path(f"/proc/{pid}").exists()
    assert stopping.guard_status(node) is None


def test_a_guard_that_holds_something_is_never_ended(
    lab: Lab, node: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "GUARDED_S", 0.2)
    guard(lab, node)
    with GuardClient(node.guard_socket) as client:
        client.adopt()
        client.begin("s1", 500, 100, now().plus(60_000))
        client.register("db/server", [STEP])
    with pytest.raises(RefusedError, match="could not stop db: stop it by hand"):
        stopping.end_guard(node)
    status = stopping.guard_status(node)
    assert status is not None
    assert status.exclusive == ("db/server",)


def test_a_guard_with_a_daemon_is_not_ended(lab: Lab, node: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "KILLED_S", 0.2)
    guard(lab, node)
    with GuardClient(node.guard_socket) as client:
        client.adopt()
        with pytest.raises(RefusedError, match=r"a daemon runs outside of hactl\.service"):
            stopping.end_guard(node)


def test_what_is_left_in_the_control_groups_is_ended_and_they_are_removed(
    lab: Lab, node: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "ASKED_S", 0.2)
    root = lab.cgroup / "all"
    willing = lab.run_in("all", ["/bin/sleep", "1000"])
    stubborn = lab.run_in(
        "all/below", ["/bin/sh", "-c", "trap '' TERM; echo set; while :; do sleep 1; done"], stdout=subprocess.PIPE
    )
    assert stubborn.stdout is not None
    assert stubborn.stdout.readline() == "set\n"
    stopping.end_remaining(dataclasses.replace(node, cgroup_root=str(root)))
    assert willing.wait(10) != 0
    assert stubborn.wait(10) == -9
    assert not root.exists()


def test_another_clusters_guard_is_left_alone(lab: Lab, node: NodeConfig) -> None:
    pid = lab.spawn_guard()
    work = lab.run_in("res", ["/bin/sleep", "1000"])
    with pytest.raises(RefusedError, match=f"process {pid} is a guard of other settings"):
        stopping.end_remaining(node)
    assert work.poll() is None
