"""A resource that is broken on one node, or everywhere: its group suffers, and nothing else does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from hactl.lab.system import LabError, run

from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

# An agent that works, but on $1, where its monitor answers "not installed" (OCF) and nothing else works either.
AGENT = """\
[ "$HACTL_NODE" = "$1" ] && { echo "no such program" >&2; exit 5; }
case $2 in
  start) touch "$3.$HACTL_NODE" ;;
  stop) rm -f "$3.$HACTL_NODE" ;;
  monitor) [ -e "$3.$HACTL_NODE" ] || exit 7 ;;
esac
"""


def agent(cluster: Cluster, bad: str) -> dict[str, list[str]]:
    file = str(cluster.lab.spec.path / "bad-resource")
    return {action: ["/bin/sh", "-c", AGENT, "agent", bad, action, file] for action in ("start", "stop", "monitor")}


@contextlib.contextmanager
def another_network(cluster: Cluster, node: str) -> Iterator[None]:
    """10.78.0.0/24, on this node alone."""
    ip = ("ip", "-n", cluster.lab.spec.namespace(node))
    run([*ip, "link", "add", "eth1", "type", "veth", "peer", "name", "eth1p"])
    try:
        run([*ip, "addr", "add", "10.78.0.11/24", "dev", "eth1"])
        for link in ("eth1", "eth1p"):
            run([*ip, "link", "set", link, "up"])
        yield
    finally:
        run([*ip, "link", "del", "eth1"])


def test_an_overlap_is_given_back_by_a_node_that_cannot_start_all_of_it(cluster: Cluster) -> None:
    """Its first address starts there, its second has no network. The old owner goes on as the owner."""
    old, new = "n1", "n2"
    cluster.overlapping = ("10.77.0.40",)
    with another_network(cluster, old):
        group = {
            "name": "two",
            "overlap": True,
            "nodes": [old, new],
            "resources": [
                {"name": "first", "start_timeout": "2s", "vip": {"address": "10.77.0.40/24"}},
                {"name": "second", "start_timeout": "2s", "vip": {"address": "10.78.0.30/24"}},
            ],
        }
        cluster.configure(cluster.with_groups(group))
        assert cluster.await_running("two") == old
        with pytest.raises(LabError, match=r"exit 1: .*n2 could not start it: start failed: 10.78.0.30/24"):
            cluster.hactl("n3", "failover", "two", "--to", new)
        assert cluster.await_running("two") == old
        own = cluster.group("two")
        assert own.holders == () and "n2 could not start it" in own.reason
        assert "10.77.0.40" not in run(["ip", "-n", cluster.lab.spec.namespace(new), "-o", "addr", "show"])
        cluster.hactl("n3", "group", "cleanup", "two")
        assert not cluster.store.view().failures
        cluster.configure(cluster.base)


def test_a_node_takes_part_whatever_a_monitor_of_one_group_says(cluster: Cluster) -> None:
    """It comes back while that is so: the group keeps off it, all others do not."""
    bad = next(name for name in cluster.nodes if name not in (cluster.owner("vip"), cluster.owner("service")))
    group = {"name": "app", "resources": [{"name": "app", "stop_timeout": "200ms", "exec": agent(cluster, bad)}]}
    group["fencing"] = "required"
    cluster.configure(cluster.with_groups(group))
    cluster.await_running("app")
    assert cluster.group("app").node != bad
    cluster.lab.kill(bad)
    cluster.until(lambda: bad not in cluster.store.view().sessions, f"{bad} is deposed")
    cluster.lab.start(bad)
    cluster.until(lambda: bad in cluster.store.view().sessions, f"{bad} takes part")
    cluster.until(lambda: "app" in cluster.store.view().reports[bad].record.readiness, f"{bad} says what it cannot run")
    assert "no such program" in cluster.store.view().reports[bad].record.readiness["app"]["why"]
    cluster.overlap_planned = True
    cluster.hactl(bad, "failover", "vip", "--to", bad)
    assert cluster.await_running("vip") == bad
    cluster.configure(cluster.base)
