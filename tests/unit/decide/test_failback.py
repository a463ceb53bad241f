"""To which node a group goes back, and when it stays."""

from __future__ import annotations

import pytest

from hactl.decide import failback
from hactl.decide.readiness import Sighting
from hactl.decide.state import Out
from tests.support.scene import CLUSTER, Scene

from .test_overlap import Node
from .test_relations import heard

BACK = "failback: immediately"


def node_with(*settings: str, ready_ms: float = 1e6) -> Node:
    """n2 runs the group with these settings; the other nodes have been ready for it for so long."""
    text = "".join(f"    {line}\n" for line in settings)
    cluster = Scene(cluster=CLUSTER.replace("  - name: vip\n", "  - name: vip\n" + text))
    cluster.join("n1", "n2", "n3")
    cluster.own("vip", "n2")
    node = Node(cluster, "n2")
    node.state.view = cluster.view
    node.run.health["address"], node.run.epoch = "running", 7
    for name in ("n1", "n3"):
        node.state.sightings["vip", name] = Sighting("ready", node.now.plus(-ready_ms))
        heard(node.state, name, cluster.view.sessions[name], node.now)
    return node


def goes_to(node: Node) -> str:
    return failback.better_node(node.state, node.run, node.state.choice("vip"), Out(node.state, node.now))


@pytest.mark.parametrize(
    ("settings", "to"),
    [
        (("weights: {n1: 80, n2: 50, n3: 100}", BACK), "n3"),
        (("weights: {n1: 100, n2: 50, n3: 80}", BACK), "n1"),
        (("weights: {n1: 50, n2: 50, n3: 50}", BACK), ""),
        (("weights: {n1: 100, n2: 50, n3: 50}", BACK, "stickiness: 49"), "n1"),
        (("weights: {n1: 100, n2: 50, n3: 50}", BACK, "stickiness: 50"), ""),
        (("weights: {n1: 100, n2: 50, n3: 50}",), ""),
        (("prefers: node == n3", BACK), "n3"),
    ],
)
def test_it_goes_to_the_best_of_the_nodes_that_are_better_by_more_than_its_stickiness(
    settings: tuple[str, ...], to: str
) -> None:
    assert goes_to(node_with(*settings)) == to


def test_only_to_a_node_that_has_been_ready_for_long() -> None:
    assert goes_to(node_with("nodes: [n1, n2]", BACK, ready_ms=1.0)) == ""


def test_only_when_it_runs_or_is_leaving_already() -> None:
    node = node_with("nodes: [n1, n2]", BACK)
    node.run.health["address"] = "failed"
    assert goes_to(node) == ""
    node.run.leaving_since = node.now
    assert goes_to(node) == "n1"


def test_it_does_not_go_back_from_a_node_that_it_may_not_be_on() -> None:
    """It leaves that for another reason."""
    assert goes_to(node_with("never: [n2]", "weights: {n1: 50, n2: 10, n3: 100}", BACK)) == ""
