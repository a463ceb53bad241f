"""A VIP for each service, each on a node of its own by its preference list: the services that a lost node takes with
it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from .whole import Cluster

VIPS = {"first": "10.77.0.41", "second": "10.77.0.42", "third": "10.77.0.43"}
PREFERENCES = {"first": ["n1", "n2", "n3"], "second": ["n2", "n3", "n1"], "third": ["n3", "n1", "n2"]}
PORT = 8090
HOME = {group: nodes[0] for group, nodes in PREFERENCES.items()}

pytestmark = [pytest.mark.root, pytest.mark.lab]


def spread(cluster: Cluster) -> dict[str, Any]:
    """Beside the lab's own: three groups with an address each, in front of three services."""
    document = copy.deepcopy(cluster.base)
    for name, vip in VIPS.items():
        address = {"name": "address", "vip": {"address": f"{vip}/24", "interface": "eth0"}}
        document["groups"].append({"name": name, "resources": [address], "nodes": PREFERENCES[name]})
    service = document["services"][0]
    for name, vip in VIPS.items():
        document["services"].append({**service, "name": name, "binds": [f"{vip}:{PORT}"]})
    return document


def places(cluster: Cluster) -> dict[str, list[str]]:
    """Which nodes have each address, by netlink."""
    return {name: cluster.judge.watcher.holders(vip) for name, vip in VIPS.items()}


def await_places(cluster: Cluster, wanted: dict[str, str]) -> None:
    """Until each group runs on its node, has its address there alone, and its service answers."""
    for name, node in wanted.items():
        cluster.await_running(name, [node])
    cluster.until(lambda: places(cluster) == {name: [node] for name, node in wanted.items()}, f"{wanted}")
    for name, vip in VIPS.items():
        cluster.until(lambda v=vip: cluster.lab.ask(f"{v}:{PORT}"), f"{name} answers")  # type: ignore[misc]


def test_a_lost_node_moves_its_own_alone_and_gets_it_back_when_asked(cluster: Cluster) -> None:
    cluster.configure(spread(cluster))
    for name, node in HOME.items():
        cluster.settle(name, node)
    await_places(cluster, HOME)
    cluster.begin()
    before = cluster.store.view().groups

    cluster.lab.kill("n2")
    moved = {**HOME, "second": "n3"}
    await_places(cluster, moved)
    for name in ("first", "third"):
        assert cluster.group(name) == before[name].record
        assert cluster.changes(VIPS[name]) == []

    cluster.lab.start("n2")
    cluster.await_live("n2")
    cluster.await_renewals()
    assert places(cluster) == {name: [node] for name, node in moved.items()}  # no failback

    cluster.hactl("n1", "failover", "second", "--to", "n2")
    await_places(cluster, HOME)
