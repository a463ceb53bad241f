"""What something outside of hactl does to resources: noted with measure, warned of while it lasts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hactl.decide import outside, resources
from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState, Out
from hactl.model.effects import Note
from hactl.model.events import Acted, Observed, Warned
from tests.support.scene import Scene, at
from tests.support.stand_in import node_state

CONFLICT = Warned("conflict", "address conflict: 10.0.0.30 is also at 02:aa:aa:aa:aa:01", "02:aa:aa:aa:aa:01")


class Owner:
    """n2, which has the group `vip`, or (`other`) does not."""

    def __init__(self, *, other: bool = False) -> None:
        scene = Scene()
        scene.join("n1", "n2", "n3")
        scene.own("vip", "n1" if other else "n2")
        self.state: NodeState = node_state(scene.spec)
        me = scene.holder("n2")
        self.state.view, self.state.phase = scene.view, "live"
        self.state.session.state, self.state.session.session_id, self.state.session.session_revision = (
            "live",
            me.session_id,
            me.session_revision,
        )
        group = scene.spec.group("vip")
        assert group is not None
        self.run = self.state.runs["vip"] = LocalGroup(group, health={"address": "stopped" if other else "running"})
        self.now = at(1_000_000)

    def see(self, health: str = "running", *, put_right: str = "", warned: Warned | None = None) -> list[str]:
        """The events that are noted when this is observed."""
        out = Out(self.state, self.now)
        event = Observed("vip", "address", health, "", put_right, warned)  # type: ignore[arg-type]
        resources.observed(self.state, self.run, event, out)
        return noted(out)

    def wait(self, ms: float) -> list[str]:
        self.now = self.now.plus(ms)
        out = Out(self.state, self.now)
        outside.expire(self.run, out)
        return noted(out)

    def warnings(self) -> list[str]:
        return [f"{warning.topic}: {warning.text}" for warning in outside.warnings(self.state)]


def noted(out: Out) -> list[str]:
    return [effect.event for effect in out.effects if isinstance(effect, Note)]


@pytest.fixture
def owner() -> Owner:
    return Owner()


def test_a_correction_is_noted_and_repeated_ones_are_a_warning_until_it_is_quiet(owner: Owner) -> None:
    assert owner.see(put_right="removed") == ["resource_put_right"]
    assert owner.warnings() == []
    assert owner.see(put_right="removed") == ["resource_put_right"]
    assert owner.see(put_right="removed") == ["resource_warning"]
    assert owner.warnings() == ["put_right: removed; that has happened 3 times or more"]
    assert owner.wait(outside.QUIET_MS - 1) == []
    assert owner.warnings() != []
    assert owner.wait(1) == ["resource_warning_over"]
    assert owner.warnings() == []
    assert owner.see(put_right="removed") == ["resource_put_right"]


@given(st.integers(1, 400))
def test_events_and_reports_are_few_however_often_it_happens(count: int) -> None:
    owner, events, reports = Owner(), 0, set()
    for _ in range(count):
        events += len(owner.see(put_right="removed"))
        reports.add(tuple(owner.warnings()))
        owner.wait(10)
    assert events <= 8 and len(reports) <= 6


def test_a_conflict_is_a_warning_while_it_lasts(owner: Owner) -> None:
    assert owner.see(warned=CONFLICT) == ["resource_warning"]
    assert owner.see(warned=CONFLICT) == []
    assert owner.warnings() == [f"conflict: {CONFLICT.text}"]
    assert outside.warnings(owner.state)[0].mac == CONFLICT.mac
    assert owner.wait(10 * outside.QUIET_MS) == [] and owner.warnings() != []
    assert owner.see(warned=Warned("conflict", "")) == ["resource_warning_over"]
    assert owner.warnings() == []
    assert owner.see(warned=Warned("conflict", "")) == []


def test_a_conflict_that_comes_and_goes_is_noted_with_measure_and_stays_a_warning(owner: Owner) -> None:
    events = 0
    for _ in range(50):
        events += len(owner.see(warned=CONFLICT)) + len(owner.see(warned=Warned("conflict", "")))
    assert events <= 10
    assert owner.warnings() == [f"conflict: {CONFLICT.text}; that has happened 30 times or more"]


def test_trouble_with_a_resource_is_over_when_it_is_stopped(owner: Owner) -> None:
    owner.see(warned=CONFLICT)
    owner.run.acting["address"] = (1, "stop")
    out = Out(owner.state, owner.now)
    resources.acted(owner.state, owner.run, "address", Acted(1, True, "stopped"), out)
    assert noted(out) == ["resource_stopped", "resource_warning_over"]
    assert owner.warnings() == []


def test_what_else_would_start_a_unit_is_told_wherever_it_runs(owner: Owner) -> None:
    """Its stop changes nothing of that: no events at each move of the group."""
    also = Warned(outside.ALSO_STARTED, "x.service is enabled: `systemctl disable x.service`")
    assert owner.see(warned=also) == ["resource_warning"]
    owner.run.acting["address"] = (1, "stop")
    out = Out(owner.state, owner.now)
    resources.acted(owner.state, owner.run, "address", Acted(1, True, "stopped"), out)
    assert noted(out) == ["resource_stopped"]
    assert owner.warnings() == [f"also_started: {also.text}"]
    assert owner.see("stopped", warned=Warned(outside.ALSO_STARTED, "")) == ["resource_warning_over"]


def test_a_stray_resource_is_noted_and_warned_of_when_it_comes_again_and_again() -> None:
    stray = Owner(other=True)
    assert stray.see() == ["resource_appeared"]
    events = []
    for _ in range(40):
        out = Out(stray.state, stray.now)
        stray.run.acting["address"] = (1, "kill")
        resources.acted(stray.state, stray.run, "address", Acted(1, True, "stopped"), out)
        events += noted(out) + stray.see()
    assert events.count("resource_appeared") <= 5 and events.count("resource_warning") == 3
    assert events.count("resource_stopped") <= 5
    assert stray.warnings() == [
        "stray: something else starts it here, where the group does not run; that has happened 30 times or more"
    ]


def test_a_stray_resource_that_cannot_be_stopped_is_warned_of() -> None:
    stray = Owner(other=True)
    stray.run.stop_failed = "address: who puts it back?"
    assert stray.warnings() == ["stuck: address: who puts it back?"]
    mine = Owner()
    mine.run.stop_failed = "address: who puts it back?"
    assert mine.warnings() == [], "of an owner the group's state says so"
