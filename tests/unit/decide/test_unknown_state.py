"""Resources whose state cannot be told: what was not started here bars its group from this node, and nothing more."""

from __future__ import annotations

import pytest

from election.records import Failure, Report
from hactl.decide import node as decide
from hactl.decide import phases
from hactl.decide.resources import acted
from hactl.decide.state import Out
from hactl.model import events
from hactl.model.effects import SelfFence
from tests.support.scene import KEYS, Scene, spec
from tests.support.stand_in import node_state
from tests.unit.decide.test_overlap import Node


@pytest.fixture
def node() -> Node:
    """n2, which has not looked yet; n1 owns the group."""
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1")
    second = Node(scene, "n2")
    second.run.health.clear()
    return second


def answer(node: Node, health: events.Health, detail: str = "monitor: exit status 5: not installed") -> None:
    """What is under way ends like this."""
    number, action = node.run.acting["address"]
    ok = action == "probe" or health == "stopped"
    acted(node.state, node.run, "address", events.Acted(number, ok, health, detail), Out(node.state, node.now))


def until_barred(node: Node) -> None:
    assert node.look() == ["probe"]
    answer(node, "failed")
    assert node.look() == ["kill"]
    answer(node, "failed")


@pytest.mark.parametrize("phase", ["stopping", "live"])
def test_it_bars_the_group_from_the_node_and_not_the_node_from_the_cluster(node: Node, phase: decide.Phase) -> None:
    node.state.phase = phase
    until_barred(node)
    assert (node.run.phase, phases.cleared(node.state)) == ("barred", True)
    worst = node.state.readiness["vip"].worst
    assert (worst.level, worst.why) == (
        "unfit",
        "its state here cannot be told: address: monitor: exit status 5: not installed",
    )


def test_it_is_looked_at_again_with_growing_waits_and_not_stopped_again(node: Node) -> None:
    until_barred(node)
    waits = []
    for _ in range(8):
        waited = 0
        while not (done := node.look()):
            node.wait(500)
            waited += 500
        assert done == ["probe"]
        waits.append(waited)
        answer(node, "failed")
    assert waits == [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]
    assert "group_not_mine" not in node.notes[1:]


def test_it_may_come_here_again_once_its_state_is_known(node: Node) -> None:
    until_barred(node)
    node.wait(1000)
    assert node.look() == ["probe"]
    answer(node, "stopped", "")
    assert (node.run.phase, node.run.stop_failed) == ("stopped", "")
    assert node.state.readiness["vip"].worst.level == "ready"


def test_a_resource_started_here_keeps_the_node_out_until_it_is_known(node: Node) -> None:
    node.run.registered.add("address")
    node.state.phase = "stopping"
    assert node.look() == ["probe"]
    answer(node, "failed")
    assert node.look() == ["stop"]
    answer(node, "failed")
    assert node.look() == ["kill"]
    answer(node, "failed")
    assert (node.run.phase, phases.cleared(node.state)) == ("blocked", False)
    assert "vip" not in node.state.readiness


def test_an_owner_that_cannot_tell_leaves_it_to_another(node: Node) -> None:
    node.scene.own("vip", "n2", phase="stopped")
    until_barred_owner(node)
    standing = {"vip": {"level": "unfit", "why": "its state here cannot be told"}}
    node.scene.put(KEYS.report("n2"), Report("s-n2", 1, {}, {}, standing))
    assert node.look() == ["handoff"]
    assert node.scene.view.groups["vip"].record.node == "n1"


def until_barred_owner(node: Node) -> None:
    assert node.look() == ["probe"]
    answer(node, "failed")
    assert node.look() in (["stop"], ["kill"])
    answer(node, "failed")
    assert node.run.barred


@pytest.mark.parametrize(
    ("guard_sid", "same_boot", "exclusive", "started"),
    [
        ("", True, (), True),  # nobody is left who would know
        ("", False, (), False),  # the machine has booted since
        ("s-old", True, (), False),  # the guard knows that nothing of it runs
        ("s-old", True, ("vip/address",), True),
    ],
)
def test_what_may_have_been_started(guard_sid: str, same_boot: bool, exclusive: tuple[str, ...], started: bool) -> None:
    group = spec().group("vip")
    assert group is not None
    guard = events.GuardFacts(guard_sid, None, False, exclusive, 2)
    boot = events.Boot("n2", "m", "b", "nonce", guard, None, 0, "", (group,), same_boot)
    assert decide.new_state(KEYS, boot).runs["vip"].started == started


@pytest.mark.parametrize(("boot_id", "started"), [("boot-n2", True), ("another", False)])
def test_the_store_tells_what_ran_here_where_the_disk_does_not(boot_id: str, started: bool) -> None:
    """The state directory is empty, and no guard is left: the group was this node's in a session of this boot."""
    scene = Scene()
    scene.join("n1", "n2")
    scene.own("vip", "n2")
    state = node_state(scene.spec)
    state.boot = state.boot._replace(boot_id=boot_id)
    state.view = scene.view
    phases.adjust_runs(state)
    assert state.runs["vip"].started == started
    assert not state.runs["database"].started


def test_a_sick_unowned_group_is_left_to_others(node: Node) -> None:
    """There is no record of its owner; n2 cannot tell its state, and may not take it."""
    node.scene.delete(KEYS.group("vip"))
    node.scene.put(KEYS.failure("vip", "n2"), Failure(3, "address", "no link"))
    assert node.look() == ["probe"]
    answer(node, "failed")
    node.look()
    assert (node.run.phase, node.run.acting) == ("barred", {})


def test_without_a_guard_the_daemon_takes_the_node_down_before_the_lease_ends(node: Node) -> None:
    """Something that was started cannot be stopped, and there is nobody else who would see to it."""
    node.run.registered.add("address")
    node.run.health["address"], node.state.view = "failed", node.scene.view
    lead = node.state.timing.self_fence_lead_ms
    node.state.session.valid_until = node.now.plus(lead + 1)
    done = [
        decide.step(node.state, events.GuardLost(), node.now).effects,
        decide.step(node.state, events.Tick(), node.now.plus(1)).effects,
    ]
    assert [any(isinstance(effect, SelfFence) for effect in effects) for effects in done] == [False, True]
