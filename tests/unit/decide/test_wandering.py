"""When a group that its failures move is held, and when it is let go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.records import Failure, Flapping
from hactl.decide import wandering
from hactl.decide.groups import leaving
from hactl.decide.resources import LONGEST_RETRY_MS, failed
from hactl.decide.state import Out
from hactl.model.effects import Note, SendTxn
from tests.support.scene import KEYS, Scene
from tests.unit.decide.test_overlap import Node

MINUTE_MS = 60_000.0


class Wandering(Node):
    """n2, on which `vip` has failed; it may be moved twice within ten minutes."""

    def __init__(self) -> None:
        scene = Scene()
        scene.join("n1", "n2", "n3")
        scene.own("vip", "n2")
        scene.put(KEYS.failure("vip", "n2"), Failure(3, "address", "no link"))
        super().__init__(scene, "n2")
        self.run.spec = replace(self.run.spec, overlap=False, moves_limit=2, moves_window_ms=10 * MINUTE_MS)
        self.run.granted, self.run.failure = 7, "no link"

    def marks(self, *epochs: int, held: str = "") -> None:
        self.scene.put(KEYS.flapping("vip"), Flapping(epochs, held, "no link"))
        self.see()

    def see(self) -> Out:
        self.state.view = self.scene.view
        out = Out(self.state, self.now)
        wandering.see_marks(self.state, out)
        return out

    def goes(self) -> str:
        """Where it is to go; "": it stays. What is sent is carried out."""
        out = self.see()
        release = leaving(self.state, self.run, self.state.view.groups["vip"].record, out)
        for effect in out.effects:
            if isinstance(effect, SendTxn):
                assert self.scene.store.txn(effect.txn, timeout_s=5).succeeded
                self.state.pending.clear()
        self.notes = [effect.event for effect in out.effects if isinstance(effect, Note)]
        return release.to.node if release and release.to else ""

    @property
    def known(self) -> Flapping:
        return self.scene.view.flapping["vip"].record

    def later(self, ms: float) -> None:
        self.now = self.now.plus(ms)


@pytest.fixture
def node() -> Wandering:
    return Wandering()


def test_after_too_many_moves_it_is_held_where_it_is(node: Wandering) -> None:
    node.marks(3)
    assert node.goes() == "n1"
    node.marks(3, 5)
    assert node.goes() == ""
    assert (node.known, node.notes) == (Flapping((3, 5), "n2", "no link"), ["group_held"])
    assert node.goes() == ""
    assert node.notes == []


def test_only_moves_of_the_last_time_count(node: Wandering) -> None:
    node.marks(3)
    node.later(9 * MINUTE_MS)
    node.marks(3, 5)
    node.later(MINUTE_MS + 1)
    assert node.goes() == "n1"
    node.marks(3, 5, 6)
    assert node.goes() == ""
    assert node.known.moves == (5, 6)


def test_not_before_every_node_could_have_been_tried(node: Wandering) -> None:
    node.run.spec = replace(node.run.spec, moves_limit=1)
    node.marks(3)
    assert node.goes() == "n1"
    node.run.spec = replace(node.run.spec, nodes=("n1", "n2"))
    assert node.goes() == ""


def test_standby_moves_it_all_the_same(node: Wandering) -> None:
    node.marks(3, 5, held="n2")
    node.scene.put(KEYS.standby("n2"), "anna")
    assert node.goes() == "n1"


def test_the_hold_of_another_node_is_not_this_ones(node: Wandering) -> None:
    node.marks(3, held="n3")
    assert node.goes() == "n1"


def test_a_handoff_carries_the_mark_and_drops_those_that_are_over(node: Wandering) -> None:
    node.marks(3)
    node.later(10 * MINUTE_MS)
    node.marks(3, 5)
    out = node.see()
    from election import ownership

    observed = node.state.view.groups["vip"]
    move = ownership.hand_over(
        node.state.writer, "vip", observed, node.scene.holder("n1"), 8, reason="x", overlap=False
    )
    assert node.scene.store.txn(wandering.marked(node.state, node.run, move, 8, out), timeout_s=5).succeeded
    assert node.known.moves == (5, 8)
    node.scene.delete(KEYS.flapping("vip"))
    assert not node.scene.store.txn(wandering.marked(node.state, node.run, move, 8, out), timeout_s=5).succeeded


def test_while_it_is_held_it_is_restarted_with_the_longest_wait_and_nothing_more_is_written(node: Wandering) -> None:
    node.marks(3, 5, held="n2")
    node.run.health["address"] = "running"
    out = node.see()
    failed(node.state, node.run, "address", "no link", out)
    assert node.run.retry_at == node.now.plus(LONGEST_RETRY_MS)
    assert not [effect for effect in out.effects if isinstance(effect, SendTxn)]


@pytest.mark.parametrize(("held", "notes"), [("n2", ["group_not_held"]), ("", [])])
def test_once_it_has_run_well_for_the_window_all_is_forgotten(node: Wandering, held: str, notes: list[str]) -> None:
    node.marks(3, 5, held=held)
    node.run.since_running = node.now
    for wait_ms, there in ((10 * MINUTE_MS - 1, True), (1, False)):
        node.later(wait_ms)
        out = node.see()
        wandering.calm(node.state, node.run, out)
        for effect in out.effects:
            if isinstance(effect, SendTxn):
                node.scene.store.txn(effect.txn, timeout_s=5)
        assert ("vip" in node.scene.view.flapping) == there
    assert [effect.event for effect in out.effects if isinstance(effect, Note)] == notes
