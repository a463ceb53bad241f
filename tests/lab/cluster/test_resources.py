"""Resources that fail, are meddled with, or do not want to stop."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from hactl.lab.spec import SERVICE_VIP, VIP

from .status_document import group_named, has_warning
from .whole import Cluster

# The monitor would see it only after ten seconds: sooner is by an event.
PROMPTLY_S = 6.0

pytestmark = [pytest.mark.root, pytest.mark.lab]


def process_group(name: str, program: str, **more: Any) -> dict[str, Any]:
    """A group of one supervised process."""
    resource = {"name": "process", "exec": {"command": [sys.executable, "-c", program]}, "stop_timeout": "1s"}
    return {"name": name, "resources": [resource], **more}


def pids(cluster: Cluster, node: str, group: str) -> list[int]:
    """The processes of a group's resources on a node."""
    resources = cluster.node(node).group.child("resources").path
    files = [path for path in resources.rglob("cgroup.procs") if path.parent.name.startswith(group)]
    return [int(word) for path in files for word in path.read_text().split()]


def kill(cluster: Cluster, node: str, group: str) -> list[int]:
    """SIGKILL to a group's processes."""
    dead = pids(cluster, node, group)
    assert dead
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    return dead


def test_a_killed_service_is_restarted_in_place(cluster: Cluster) -> None:
    owner = cluster.owner("service")
    epoch = cluster.group("service").epoch
    cluster.begin()
    cluster.deadline_s = PROMPTLY_S
    [dead] = cluster.service_pids(owner)
    os.kill(dead, signal.SIGKILL)
    cluster.await_event(owner, "resource_failed", group="service", resource="service", failures=1)
    cluster.until(lambda: set(cluster.service_pids(owner)) - {dead}, "it runs again")
    cluster.await_running("service", [owner])
    assert cluster.group("service").epoch == epoch
    assert cluster.changes(SERVICE_VIP) == []  # only the resources after it in its group are stopped
    assert not cluster.store.view().failures


def test_a_service_that_fails_again_and_again_moves_and_may_come_back_later(cluster: Cluster) -> None:
    group = process_group(
        "fragile", "import time; time.sleep(999)", restarts=1, failure_expiry="3s", nodes=["n1", "n2"]
    )
    cluster.apply(cluster.with_groups(group))
    cluster.settle("fragile", "n1")
    epoch = cluster.group("fragile").epoch
    dead = kill(cluster, "n1", "fragile")
    cluster.until(lambda: set(pids(cluster, "n1", "fragile")) - set(dead), "it is restarted in place")
    cluster.await_running("fragile", ["n1"])
    assert cluster.group("fragile").epoch == epoch
    kill(cluster, "n1", "fragile")
    failure = cluster.until(lambda: cluster.store.view().failures.get("fragile/n1"), "the failure is recorded")
    assert (failure.record.resource, failure.record.count) == ("process", 2)
    cluster.await_running("fragile", ["n2"])
    assert cluster.group("fragile").epoch > epoch
    assert "process failed 2 times" in cluster.group("fragile").reason
    shown = group_named(cluster.status("n3"), "fragile")
    assert "process failed 2 times" in shown["excluded"]["n1"]
    assert pids(cluster, "n1", "fragile") == []
    cluster.until(lambda: not cluster.store.view().failures, "the failure is expired")
    cluster.await_renewals()
    assert cluster.owner("fragile") == "n2"  # no failback
    assert cluster.move("fragile", "n1")[0] == 200
    cluster.await_running("fragile", ["n1"])


@pytest.mark.parametrize(("group", "address"), [("service", SERVICE_VIP), ("vip", VIP)])
def test_an_address_removed_by_hand_is_put_back(cluster: Cluster, group: str, address: str) -> None:
    owner = cluster.owner(group)
    epoch, service = cluster.group(group).epoch, cluster.service_pids(owner)
    cluster.begin()
    cluster.deadline_s = PROMPTLY_S
    cluster.node(owner).call("ip", "addr", "del", f"{address}/24", "dev", "eth0")
    cluster.until(lambda: cluster.changes(address) == [(owner, False), (owner, True)], "the address is put back")
    cluster.await_running(group, [owner])
    assert cluster.group(group).epoch == epoch
    assert cluster.service_pids(owner) == service


def test_a_process_that_ignores_sigterm_is_killed(cluster: Cluster) -> None:
    deaf = cluster.lab.spec.path / "deaf"
    program = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(deaf)!r}).touch(); time.sleep(999)"
    )
    group = process_group("stubborn", program, nodes=["n1", "n2"])
    group["resources"][0]["exec"]["ready"] = ["test", "-e", str(deaf)]
    cluster.apply(cluster.with_groups(group))
    cluster.settle("stubborn", owner := "n1")
    assert pids(cluster, owner, "stubborn")
    assert cluster.move("stubborn", "n2")[0] == 200
    cluster.await_running("stubborn", ["n2"])
    assert cluster.events(owner, "process.stop_timed_out")
    assert pids(cluster, owner, "stubborn") == []


def agent(cluster: Cluster, **scripts: str) -> dict[str, Any]:
    """A group of one agent, whose state is a file on its node; `scripts` replace its usual commands."""
    state = f"{cluster.lab.spec.path}/$HACTL_NODE/run/agent"
    usual = {
        "start": f"touch {state}",
        "stop": f"rm -f {state}",
        "kill": f"rm -f {state}",
        "monitor": f"test -e {state} || exit 7",
    }
    commands = {name: ["sh", "-c", script] for name, script in {**usual, **scripts}.items()}
    resource = {"name": "agent", "exec": commands, "stop_timeout": "500ms", "monitor_timeout": "1s"}
    return {"name": "agent", "resources": [resource], "nodes": ["n1", "n2"]}


def leaving(cluster: Cluster) -> dict[str, Any]:
    """A group of one agent, whose `start` leaves a process running."""
    file = f"{cluster.lab.spec.path}/$HACTL_NODE/run/agent"
    runs = f"grep -qs '^State:.[SRD]' /proc/$(cat {file})/status"
    return agent(
        cluster,
        start=f"setsid sleep 4242 > /dev/null 2>&1 < /dev/null & echo $! > {file}",
        stop=f"kill $(cat {file}); while {runs}; do sleep 0.01; done",
        kill=f"kill -9 $(cat {file})",
        monitor=f"{runs} || exit 7",
    )


def move_away(cluster: Cluster) -> tuple[str, str]:
    """Ask that the agent moves; from where, to where."""
    owner = cluster.await_running("agent")
    target = "n2" if owner == "n1" else "n1"
    assert cluster.move("agent", target)[0] == 200
    return owner, target


def test_an_agents_stop_that_hangs_is_escalated_to_its_kill(cluster: Cluster) -> None:
    cluster.apply(cluster.with_groups(agent(cluster, stop="sleep 100")))
    owner, target = move_away(cluster)
    cluster.await_event(owner, "stop_failed", group="agent", action="stop")
    cluster.await_running("agent", [target])
    assert not (cluster.node(owner).home / "run" / "agent").exists()


def test_a_group_that_cannot_be_stopped_is_blocked_and_started_nowhere_else(cluster: Cluster) -> None:
    mended = cluster.lab.spec.path / "mended"
    state = f"{cluster.lab.spec.path}/$HACTL_NODE/run/agent"
    refuses = f"test -e {mended} && rm -f {state}"
    cluster.apply(cluster.with_groups(agent(cluster, stop=refuses, kill=refuses)))
    owner, target = move_away(cluster)

    def shown() -> dict[str, Any]:
        return group_named(cluster.status("n3"), "agent")

    try:
        cluster.until(lambda: shown()["state"] == "blocked", "the group is shown as blocked")
        assert "it still runs" in shown()["waiting"]
        assert has_warning(cluster.status("n3"), f"cannot be stopped on {owner}", level="error")
        cluster.await_renewals()
        assert (cluster.node(owner).home / "run" / "agent").exists()
        assert not (cluster.node(target).home / "run" / "agent").exists()
    finally:
        mended.touch()
    cluster.await_running("agent", [target])
    assert not (cluster.node(owner).home / "run" / "agent").exists()
