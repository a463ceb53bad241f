"""Groups that depend on each other, on real nodes: together, in order, apart; explained and simulated."""

from __future__ import annotations

import copy
import json
import os
import signal
from typing import Any

import pytest

from hactl.lab.system import LabError

from .status_document import group_named
from .whole import Cluster

pytestmark = [pytest.mark.root, pytest.mark.lab]

# Nothing here is about time: on a busy machine a lease is kept, too.
TIMING = {"lease": "4s"}


def related(cluster: Cluster, **relations: Any) -> None:
    """The lab's service with these relations; the address moves without an overlap."""
    document = copy.deepcopy(cluster.base)
    group_named(document, "vip")["overlap"] = False
    group_named(document, "service").update(relations)
    cluster.configure(document)
    cluster.await_all_running()


def in_order(cluster: Cluster, event: str) -> list[str]:
    """The groups of which the nodes have said this since `begin`, by the first time: what a slow etcd did not answer is
    said again."""
    entries = [entry for node in cluster.nodes for entry in cluster.events(node, event)]
    return list(dict.fromkeys(entry["group"] for entry in sorted(entries, key=lambda entry: entry["timestamp"])))


def test_one_follows_the_other_and_starts_after_it(cluster: Cluster) -> None:
    related(cluster, together_with=["vip"], after=["vip"])
    owner = cluster.await_running("vip")
    assert cluster.await_running("service") == owner
    cluster.begin()
    target = cluster.others(owner)[0]
    cluster.hactl(owner, "failover", "vip", "--to", target)
    assert set(cluster.await_all_running([target]).values()) == {target}
    assert in_order(cluster, "group_leaving") == ["vip", "service"]
    assert in_order(cluster, "group_running") == ["vip", "service"]
    with pytest.raises(LabError, match="vip, with which it runs, is on"):
        cluster.hactl(owner, "failover", "service", "--to", owner)
    explained = json.loads(cluster.hactl(owner, "explain", "service", "--json"))
    assert (explained["owner"], explained["target"]) == (target, target)
    supposed = json.loads(cluster.hactl(owner, "simulate", "--kill", target, "--json"))
    cluster.begin()
    cluster.lab.kill(target)
    taken = cluster.await_running("vip", cluster.others(target))
    assert cluster.await_running("service", cluster.others(target)) == taken
    assert [(one["group"], one["what"], one["to"]) for one in supposed["effects"]] == [
        ("vip", "take over", taken), ("service", "take over", taken),
    ]  # fmt: skip
    cluster.lab.start(target)
    cluster.await_live(target)


def test_one_that_runs_after_another_stops_when_that_fails(cluster: Cluster) -> None:
    """On another node: by what that node says of it."""
    related(cluster, apart_from=["vip"])
    owner = cluster.await_running("service")
    document = copy.deepcopy(cluster.applied)
    assert document is not None
    group_named(document, "service").pop("apart_from")
    group_named(document, "vip")["after"] = ["service"]
    group_named(document, "vip")["apart_from"] = ["service"]
    cluster.configure(document)
    there = cluster.await_running("vip")
    assert there != owner
    cluster.begin()
    for pid in cluster.service_pids(owner):
        os.kill(pid, signal.SIGKILL)
    cluster.await_event(there, "resource_stopped", group="vip")
    cluster.await_event(there, "group_running", group="vip")
    assert cluster.await_running("service") == owner and cluster.await_running("vip") == there


def test_two_that_must_be_apart(cluster: Cluster) -> None:
    """With one node left one of them runs; with two nodes both do."""
    related(cluster, apart_from=["vip"])
    vip, service = cluster.await_running("vip"), cluster.await_running("service")
    assert vip != service
    (third,) = (name for name in cluster.nodes if name not in (vip, service))
    cluster.hactl(vip, "node", "standby", third)
    with pytest.raises(LabError, match="service, from which it must be apart, is there"):
        cluster.hactl(vip, "failover", "vip", "--to", service)
    cluster.lab.kill(vip)
    cluster.until(lambda: vip not in cluster.store.view().sessions, f"{vip} is deposed")
    cluster.await_renewals(names=[service, third])
    assert cluster.await_running("service") == service
    assert "service, from which it must be apart, is there" in cluster.hactl(service, "explain", "vip")
    cluster.hactl(service, "node", "online", third)
    assert cluster.await_running("vip") == third
    cluster.lab.start(vip)
    cluster.await_live(vip)
