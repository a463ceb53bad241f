"""A group for which there is nothing to do is passed over until something changes. That it may be passed over is what
the simulation finds out (tests/simulation/passed_over.py)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from election.store import TxnResult
from hactl.decide import node as decide
from hactl.decide import settled
from hactl.decide.local_group import LocalGroup, Takeover
from hactl.decide.readiness import OwnReadiness
from hactl.decide.state import NodeState, Out, Pending
from hactl.model import events
from hactl.model.purposes import Purpose
from tests.support.scene import KEYS, Scene
from tests.unit.decide.test_overlap import Node


class Story:
    """n1 runs the group, as it should be."""

    def __init__(self) -> None:
        scene = Scene()
        scene.join("n1", "n2")
        scene.own("vip", "n1")
        self.node = Node(scene, "n1")
        self.state: NodeState = self.node.state
        self.state.view = scene.view
        self.run: LocalGroup = self.node.run
        self.run.health["address"], self.run.registered = "running", {"address"}
        self.run.granted = self.run.epoch = 7
        self.run.since_running = self.node.now

    def settle(self) -> bool:
        """It was looked at, and nothing came of it; whether it is passed over from then on."""
        now = settled.ground(self.state, Out(self.state, self.node.now))
        settled.looked_at(self.state, self.run, now, idle=True)
        return self.passed_over

    @property
    def passed_over(self) -> bool:
        now = settled.ground(self.state, Out(self.state, self.node.now))
        return settled.passed_over(self.state, self.run, now)

    def read(self) -> None:
        self.state.view.load(self.node.scene.store.snapshot(KEYS.prefix, timeout_s=5))


@pytest.fixture
def story() -> Story:
    story = Story()
    assert story.settle()
    return story


def test_time_alone_changes_nothing(story: Story) -> None:
    decide.step(story.state, events.Tick(), story.node.now)
    assert story.run.settled is not None
    settled.see_event(story.state, events.Tick())
    assert story.passed_over


def test_a_renewal_and_a_report_tell_nothing_and_other_answers_do(story: Story) -> None:
    state, result = story.state, TxnResult(True, story.state.view.revision, {})
    for number, purpose in enumerate((Purpose.RENEW, Purpose.REPORT, Purpose.BLOCK), 900):
        state.pending[number] = Pending(purpose, state.writer.delete("k", 1), story.node.now)
        settled.see_event(state, events.TxnDone(number, result))
        assert story.passed_over is (purpose is not Purpose.BLOCK)
    assert story.settle()
    settled.see_event(state, events.TxnDone(900, None))
    assert not story.passed_over, "without an answer etcd may be away"


@pytest.mark.parametrize(
    "event", [events.TimeOfDay(1.0), events.GuardLost(), events.Shutdown(release=True), events.WatchEnded("gone")]
)
def test_an_event_that_may_be_about_any_group_has_all_looked_at(story: Story, event: events.Event) -> None:
    settled.see_event(story.state, event)
    assert not story.passed_over


def test_an_observation_has_its_group_looked_at(story: Story) -> None:
    story.state.dirty = False
    decide.step(story.state, events.Observed("vip", "address", "running"), story.node.now)
    assert story.run.settled is None, "also where it is no news, and nothing else was looked at"


def test_what_the_store_says_has_all_looked_at(story: Story) -> None:
    story.node.scene.put(KEYS.standby("n1"), "anna")
    story.read()
    assert not story.passed_over


CHANGES: dict[str, Callable[[Story], object]] = {
    "phase": lambda story: setattr(story.state, "phase", "ending"),
    "session": lambda story: setattr(story.state.session, "session_id", "another"),
    "lease": lambda story: setattr(story.state.session, "valid_until", story.node.now),
    "guard": lambda story: setattr(story.state, "guard_ready", False),
    "emergency": lambda story: setattr(story.state, "emergency", True),
    "configuration": lambda story: setattr(story.state, "cluster", None),
    "health": lambda story: story.run.health.update(address="failed"),
    "acting": lambda story: story.run.acting.update(address=(1, "stop")),
    "transaction": lambda story: setattr(story.run, "txn", 1),
    "readiness": lambda story: story.state.readiness.update(vip=OwnReadiness()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_it_is_looked_at_when_what_that_rests_on_changes(story: Story, name: str) -> None:
    CHANGES[name](story)
    assert not story.passed_over


COUNTED: dict[str, Callable[[Story], object]] = {
    "a wait": lambda story: setattr(story.run, "retry_at", story.node.now),
    "a quiet time": lambda story: setattr(story.run, "restarts", 1),
    "announcements": lambda story: setattr(story.run, "takeover", Takeover("n2", story.node.now, 1000.0)),
    "not registered": lambda story: story.run.registered.clear(),
    "another epoch": lambda story: setattr(story.run, "epoch", 6),
}


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_counted_by_the_clock_or_not_done_is_looked_at_each_time(story: Story, name: str) -> None:
    COUNTED[name](story)
    assert not story.settle()


def test_what_is_reported_of_it_is_of_now(story: Story) -> None:
    """The entry of the report is kept as long as it is passed over, and not from before."""
    story.run.health["address"] = "failed"
    decide.step(story.state, events.Tick(), story.node.now)
    assert story.run.entry is not None and story.run.entry["phase"] != "running"
    story.run.health["address"], story.run.retry_at = "running", None
    story.run.acting.clear()
    story.settle()
    assert story.run.entry is None


def test_what_came_of_a_look_is_looked_at_again(story: Story) -> None:
    now = settled.ground(story.state, Out(story.state, story.node.now))
    settled.looked_at(story.state, story.run, now, idle=False)
    assert not story.passed_over
