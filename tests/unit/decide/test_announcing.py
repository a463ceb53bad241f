"""When addresses are announced again after a takeover."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hactl.decide import announcing
from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState, Out
from hactl.model.effects import Announce
from tests.support.scene import KEYS, Scene, at
from tests.support.stand_in import node_state


class Newcomer:
    """n2, which takes the group `vip` from n1."""

    def __init__(self) -> None:
        self.scene, self.now = Scene(), at(1_000_000)
        self.scene.join("n1", "n2")
        self.scene.own("vip", "n2")
        self.state: NodeState = node_state(self.scene.spec)
        me = self.scene.holder("n2")
        self.state.session.state, self.state.session.session_id, self.state.session.session_revision = (
            "live",
            me.session_id,
            me.session_revision,
        )
        group = self.scene.spec.group("vip")
        assert group is not None
        self.run = self.state.runs["vip"] = LocalGroup(group, health={"address": "running"})

    def take(self) -> None:
        self.state.view = self.scene.view
        announcing.taking(self.state, self.run, "n1", Out(self.state, self.now))

    def count(self, seconds: float) -> int:
        """How often it is announced in this time."""
        self.state.view, times = self.scene.view, 0
        for _ in range(int(seconds * 10)):
            out = Out(self.state, self.now)
            announcing.step_announcement(self.state, self.run, out)
            times += out.effects.count(Announce("vip"))
            self.now = self.now.plus(100)
        return times

    def safe(self) -> None:
        record = self.scene.view.fences["n1"].record
        self.scene.put(KEYS.fence("n1"), replace(record, state="safe"))


@pytest.fixture
def newcomer() -> Newcomer:
    newcomer = Newcomer()
    newcomer.scene.kill("n1")
    return newcomer


def test_every_second_for_a_minute_while_the_old_node_is_not_known_to_be_stopped(newcomer: Newcomer) -> None:
    newcomer.take()
    assert newcomer.count(60) == 60
    assert newcomer.count(60) == 0


def test_at_once_and_for_some_seconds_when_the_old_node_has_stopped_and_when_it_is_back(newcomer: Newcomer) -> None:
    newcomer.take()
    newcomer.count(300)
    newcomer.safe()
    assert newcomer.count(0.1) == 1
    assert newcomer.count(20) == 4
    newcomer.scene.join("n1")
    assert newcomer.count(0.1) == 1
    assert newcomer.count(20) == 4


def test_a_node_that_stopped_soon_is_the_end_of_it(newcomer: Newcomer) -> None:
    newcomer.take()
    assert newcomer.count(2.1) == 3
    newcomer.safe()
    assert newcomer.count(0.1) == 1
    assert newcomer.count(60) == 4


def test_of_a_node_that_was_switched_off_nothing_more_is_expected(newcomer: Newcomer) -> None:
    newcomer.safe()
    newcomer.take()
    assert newcomer.count(60) == 5


def test_not_before_it_runs_and_no_longer_than_it_is_here(newcomer: Newcomer) -> None:
    newcomer.take()
    newcomer.run.health["address"] = "stopped"
    assert newcomer.count(5) == 0
    newcomer.run.health["address"] = "running"
    assert newcomer.count(5) == 5
    newcomer.scene.join("n3")
    newcomer.scene.own("vip", "n3")
    assert newcomer.count(5) == 0 and newcomer.run.takeover is None
