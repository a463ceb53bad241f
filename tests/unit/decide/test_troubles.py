"""What does not work on a node: noted once for each change, told to all, shown on any."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.records import Report
from hactl.decide import node, peers, readiness_in_step, troubles
from hactl.decide.local_group import LocalGroup
from hactl.decide.placement.plan import plan
from hactl.decide.state import Out
from hactl.model.effects import Note, SendTxn
from hactl.model.events import Trouble
from hactl.status import document
from hactl.status.local import local_facts
from tests.support.scene import KEYS, Scene, at
from tests.support.stand_in import node_state

FULL = Trouble("state_dir", "its state_dir cannot be written: No space left on device", "make room", "12:00")


def notes(effects: list[object]) -> list[str]:
    return [effect.event for effect in effects if isinstance(effect, Note)]


def test_it_is_noted_when_it_changes_and_keeps_its_beginning() -> None:
    scene = Scene()
    state = node_state(scene.spec)
    assert notes(node.step(state, FULL, at(0)).effects) == ["trouble"]
    assert notes(node.step(state, FULL._replace(since="12:01"), at(1)).effects) == []
    assert notes(node.step(state, FULL._replace(what="another", since="12:02"), at(2)).effects) == ["trouble"]
    assert state.troubles == {"state_dir": {"what": "another", "do": "make room", "since": "12:00"}}
    assert notes(node.step(state, FULL._replace(what=""), at(3)).effects) == ["trouble_over"]
    assert notes(node.step(state, FULL._replace(what=""), at(4)).effects) == [] and not state.troubles


def test_it_is_told_to_the_others() -> None:
    scene = Scene()
    scene.join("n1", "n2", "n3")
    state = node_state(scene.spec)
    state.view.load(scene.store.snapshot(KEYS.prefix, timeout_s=1))
    state.phase = state.session.state = "live"
    state.troubles["state_dir"] = {"what": "full", "do": "make room", "since": "12:00"}
    out = Out(state, at(0))
    peers.report(state, out)
    (sent,) = [effect for effect in out.effects if isinstance(effect, SendTxn)]
    assert Report.from_json(sent.txn.success[0].value).troubles == state.troubles  # type: ignore[union-attr]


def test_every_node_shows_what_another_told_while_that_takes_part() -> None:
    scene = Scene()
    scene.join("n1", "n2", "n3")
    told = Report(
        "s-n1", 1, {}, {}, {}, {"state_dir": {"what": "its disk is full", "do": "make room", "since": "12:00"}}
    )
    scene.put(KEYS.report("n1"), told)

    def shown() -> list[tuple[str, str]]:
        view = scene.view
        warnings = document.status(view, scene.spec, "n2")["warnings"]
        return [(warning["what"], warning["do"]) for warning in warnings if "disk" in warning["what"]]

    assert shown() == [("node n1: its disk is full (since 12:00)", "make room")]
    scene.put(KEYS.report("n1"), Report("an earlier session", 1, {}, {}, {}, told.troubles))
    assert shown() == []


def test_a_daemon_shows_its_own_before_it_has_told_them() -> None:
    scene = Scene()
    scene.join("n1", "n2", "n3")
    state = node_state(scene.spec, "n2")
    node.step(state, FULL, at(0))
    local = local_facts(state, at(0))
    warnings = document.status(scene.view, scene.spec, "n2", local=local)["warnings"]
    assert [warning["what"] for warning in warnings if "state_dir" in warning["what"]] == [
        f"node n2: {FULL.what} (since 12:00)"
    ]


def test_where_the_state_cannot_be_kept_nothing_is_to_be_started() -> None:
    """And what runs stays: only a node that is poor is left for a better one."""
    scene = Scene()
    scene.join("n1", "n2", "n3")
    state = node_state(scene.spec)
    state.runs = {name: LocalGroup(group) for group in scene.spec.groups for name in [group.name]}
    node.step(state, FULL, at(0))
    out = Out(state, at(0))
    troubles.bar(state)
    told = readiness_in_step.own_standings(state, out)
    assert set(told) == set(state.runs)
    assert {(standing["level"], standing["why"]) for standing in told.values()} == {("unfit", FULL.what)}
    assert {own.owner_level for own in state.readiness.values()} == {"unfit"}
    assert not any(own.poor_because for own in state.readiness.values())
    node.step(state, FULL._replace(what=""), at(1))
    troubles.bar(state)
    assert all(own.worst.level == "ready" for own in state.readiness.values())


@pytest.mark.parametrize(("phase", "stays"), [("running", True), ("unknown", True), ("stopped", False)])
def test_a_node_that_can_start_nothing_need_not_leave_an_adopted_group(phase: str, stays: bool) -> None:
    """A daemon that was restarted looks at what runs first."""
    scene = Scene()
    scene.join("n1", "n2", "n3")
    scene.own("vip", "n1", phase=phase)
    told = scene.view.reports["n1"].record
    scene.put(KEYS.report("n1"), replace(told, readiness={"vip": {"level": "unfit", "why": "full"}}))
    group = scene.spec.group("vip")
    assert group is not None
    assert ("n1" in plan(scene.spec, scene.view).choice("vip").candidates) == stays
