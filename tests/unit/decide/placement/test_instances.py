"""Placement of groups that run with a group that is on every node: by what each node says of its instance."""

from __future__ import annotations

from typing import Any

import pytest

from hactl.decide.placement.plan import Choice, plan
from hactl.decide.placement.rules import rules_of
from tests.support.scene import KEYS, Scene

CLUSTER = """\
cluster: demo
nodes:
  - {name: n1, address: 10.0.0.11}
  - {name: n2, address: 10.0.0.12}
  - {name: n3, address: 10.0.0.13}
groups:
  - name: broker
    run: all
    nodes: [n1, n2]
    resources:
      - {name: rabbitmq, systemd: {unit: rabbitmq-server.service}}
  - name: entry
    together_with: [{group: broker, must: true}]
    resources:
      - {name: address, vip: {address: 10.0.0.30/24}}
"""
RUNNING = {"phase": "running"}


def choice(cluster: str = CLUSTER, owner: str = "", **instances: dict[str, Any]) -> Choice:
    """The choice for `entry`, with these reports of instances, by node."""
    scene = Scene(cluster=cluster)
    scene.join("n1", "n2", "n3")
    if owner:
        scene.own("entry", owner)
    for node, said in instances.items():
        entry = {"entry": {"phase": "running", "epoch": 7}} if node == owner else {}
        scene.report(node, {"broker": said, **entry})
    return plan(scene.spec, scene.view).choice("entry")


def test_it_runs_where_an_instance_is_to_run() -> None:
    chosen = choice(n1=RUNNING, n2=RUNNING)
    assert chosen.candidates == ("n1", "n2")
    why = "broker, with which it runs, is not to run there: not in the group's nodes"
    assert (chosen.excluded["n3"], chosen.stops) == (why, {"n3"})


@pytest.mark.parametrize("said", [{"phase": "starting", "failed": True}, {"phase": "stopped"}, {}])
def test_an_instance_that_is_down_for_a_moment_moves_nothing(said: dict[str, Any]) -> None:
    assert choice(owner="n1", n1=said, n2=RUNNING).target == "n1"


def test_one_that_is_given_up_does() -> None:
    chosen = choice(owner="n1", n1={"phase": "failed", "given_up": True, "reason": "it dumps core"}, n2=RUNNING)
    assert chosen.target == "n2"
    assert chosen.excluded["n1"] == "broker, with which it runs, fails there: it dumps core"


def test_what_a_node_said_in_an_earlier_session_does_not_count() -> None:
    scene = Scene(cluster=CLUSTER)
    scene.join("n1", "n2")
    scene.report("n1", {"broker": {"phase": "failed", "given_up": True}})
    session = scene.view.sessions["n1"].record
    scene.delete(KEYS.node("n1"))
    scene.put(KEYS.node("n1"), session.__class__("s-later", "machine-n1", "boot-n1", 3750, 1))
    assert "n1" in plan(scene.spec, scene.view).choice("entry").candidates


def test_one_that_an_operator_has_stopped_banned_or_disabled() -> None:
    scene = Scene(cluster=CLUSTER)
    scene.join("n1", "n2", "n3")
    scene.put(KEYS.ban("broker", "n1"), "{}")
    assert plan(scene.spec, scene.view).choice("entry").candidates == ("n2",)
    scene.put(KEYS.stopped("broker"), "{}")
    assert plan(scene.spec, scene.view).choice("entry").candidates == ()


def test_one_with_which_it_should_run_is_a_preference() -> None:
    should = CLUSTER.replace("must: true", "must: false")
    given_up = {"phase": "failed", "given_up": True}
    assert choice(should, n1=given_up, n2=RUNNING).candidates == ("n2", "n1", "n3")
    assert choice(should, owner="n1", n1=given_up, n2=RUNNING).target == "n1"


def test_a_clone_is_nothing_that_placement_moves() -> None:
    rules = rules_of(Scene(cluster=CLUSTER).spec)
    assert list(rules.groups) == ["entry"] and list(rules.clones) == ["broker"]
    assert (rules.related, rules.together, rules.followers) == ({}, {}, {})
