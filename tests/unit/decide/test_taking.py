"""Who becomes the owner of a group that has none, or one that cannot take it; and what runs all the same."""

from __future__ import annotations

import pytest

from election.records import Report
from hactl.decide.groups import step_group
from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState, Out
from hactl.model import effects
from tests.support.scene import KEYS, Scene, at
from tests.support.stand_in import node_state


class Second:
    """n2, the second of the nodes of the group `vip`, in the place of its daemon."""

    def __init__(self) -> None:
        self.scene, self.now = Scene(), at(1_000_000)
        self.scene.join("n1", "n2", "n3")
        self.state: NodeState = node_state(self.scene.spec)
        me = self.scene.holder("n2")
        self.state.phase = self.state.session.state = "live"
        self.state.session.session_id, self.state.session.session_revision = me.session_id, me.session_revision
        self.state.session.valid_until = self.now.plus(3_600_000)
        self.state.guard_ready = True
        config = self.scene.view.config
        assert config is not None
        self.state.config_seen = config.mod_revision
        group = self.scene.spec.group("vip")
        assert group is not None
        self.run = self.state.runs["vip"] = LocalGroup(
            group, health={resource.name: "stopped" for resource in group.resources}
        )

    def drive(self) -> list[str]:
        """What it sends, carried out at once."""
        self.state.view, out = self.scene.view, Out(self.state, self.now)
        step_group(self.state, self.run, out)
        sent = [effect for effect in out.effects if isinstance(effect, effects.SendTxn)]
        for effect in sent:
            assert self.scene.store.txn(effect.txn, timeout_s=5).succeeded
            self.run.txn = 0
        return [effect.purpose for effect in sent]

    def answer(self, *names: str) -> None:
        """They say that it does not run there."""
        asked = self.scene.view.probes["vip"].mod_revision
        for name in names:
            groups = {"vip": {"phase": "stopped", "epoch": 0, "resources": {}}}
            self.scene.put(KEYS.report(name), Report(f"s-{name}", 1, groups, {"vip": asked}))

    def wait(self, ms: float) -> None:
        self.now = self.now.plus(ms)


@pytest.fixture
def second() -> Second:
    return Second()


def test_the_first_has_its_turn_when_all_have_answered_however_late_it_heard_of_the_group(second: Second) -> None:
    assert second.drive() == ["probe"]
    second.answer("n2", "n3")
    second.wait(10_000)
    assert second.drive() == []
    assert second.run.waiting == "n1 has not yet said whether it runs here"
    second.answer("n1")
    assert second.drive() == []
    assert second.run.waiting == "n1 comes first"
    second.wait(second.state.timing.heartbeat_ms - 1)
    assert second.drive() == []
    second.wait(1)
    assert second.drive() == ["acquire"]
    assert second.scene.view.groups["vip"].record.node == "n2"


def test_a_turn_begins_again_when_somebody_joins_who_has_not_answered(second: Second) -> None:
    second.drive()
    second.answer("n1", "n2", "n3")
    second.drive()
    second.wait(second.state.timing.heartbeat_ms - 1)
    second.scene.join("n3")
    assert second.drive() == []
    second.answer("n3")
    second.wait(1)
    assert second.drive() == []
    second.wait(second.state.timing.heartbeat_ms)
    assert second.drive() == ["acquire"]


def test_a_leaving_node_does_not_keep_an_unowned_group(second: Second) -> None:
    """Its record was deleted by hand. Nobody could take it while this node waited for it to end."""
    second.run.health["address"] = "running"
    second.state.phase, second.state.view = "ending", second.scene.view
    out = Out(second.state, second.now)
    step_group(second.state, second.run, out)
    (act,) = [effect for effect in out.effects if isinstance(effect, effects.Act)]
    assert (act.resource.name, act.action) == ("address", "stop")


def test_a_holder_whose_resources_died_takes_back_a_group_handed_to_a_dead_session(second: Second) -> None:
    """n1 was given the group, and died before it accepted it; then what still ran here died, too. n1 is back."""
    second.scene.own("vip", "n1", state="handoff", holders=(second.scene.holder("n2"),), overlap=True)
    second.scene.kill("n1", state="safe")
    second.scene.join("n1")
    assert second.drive() == []
    assert second.run.waiting == "n1 comes first"  # which cannot take it: n2 may be running it, for all it knows
    second.wait(second.state.timing.heartbeat_ms)
    assert second.drive() == ["acquire"]
    assert second.scene.view.groups["vip"].record.node == "n2"
