"""The job of fencing a node, as one executor sees it. What others do meanwhile is the simulation's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from election.clock import Instant
from election.records import Confirm, FenceRecord, Session
from election.view import Versioned
from fencing.topology import Level, NodeFencing, Target, Topology
from hactl.decide import confirming, fencing, suspicion, unfencing
from hactl.decide.state import NodeState, Out
from hactl.model import effects, events
from tests.support.scene import KEYS, Scene, at, fenced
from tests.support.stand_in import node_state

DEVICE = "{name: switch, agent: fence_dummy, timeout: 2s, status_timeout: 1s}"
SWITCH = Target("switch", "n1")


class Executor:
    """n2, in the place of its daemon: what it sends is carried out at once."""

    def __init__(self) -> None:
        self.scene = Scene(cluster=fenced(DEVICE))
        self.scene.join("n1", "n2", "n3")
        self.now = at(1_000_000)
        self.state = state = node_state(self.scene.spec)
        me = self.scene.holder("n2")
        state.phase = state.session.state = "live"
        state.session.session_id, state.session.session_revision, state.session.valid_until = (
            me.session_id,
            me.session_revision,
            self.now.plus(3_600_000),
        )
        self.sent: list[str] = []
        self.cancelled: list[int] = []
        self.look()

    def look(self) -> None:
        """See what the store holds."""
        self.state.view = self.scene.view
        for node in self.state.view.fences:
            fencing.on_change(self.state, node, Out(self.state, self.now))

    def drive(self) -> list[effects.FenceAct]:
        """Let it go on as far as it can; what it wants of devices."""
        actions: list[effects.FenceAct] = []
        for _ in range(3):
            out = Out(self.state, self.now)
            self.look()
            confirming.step_confirmations(self.state, out)
            fencing.step_jobs(self.state, out)
            self.cancelled += [effect.id for effect in out.effects if isinstance(effect, effects.FenceCancel)]
            unfencing.unfence(self.state, out)
            actions += self._carry_out(out)
        return actions

    def _carry_out(self, out: Out) -> list[effects.FenceAct]:
        more = Out(self.state, self.now)
        for effect in out.effects:
            if isinstance(effect, effects.SendTxn):
                self.sent.append(effect.purpose)
                pending = self.state.pending.pop(effect.id)
                result = self.scene.store.txn(effect.txn, timeout_s=5)
                self.look()
                fencing.on_write(self.state, pending.name, effect.purpose, result.succeeded, more)
        return [effect for effect in (*out.effects, *more.effects) if isinstance(effect, effects.FenceAct)]

    def acted(self, act: effects.FenceAct, ok: bool, power: events.Power) -> None:
        fencing.acted(self.state, events.FenceActed(act.id, ok, power, "" if ok else "no"), Out(self.state, self.now))

    @property
    def record(self) -> FenceRecord:
        return self.scene.view.fences["n1"].record


@pytest.fixture
def executor() -> Executor:
    """n1 has the database, which requires fencing, and is deposed."""
    first = Executor()
    first.scene.own("database", "n1")
    first.scene.kill("n1")
    return first


def test_acting_is_written_before_the_device_is_used(executor: Executor) -> None:
    (act,) = executor.drive()
    assert (act.node, act.target, act.action, act.timeout_ms) == ("n1", SWITCH, "off", 2000)
    record = executor.record
    assert (record.state, record.executor, record.attempts) == ("acting", "n2/s-n2", 1)
    assert act.until == executor.now.plus(record.action_ms)
    assert record.action_ms > 2000
    assert executor.drive() == []


def test_safe_is_written_when_status_says_off_and_then_it_is_switched_on(executor: Executor) -> None:
    (off,) = executor.drive()
    executor.acted(off, True, "unknown")
    (status,) = executor.drive()
    assert (status.action, status.timeout_ms) == ("status", 1000)
    assert executor.record.state == "acting"
    executor.acted(status, True, "off")
    (on,) = executor.drive()
    assert (executor.record.state, executor.record.evidence, executor.record.power) == ("safe", "off", "off")
    assert on.action == "on"
    executor.acted(on, True, "unknown")
    (status,) = executor.drive()
    executor.acted(status, True, "on")
    assert executor.drive() == []
    assert (executor.record.state, executor.record.power) == ("safe", "")
    assert executor.state.fencing == {}


def test_a_failed_round_is_written_and_tried_again(executor: Executor) -> None:
    (off,) = executor.drive()
    executor.acted(off, False, "unknown")
    (status,) = executor.drive()
    executor.acted(status, False, "unknown")
    assert executor.drive() == []
    record = executor.record
    assert (record.state, record.executor, record.failures, record.last) == ("pending", "n2/s-n2", 1, "no")
    executor.now = executor.now.plus(1000)
    (off,) = executor.drive()
    assert (off.action, executor.record.attempts) == ("off", 2)


def test_after_some_rounds_another_gets_the_job(executor: Executor) -> None:
    for _ in range(2):
        (off,) = executor.drive()
        executor.acted(off, False, "unknown")
        (status,) = executor.drive()
        executor.acted(status, True, "on")
        executor.drive()
        executor.now = executor.now.plus(1000)
    assert (executor.record.state, executor.record.executor) == ("pending", "")
    assert executor.drive() == []
    executor.now = executor.now.plus(fencing.GIVEN_UP_MS)
    assert [action.action for action in executor.drive()] == ["off"]


def test_a_job_whose_device_has_gone_lets_go(executor: Executor) -> None:
    (off,) = executor.drive()
    assert executor.state.cluster is not None
    executor.state.cluster = replace(executor.state.cluster, fencing=Topology())
    assert executor.drive() == []
    assert executor.record.state == "acting"
    executor.acted(off, False, "unknown")
    assert executor.drive() == []
    assert (executor.record.state, executor.record.executor) == ("pending", "")


def test_a_device_that_was_renamed_in_between_is_not_used(executor: Executor) -> None:
    out = Out(executor.state, executor.now)
    executor.look()
    fencing.step_jobs(executor.state, out)
    assert executor.state.cluster is not None
    executor.state.cluster = replace(executor.state.cluster, fencing=Topology())
    assert executor._carry_out(out) == []


def test_a_level_that_names_a_device_that_is_not_there_fails_and_the_next_one_is_tried(executor: Executor) -> None:
    """Nobody checks what a hand has put into the store."""
    assert executor.state.cluster is not None
    topology = executor.state.cluster.fencing
    gone = Level((Target("gone"),))
    for levels in ((gone, *topology.nodes["n1"].levels), (gone,)):
        nodes = {"n1": NodeFencing(levels)}
        executor.state.cluster = replace(executor.state.cluster, fencing=replace(topology, nodes=nodes))
        executor.state.fencing.clear()
        actions = executor.drive()
        assert [action.target for action in actions] == [SWITCH] * (len(levels) - 1)
    assert executor.state.noted["no-device/n1"].startswith("fence_failed")
    assert executor.state.fencing["n1"].job.failures == 1 and "gone" in executor.state.fencing["n1"].job.problem


def test_nobody_is_fenced_whose_groups_do_not_require_it() -> None:
    executor = Executor()
    executor.scene.own("vip", "n1")
    executor.scene.kill("n1")
    assert executor.drive() == []
    assert executor.record.state == "pending"


def test_the_operator_may_have_any_node_fenced() -> None:
    executor = Executor()
    executor.scene.kill("n1", wanted="off")
    (off,) = executor.drive()
    executor.acted(off, True, "unknown")
    (status,) = executor.drive()
    executor.acted(status, True, "off")
    assert executor.drive() == []
    assert (executor.record.state, executor.record.power) == ("safe", "")


def test_the_second_node_by_name_waits_for_the_first() -> None:
    executor = Executor()
    executor.scene.own("database", "n3")
    executor.scene.kill("n3")
    assert executor.drive() == []  # n1 comes first
    executor.now = executor.now.plus(executor.state.timing.heartbeat_ms)
    assert [act.node for act in executor.drive()] == ["n3"]


@pytest.mark.parametrize(("executor_lives", "passed_ms", "blocked"), [
    (True, 60_000, True), (False, 2_000, True), (False, 2_100, False),
])  # fmt: skip
def test_a_node_does_not_come_back_while_an_action_may_be_under_way(
    executor_lives: bool, passed_ms: float, blocked: bool
) -> None:
    executor = Executor()
    session_id = "s-n1" if executor_lives else "gone"
    executor.scene.kill("n3", state="acting", executor=f"n1/{session_id}", action_ms=2_000)
    executor.look()
    fence = executor.state.view.fences["n3"]
    assert fencing.in_flight(executor.state, "n3", fence, executor.now.plus(passed_ms)) is blocked


def observing_n1() -> tuple[Executor, NodeState, Versioned[Session]]:
    """n2, which has seen n1, that owns the database, renew its session just now."""
    executor = Executor()
    executor.scene.own("database", "n1")
    executor.look()
    sees(executor.state, executor)
    return executor, executor.state, executor.state.view.sessions["n1"]


def test_a_guard_that_answers_puts_the_suspicion_off() -> None:
    executor, state, session = observing_n1()
    silent = executor.now.plus(state.timing.suspect_after_ms)
    before = executor.now.plus(state.timing.suspect_after_ms - state.timing.heartbeat_ms)
    out = Out(state, before)
    renew_until(state, executor.now, before)
    assert not suspicion.suspected(state, "n1", session, out)
    assert [type(effect) for effect in out.effects] == [effects.AskGuard]
    renew_until(state, before, silent)
    assert suspicion.suspected(state, "n1", session, Out(state, silent))
    suspicion.on_reply(state, events.GuardReplied("n1", "another", True), Out(state, before))
    assert suspicion.suspected(state, "n1", session, Out(state, silent))
    suspicion.on_reply(state, events.GuardReplied("n1", "s-n1", True), Out(state, before))
    assert not suspicion.suspected(state, "n1", session, Out(state, silent))


def test_a_guard_has_its_time_to_answer_though_the_question_was_late() -> None:
    executor, state, session = observing_n1()
    half = state.timing.heartbeat_ms / 2
    late = executor.now.plus(state.timing.suspect_after_ms)
    renew_until(state, executor.now, late)  # and stood still since the last one
    out = Out(state, late)
    assert not suspicion.suspected(state, "n1", session, out)
    assert [type(effect) for effect in out.effects] == [effects.AskGuard]
    assert not suspicion.suspected(state, "n1", session, Out(state, late.plus(half - 1)))
    assert suspicion.suspected(state, "n1", session, Out(state, late.plus(half)))


def test_a_job_of_a_dead_executor_that_nobody_wants_any_more_is_let_go(executor: Executor) -> None:
    """Else `hactl fence confirm` would always be refused."""
    executor.scene.own("database", "n3")
    record = replace(executor.record, state="acting", executor="n4/gone", attempts=1, action_ms=2500)
    executor.scene.put(KEYS.fence("n1"), record)
    assert executor.drive() == []
    executor.now = executor.now.plus(2500)
    assert executor.drive() == []
    assert executor.record.state == "acting"
    executor.now = executor.now.plus(100)
    assert executor.drive() == []
    assert (executor.record.state, executor.record.executor) == ("pending", "")


def renew_until(state: NodeState, since: Instant, until: Instant) -> None:
    """n2 itself renews every heartbeat."""
    while since != until:
        since = min(since.plus(state.timing.heartbeat_ms), until)
        state.observer.on_own_renewal(since)


def sees(state: NodeState, executor: Executor) -> None:
    """n1 is seen to renew, now."""
    session = executor.state.view.sessions["n1"]
    state.observer.on_own_renewal(executor.now, executor.now, 0)
    state.observer.on_session("n1", session._replace(mod_revision=session.mod_revision - 1), executor.now)
    state.observer.on_session("n1", session, executor.now)


def test_a_node_is_let_in_before_it_takes_anything() -> None:
    executor = Executor()
    executor.scene = Scene(cluster=fenced(DEVICE.replace("}", ", unfence: true}")))
    executor.scene.join("n1", "n2", "n3")
    executor.state.cluster = executor.scene.spec
    assert unfencing.blocked_reason(executor.state)
    (on,) = executor.drive()
    assert (on.node, on.action, on.until) == ("n2", "on", None)
    executor.acted(on, True, "unknown")
    (status,) = executor.drive()
    executor.acted(status, True, "on")
    executor.drive()
    assert unfencing.blocked_reason(executor.state) == ""
    executor.state.session.session_id = "the next"
    assert unfencing.blocked_reason(executor.state)


def test_a_required_watchdog_that_is_not_armed_holds_back() -> None:
    executor = Executor()
    executor.state.watchdog_missing = True
    assert "watchdog" in unfencing.blocked_reason(executor.state)


@pytest.mark.parametrize(("record", "peers", "passed_ms", "waits"), [
    ({"wanted": "off"}, 2, 0, True),
    ({"wanted": "off"}, 2, 7_499, True),
    ({"wanted": "off"}, 2, 7_500, False),  # two leases: whoever could have begun has not
    ({"wanted": "off"}, 0, 0, False),  # nobody is there to do it
    ({"wanted": "off", "attempts": 1}, 2, 0, False),  # tried, in vain
    ({}, 2, 0, False),
])  # fmt: skip
def test_a_node_that_an_operator_wants_off_waits_for_it(
    record: dict[str, Any], peers: int, passed_ms: float, waits: bool
) -> None:
    executor = Executor()
    executor.scene.kill("n2", **record)
    for name in ("n1", "n3")[peers:]:
        executor.scene.kill(name)
    executor.look()
    fence = executor.state.view.fences["n2"]
    assert fencing.awaited(executor.state, fence, executor.now.plus(passed_ms)) is waits


def test_a_word_ends_the_attempt_and_is_written_when_that_is_dead(executor: Executor) -> None:
    (off,) = executor.drive()
    executor.scene.put(KEYS.confirm("n1"), Confirm("s-n1", "anna"))
    assert executor.drive() == []
    assert executor.cancelled == [off.id]  # once, however long it takes
    executor.now = executor.now.plus(3_600_000)
    assert executor.drive() == [] and executor.record.state == "acting"
    executor.state.session.valid_until = executor.now.plus(3_600_000)
    executor.state.observer.on_fence("n1", executor.record, executor.now.plus(-60_000))
    executor.acted(off, False, "unknown")
    assert executor.drive() == []
    assert (executor.record.state, executor.record.evidence, executor.record.by) == ("safe", "confirmed", "anna")
    assert not executor.scene.view.confirms


def test_a_word_about_an_earlier_session_is_of_no_use(executor: Executor) -> None:
    executor.scene.put(KEYS.confirm("n1"), Confirm("an-earlier-one", "anna"))
    assert len(executor.drive()) == 1 and not executor.cancelled
    assert not executor.scene.view.confirms


def test_an_executor_that_is_gone_is_awaited_before_a_word_is_written(executor: Executor) -> None:
    acting = replace(executor.record, state="acting", executor="n3/s-n3", action_ms=10_000)
    executor.scene.put(KEYS.fence("n1"), acting)
    executor.scene.put(KEYS.confirm("n1"), Confirm("s-n1", "anna"))
    executor.scene.kill("n3")
    executor.look()
    executor.state.observer.on_fence("n1", executor.record, executor.now.plus(-60_000))
    assert executor.drive() == [] and executor.record.state == "acting"
    executor.now = executor.now.plus(10_250)
    assert executor.drive() == [] and executor.record.evidence == "confirmed"
