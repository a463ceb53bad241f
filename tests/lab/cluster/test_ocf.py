"""A group with OCF agents in a whole cluster: moved, taken over, stopped by the guard, kept off an unfit node."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .status_document import group_named, has_warning
from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

# An agent is a shell script, and the machine may be busy.
TIMING = {"lease": "8s", "stop_budget": "4s", "self_fence_lead": "500ms"}
ADDRESS = "10.77.0.33"
PROVIDER = "hactl-test"
LIMITS = {"start_timeout": "15s", "stop_timeout": "3s", "monitor_timeout": "3s", "monitor_interval": "1s"}

# Its resource is a file of its node; it does what DIR/NODE-ACTION says, if that is there.
AGENT = """\
#!/bin/sh
running=$OCF_RESKEY_dir/$HACTL_NODE/run/fickle
[ ! -e "$OCF_RESKEY_dir/$HACTL_NODE-$1" ] || . "$OCF_RESKEY_dir/$HACTL_NODE-$1"
case $1 in
  start) touch "$running"; setsid sleep 4243 >/dev/null 2>&1 </dev/null & ;;
  stop) rm -f "$running" ;;
  monitor) [ -e "$running" ] || exit 7 ;;
  meta-data) cat <<'END'
<?xml version="1.0"?>
<resource-agent name="fickle"><version>1.1</version><shortdesc>For tests</shortdesc>
<parameters><parameter name="dir" required="1"><content type="string"/></parameter></parameters>
<actions><action name="start"/><action name="stop"/><action name="monitor"/></actions></resource-agent>
END
  ;;
esac
"""


@pytest.fixture(scope="module", autouse=True)
def fickle() -> Iterator[None]:
    """An agent of the tests' own, among the real ones."""
    folder = Path("/usr/lib/ocf/resource.d", PROVIDER)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fickle").write_text(AGENT)
    (folder / "fickle").chmod(0o755)
    yield
    shutil.rmtree(folder)


def real() -> dict[str, Any]:
    """A group of Debian's agents."""
    address = {"ip": ADDRESS, "cidr_netmask": 24, "nic": "eth0"}
    return {
        "name": "agents",
        "resources": [
            {"name": "state", "ocf": {"agent": "ocf:heartbeat:Dummy"}, **LIMITS},
            {"name": "address", "ocf": {"agent": "heartbeat:IPaddr2", "parameters": address}, **LIMITS},
        ],
    }


def own(cluster: Cluster, **more: Any) -> dict[str, Any]:
    """A group of the tests' agent."""
    ocf = {"agent": f"{PROVIDER}:fickle", "parameters": {"dir": str(cluster.lab.spec.path)}}
    return {"name": "fickle", "resources": [{"name": "thing", "ocf": ocf, **LIMITS}], "nodes": ["n1", "n2"], **more}


def does(cluster: Cluster, node: str, action: str, script: str) -> Path:
    """What the agent does on the node instead."""
    path = cluster.lab.spec.path / f"{node}-{action}"
    path.write_text(script)
    return path


def held(cluster: Cluster) -> list[str]:
    """The nodes that have the agents' address."""
    return cluster.judge.watcher.holders(ADDRESS)


def states(cluster: Cluster, name: str = "resources/ocf/tmp/Dummy-agents.state.state") -> list[str]:
    """The nodes on which the agent's file is."""
    return [node for node in cluster.nodes if (cluster.node(node).home / "run" / name).exists()]


def await_on(cluster: Cluster, node: str) -> None:
    cluster.await_running("agents", [node])
    cluster.until(lambda: held(cluster) == states(cluster) == [node], f"all of it is on {node}, and nowhere else")


def test_real_agents_restart_move_and_are_taken_over(cluster: Cluster) -> None:
    cluster.apply(cluster.with_groups(real()))
    cluster.settle("agents", "n1")
    await_on(cluster, "n1")
    cluster.node("n1").call("ip", "addr", "del", f"{ADDRESS}/24", "dev", "eth0")
    cluster.await_event("n1", "resource_failed", group="agents", resource="address", failures=1)
    await_on(cluster, "n1")
    assert cluster.move("agents", "n2")[0] == 200
    await_on(cluster, "n2")
    epoch = cluster.group("agents").epoch
    cluster.lab.kill("n2")
    owner = cluster.await_running("agents", cluster.others("n2"), epoch_above=epoch)
    cluster.until(lambda: held(cluster) == [owner], "the address is on the new owner alone")
    assert owner in states(cluster)
    changes = cluster.changes(ADDRESS)
    assert changes[-1] == (owner, True)


@pytest.mark.long
def test_the_guard_stops_it_when_the_daemon_hangs(cluster: Cluster) -> None:
    cluster.apply(cluster.with_groups(real(), own(cluster)))
    for group in ("agents", "fickle"):
        cluster.settle(group, "n1")
    await_on(cluster, "n1")
    assert states(cluster, "fickle") == ["n1"] and sleepers(cluster, "n1")
    cluster.begin()
    pid = cluster.node("n1").daemon_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    for group in ("agents", "fickle"):
        cluster.await_running(group, cluster.others("n1"))
    assert "n1" not in held(cluster)
    assert "n1" not in states(cluster) and "n1" not in states(cluster, "fickle")
    assert not sleepers(cluster, "n1")


def sleepers(cluster: Cluster, node: str) -> list[int]:
    """What the agent's start left running on the node."""
    files = cluster.node(node).group.child("resources").path.rglob("cgroup.procs")
    return [int(word) for path in files if path.parent.name.startswith("fickle") for word in path.read_text().split()]


@pytest.mark.long
def test_a_node_on_which_it_is_not_installed_is_unfit(cluster: Cluster) -> None:
    missing = does(cluster, "n1", "monitor", 'echo "ocf-exit-reason:no program" >&2; exit 5')
    try:
        cluster.apply(cluster.with_groups(own(cluster)))
        cluster.await_running("fickle", ["n2"])

        def standing() -> dict[str, Any]:
            return dict(cluster.store.view().reports["n1"].record.readiness.get("fickle") or {})

        cluster.until(lambda: standing().get("level") == "unfit", "n1 is unfit")
        assert "no program" in str(standing()["why"])
        excluded = group_named(cluster.status("n3"), "fickle")["excluded"]
        assert "no program" in excluded["n1"]
        assert cluster.move("fickle", "n1")[0] != 200
        assert cluster.owner("fickle") == "n2"
    finally:
        missing.unlink()


def test_an_agent_that_lies_about_its_stop_is_found_and_nobody_else_starts_it(cluster: Cluster) -> None:
    lie = does(cluster, "n1", "stop", "exit 0")
    cluster.apply(cluster.with_groups(own(cluster)))
    cluster.settle("fickle", "n1")
    cluster.begin()
    try:
        assert cluster.move("fickle", "n2")[0] == 200
        cluster.await_event("n1", "stop_failed", group="fickle", action="stop")
        cluster.until(lambda: has_warning(cluster.status("n3"), "cannot be stopped on n1", level="error"), "it is said")
        cluster.await_renewals()
        assert states(cluster, "fickle") == ["n1"]
    finally:
        lie.unlink()
    cluster.await_running("fickle", ["n2"])
    cluster.until(lambda: states(cluster, "fickle") == ["n2"], "it has moved")
