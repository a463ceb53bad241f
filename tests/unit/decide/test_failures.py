"""When a failure of a group on this node is forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.records import Failure
from hactl.decide import failures, readiness, readiness_in_step
from hactl.decide.local_group import LocalGroup
from hactl.decide.readiness import OwnReadiness
from hactl.decide.state import NodeState, Out
from hactl.model.effects import Note, SendTxn
from tests.support.scene import KEYS, Scene, at
from tests.support.stand_in import node_state

DAY_MS = 86_400_000.0


class Failed:
    """n2, on which `vip` has failed by `address`, in the place of its daemon. It forgets failures after a day."""

    def __init__(self) -> None:
        self.scene, self.now = Scene(), at(1_000_000)
        self.scene.join("n1", "n2")
        self.scene.put(KEYS.failure("vip", "n2"), Failure(3, "address", "the link of eth0 is down"))
        self.state: NodeState = node_state(self.scene.spec)
        me = self.scene.holder("n2")
        self.state.session.state, self.state.session.session_id, self.state.session.session_revision = (
            "live",
            me.session_id,
            me.session_revision,
        )
        group = self.scene.spec.group("vip")
        assert group is not None
        self.state.runs["vip"] = LocalGroup(replace(group, failure_expiry_ms=DAY_MS), health={"address": "stopped"})

    def post(self, source: str, level: readiness.ReadinessLevel) -> None:
        own = self.state.readiness.setdefault("vip", OwnReadiness())
        own.post(source, level, "the link of eth0 is down")

    def wait(self, ms: float) -> list[str]:
        """The events of a step after this time; what it sends is carried out."""
        self.now = self.now.plus(ms)
        self.state.view, out = self.scene.view, Out(self.state, self.now)
        failures.expire_failures(self.state, out)
        readiness_in_step.own_standings(self.state, out)
        for effect in out.effects:
            if isinstance(effect, SendTxn):
                assert self.scene.store.txn(effect.txn, timeout_s=5).succeeded
        return [effect.event for effect in out.effects if isinstance(effect, Note)]

    @property
    def there(self) -> bool:
        return "vip/n2" in self.scene.view.failures


@pytest.fixture
def failed() -> Failed:
    return Failed()


def settled(failed: Failed) -> float:
    return readiness.settle_ms(failed.state.timing)


def test_when_the_reason_for_which_it_could_not_be_started_is_gone_for_some_time(failed: Failed) -> None:
    failed.post("resource/address", "unfit")
    failed.wait(1000)
    assert failed.there
    failed.post("resource/address", "ready")
    failed.wait(0)
    failed.wait(settled(failed) - 1)
    assert failed.there
    failed.wait(1)
    assert "failure_cause_gone" in failed.wait(1)
    assert not failed.there


def test_not_while_the_reason_comes_and_goes(failed: Failed) -> None:
    for _ in range(20):
        failed.post("resource/address", "unfit")
        failed.wait(1500)
        failed.post("resource/address", "ready")
        failed.wait(1500)
    assert failed.there


def test_not_where_nothing_was_seen_that_was_wrong_or_it_was_another_resources(failed: Failed) -> None:
    failed.wait(1000)
    failed.post("resource/another", "unfit")
    failed.wait(1000)
    failed.post("resource/another", "ready")
    for _ in range(5):
        failed.wait(settled(failed))
    assert failed.there


def test_not_before_the_group_was_tried_on_every_other_node(failed: Failed) -> None:
    """It fails on n2 and on n3 again and again: it must come to n1, however long each of them takes for it."""
    failed.scene.join("n3")
    failed.wait(0)
    failed.wait(2 * DAY_MS)
    assert failed.there
    failed.scene.put(KEYS.failure("vip", "n3"), Failure(3, "address", "no link"))
    failed.wait(2 * DAY_MS)
    assert failed.there
    failed.scene.put(KEYS.failure("vip", "n1"), Failure(3, "address", "no link"))
    failed.wait(0)
    assert not failed.there


def test_when_it_has_run_well_elsewhere_for_as_long(failed: Failed) -> None:
    failed.wait(0)
    failed.wait(2 * DAY_MS)
    failed.scene.own("vip", "n1", phase="starting")
    failed.wait(DAY_MS)
    assert failed.there
    failed.scene.report("n1", {"vip": {"phase": "running"}})
    failed.wait(0)
    failed.wait(DAY_MS - 1)
    failed.scene.report("n1", {"vip": {"phase": "failed"}})
    failed.wait(DAY_MS)
    failed.scene.report("n1", {"vip": {"phase": "running"}})
    failed.wait(0)
    failed.wait(DAY_MS - 1)
    assert failed.there
    failed.wait(1)
    assert not failed.there


def test_a_start_that_the_nodes_own_trouble_prevented_waits_for_nobody(failed: Failed) -> None:
    failed.scene.put(KEYS.failure("vip", "n2"), Failure(1, "address", "No space left", unregistered=True))
    failed.wait(0)
    failed.wait(DAY_MS - 1)
    assert failed.there
    failed.wait(1)
    assert not failed.there
