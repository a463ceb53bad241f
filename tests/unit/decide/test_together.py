"""Addresses that stand next to each other in a group start, stop and fail together."""

from __future__ import annotations

import pytest

from hactl.decide.acquiring import bring_up
from hactl.decide.local_group import LocalGroup
from hactl.decide.resources import acted, bring_down, registered
from hactl.decide.state import Out
from hactl.decide.together import together
from hactl.model import effects, events
from hactl.model.cluster import GroupSpec
from tests.support.scene import Scene
from tests.support.specs import resource_spec
from tests.unit.decide.test_overlap import Node

KINDS = ("vip", "vip", "systemd", "vip", "vip", "vip")
RESOURCES = tuple(resource_spec(f"r{index}", kind) for index, kind in enumerate(KINDS))


@pytest.fixture
def owner() -> Node:
    """n2 owns the group, of which nothing runs yet."""
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n2", phase="stopped")
    node = Node(scene, "n2")
    spec = GroupSpec("vip", RESOURCES)
    node.run = node.state.runs["vip"] = LocalGroup(spec, {spec.name: "stopped" for spec in RESOURCES}, granted=7)
    node.state.view = scene.view
    return node


def up(owner: Node) -> list[str]:
    """Bring it up one step further: actions and registrations."""
    out = Out(owner.state, owner.now)
    bring_up(owner.state, owner.run, owner.state.view.groups["vip"], out)
    return told(out)


def told(out: Out) -> list[str]:
    acts = [f"{act.action} {act.resource.name}" for act in out.effects if isinstance(act, effects.Act)]
    return acts + [f"register {tell.resource.name}" for tell in out.effects if isinstance(tell, effects.GuardRegister)]


def answer(owner: Node, name: str, problem: str = "") -> None:
    registered(owner.state, owner.run, name, not problem, problem, Out(owner.state, owner.now))


def end(owner: Node, name: str, health: events.Health, problem: str = "") -> None:
    event = events.Acted(owner.run.acting[name][0], not problem, health, problem)
    acted(owner.state, owner.run, name, event, Out(owner.state, owner.now))


def test_only_addresses_next_to_each_other_do() -> None:
    assert [list(together(RESOURCES, index)) for index in range(6)] == [[0, 1], [0, 1], [2], *3 * [[3, 4, 5]]]


def test_they_start_when_the_guard_holds_all_of_them_and_the_next_one_when_all_run(owner: Node) -> None:
    assert up(owner) == ["register r0", "register r1"]
    answer(owner, "r1")
    assert up(owner) == []
    answer(owner, "r0")
    assert up(owner) == ["start r0", "start r1"]
    end(owner, "r1", "running")
    assert up(owner) == []
    end(owner, "r0", "running")
    assert up(owner) == ["register r2"]


def test_one_that_fails_is_started_again_without_the_others(owner: Node) -> None:
    owner.run.health |= {"r0": "running", "r1": "failed", "r2": "running"}
    assert up(owner) == ["stop r2"]
    end(owner, "r2", "stopped")
    assert up(owner) == ["stop r1"]
    end(owner, "r1", "stopped")
    assert up(owner) == ["register r1"]


def test_starts_that_fail_together_count_once_and_are_tried_again_together(owner: Node) -> None:
    up(owner)
    answer(owner, "r0", "no such network")
    assert owner.run.restarts == 1
    assert up(owner) == [], "the other one is not answered yet"
    answer(owner, "r1", "no such network")
    assert owner.run.restarts == 1
    assert up(owner) == ["register r0", "register r1"]
    answer(owner, "r0")
    answer(owner, "r1")
    assert up(owner) == ["start r0", "start r1"]
    end(owner, "r0", "failed", "the link is down")
    end(owner, "r1", "failed", "the link is down")
    assert owner.run.restarts == 2


def test_they_stop_together_before_what_they_follow(owner: Node) -> None:
    owner.run.health |= dict.fromkeys(owner.run.health, "running")  # type: ignore[arg-type]
    owner.run.registered |= set(owner.run.health)

    def down() -> list[str]:
        out = Out(owner.state, owner.now)
        bring_down(owner.run, out, kill=False)
        return told(out)

    assert down() == ["stop r3", "stop r4", "stop r5"]
    end(owner, "r3", "stopped")
    end(owner, "r4", "failed", "it is put back")
    end(owner, "r5", "stopped")
    assert "r4" in owner.run.stop_failed, "the others could be stopped, this one not"
    owner.run.health["r3"] = "failed"  # by the fast way one at a time
    assert down() == ["kill r4"]
    owner.run.health["r3"] = "stopped"
    end(owner, "r4", "stopped")
    assert owner.run.stop_failed == ""
    assert down() == ["stop r2"]
