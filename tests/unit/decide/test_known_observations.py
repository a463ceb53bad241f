"""What a monitor says again is no reason to look at everything."""

from __future__ import annotations

import pytest

from hactl.decide import node as decide
from hactl.model.events import Observed, Warned
from tests.support.scene import Scene

from .test_overlap import Node


@pytest.fixture
def node() -> Node:
    cluster = Scene()
    cluster.join("n1", "n2", "n3")
    cluster.own("vip", "n1")
    owner = Node(cluster, "n1")
    owner.state.view = cluster.view
    owner.run.health["address"] = "running"
    owner.state.dirty = False
    return owner


def decided(node: Node, event: Observed) -> bool:
    return decide.step(node.state, event, node.now).decided


def test_what_is_known_decides_nothing(node: Node) -> None:
    assert not decided(node, Observed("vip", "address", "running"))
    assert not decided(node, Observed("nope", "address", "running"))


@pytest.mark.parametrize(
    "event",
    [
        Observed("vip", "address", "failed"),
        Observed("vip", "address", "running", "other words"),
        Observed("vip", "address", "running", put_right="it was put back"),
        Observed("vip", "address", "running", warned=Warned("space", "none left")),
    ],
)
def test_news_are_decided_on(node: Node, event: Observed) -> None:
    assert decided(node, event)


def test_what_was_left_to_decide_is_not_forgotten(node: Node) -> None:
    node.state.dirty = True
    assert decided(node, Observed("vip", "address", "running"))
