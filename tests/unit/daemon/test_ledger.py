"""The failover ledger: which milestones a takeover had, and how long its parts took."""

from __future__ import annotations

from typing import Any

import pytest

from election.records import Failure, Move
from hactl.daemon.parts.ledger import Ledger, Timeline
from hactl.decide.state import NodeState
from tests.support.scene import KEYS, Scene, at
from tests.support.stand_in import node_state


class Story:
    """Node n2's ledger, told what happens when."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.scene.join("n1", "n2", "n3")
        self.scene.own("vip", "n1", epoch=5)
        self.ledger = Ledger("n2")
        self.state: NodeState = node_state(self.scene.spec)
        self.look(0)

    def look(self, ms: float) -> None:
        """What is in the store is known since `ms`."""
        view = self.state.view
        view.load(self.scene.store.snapshot(KEYS.prefix, timeout_s=1))
        for node, session in view.sessions.items():
            self.state.observer.on_session(node, session, at(ms))
        for node, fence in view.fences.items():
            self.state.observer.on_fence(node, fence.record, at(ms))
        self.ledger.look(self.state, at(ms))

    def note(self, ms: float, event: str, **data: Any) -> Timeline | None:
        return self.ledger.note(event, {"group": "vip", **data}, self.state, at(ms))


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_node_that_was_lost(story: Story) -> None:
    story.note(4000, "peer_over", node="n1", silent_ms=4000)
    story.scene.kill("n1")
    story.look(4010)
    story.scene.own("vip", "n2", epoch=6, phase="starting", reason="n1's lease is over")
    story.look(4015)
    story.note(4020, "group_acquire", epoch=6)
    story.note(4030, "resource_started", resource="address", epoch=6)
    done = story.note(4035, "group_running", epoch=6)
    assert done is not None
    entry = done.as_dict()
    assert (entry["reason"], entry["from"], entry["to"], entry["epoch"]) == ("node_lost", "n1", "n2", 6)
    assert entry["detail"] == "n1's lease is over"
    assert entry["phases"] == {"detect": 4000, "depose": 10, "acquire": 10, "start": 15, "total": 4035}
    assert entry["marks"]["started:address"] == 4030
    assert list(story.ledger.timelines) == [done]


def test_a_node_that_somebody_else_deposed(story: Story) -> None:
    """This node did not conclude it by itself: the last sign of life is what its observer saw."""
    story.scene.kill("n1")
    story.look(4010)
    story.note(4020, "group_acquire", epoch=6)
    done = story.note(4035, "group_running", epoch=6)
    assert done is not None
    assert [name for name, _ in done.marks] == ["silent", "deposed", "acquired", "running"]
    assert done.phases()["total"] == 4035


def test_a_planned_move(story: Story) -> None:
    story.scene.put(KEYS.move("vip"), Move("id", "n2", "n1", story.scene.holder("n1").session_revision, "anna"))
    story.look(100)
    story.scene.delete(KEYS.move("vip"))
    story.scene.own("vip", "n2", epoch=6, state="handoff", reason="moved by anna")
    story.look(130)
    story.scene.own("vip", "n2", epoch=6, reason="moved by anna")
    story.look(135)
    story.note(140, "group_accept", epoch=6)
    done = story.note(160, "group_running", epoch=6)
    assert done is not None
    assert (done.reason, done.from_node, done.detail) == ("planned", "n1", "moved by anna")
    assert done.phases() == {"stop": 30, "acquire": 10, "start": 20, "total": 60}


def test_a_move_because_a_resource_failed(story: Story) -> None:
    story.scene.put(KEYS.failure("vip", "n1"), Failure(3, "address", "gone"))
    story.scene.own("vip", "n2", epoch=6, state="handoff")
    story.look(130)
    story.note(140, "group_accept", epoch=6)
    done = story.note(160, "group_running", epoch=6)
    assert done is not None and done.reason == "resource_failed"


def test_a_wish_that_went_elsewhere_is_forgotten(story: Story) -> None:
    story.scene.put(KEYS.move("vip"), Move("id", "n3", "n1", story.scene.holder("n1").session_revision, "anna"))
    story.look(100)
    story.scene.delete(KEYS.move("vip"))
    story.scene.own("vip", "n3", epoch=6)
    story.look(130)
    story.scene.own("vip", "n2", epoch=7, state="handoff")
    story.look(9000)
    story.note(9010, "group_accept", epoch=7)
    done = story.note(9020, "group_running", epoch=7)
    assert done is not None
    assert (done.from_node, done.phases()["total"]) == ("n3", 20)


@pytest.mark.parametrize("before", ["released", "mine", "nobody"])
def test_a_start_is_no_takeover(story: Story, before: str) -> None:
    if before == "nobody":
        story.ledger = Ledger("n2")
        story.scene.delete(KEYS.group("vip"))
    elif before == "mine":
        story.scene.own("vip", "n2", epoch=6, state="released")
    else:
        story.scene.own("vip", "n1", epoch=6, state="released")
    story.look(100)
    story.note(140, "group_acquire", epoch=7)
    assert story.note(160, "group_running", epoch=7) is None
    assert not story.ledger.timelines


def test_a_takeover_that_does_not_come_to_its_end_is_not_told(story: Story) -> None:
    story.scene.kill("n1")
    story.look(4010)
    story.note(4020, "group_acquire", epoch=6)
    story.note(4030, "group_leaving", to="n3", reason="", overlap=False)
    assert story.note(4035, "group_running", epoch=6) is None
