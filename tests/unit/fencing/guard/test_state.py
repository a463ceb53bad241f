"""What the guard decides, over both clocks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from election.clock import Instant
from fencing.guard.state import (
    Adopt,
    Begin,
    DaemonGone,
    Extend,
    GuardEffect,
    GuardEvent,
    GuardState,
    KillDaemon,
    Register,
    Reply,
    SelfFence,
    Stop,
    StopResult,
    Tick,
    Unregister,
    next_deadline,
    step,
)
from tests.support.examples import examples

LEASE, M, R = 4000.0, 1000.0, 300.0
STEPS = ({"kind": "unlink", "path": "/x"},)


def at(ms: float, drift: float = 0.0) -> Instant:
    """Boot clock at `ms`, RAW clock ahead of it by `drift`; their zero points differ."""
    return Instant(10_000 + ms, 3_000 + ms + drift)


def holding(*names: str) -> GuardState:
    """A guard with a session until 4000 and `names` registered."""
    state = GuardState()
    assert step(state, Adopt(1), at(0)) == [Reply(True)]
    assert step(state, Begin("s1", M, R, at(LEASE)), at(0)) == [Reply(True)]
    for name in names:
        assert step(state, Register(name, STEPS), at(0)) == [Reply(True)]
    return state


def reply(effects: list[GuardEffect]) -> Reply:
    """The one answer among the effects."""
    (answer,) = [effect for effect in effects if isinstance(effect, Reply)]
    return answer


def test_nothing_happens_before_the_deadline() -> None:
    state = holding("vip", "db")
    assert step(state, Tick(), at(LEASE - M - 1)) == []
    assert state.phase == "holding"
    assert next_deadline(state) == at(LEASE - M)


def test_at_the_deadline_the_daemon_is_killed_first_then_everything_stops() -> None:
    state = holding("vip", "db")
    assert step(state, Tick(), at(LEASE - M)) == [KillDaemon(), Stop("vip", STEPS), Stop("db", STEPS)]
    assert state.phase == "stopping"
    assert next_deadline(state) == at(LEASE - R)
    assert step(state, Tick(), at(LEASE - M + 1)) == []


@pytest.mark.parametrize("now", [Instant(13_000, 0), Instant(0, 6_000)], ids=["boot", "raw"])
def test_the_earlier_clock_counts(now: Instant) -> None:
    assert step(holding("vip"), Tick(), now)[0] == KillDaemon()


def test_a_suspend_shows_on_the_boot_clock_only() -> None:
    state = holding("vip")
    effects = step(state, Tick(), Instant(at(LEASE * 10).boot, at(10).raw))
    assert [type(effect) for effect in effects] == [KillDaemon, Stop, SelfFence]


def test_nothing_exclusive_means_nothing_to_do_whatever_the_time() -> None:
    state = holding()
    assert step(state, Tick(), at(LEASE * 100)) == []
    assert next_deadline(state) is None
    # An etcd that was away for long: the session is still ours, and holds again.
    assert reply(step(state, Extend("s1", M, R, at(LEASE * 101)), at(LEASE * 100))).ok
    assert reply(step(state, Register("vip", STEPS), at(LEASE * 100))).ok


def test_an_extension_moves_the_deadline() -> None:
    state = holding("vip")
    assert reply(step(state, Extend("s1", M, R, at(9000)), at(100))).ok
    assert state.valid_until == at(9000)
    assert step(state, Tick(), at(9000 - M - 1)) == []
    assert step(state, Tick(), at(9000 - M))[0] == KillDaemon()


def test_a_shorter_lease_moves_the_deadline_back_and_counts_at_once() -> None:
    state = holding("vip")
    assert step(state, Extend("s1", M, R, at(3000)), at(100)) == [Reply(True)]
    assert next_deadline(state) == at(3000 - M)
    effects = step(state, Extend("s1", M, R, at(1000)), at(100))
    assert effects == [Reply(True), KillDaemon(), Stop("vip", STEPS)]


def test_no_extension_of_another_session() -> None:
    state = holding("vip")
    assert not reply(step(state, Extend("s2", M, R, at(9000)), at(100))).ok
    assert not reply(step(GuardState(), Extend("", M, R, at(9000)), at(100))).ok
    assert state.valid_until == at(LEASE)


@pytest.mark.parametrize("now", [LEASE - M, LEASE - M + 500, LEASE + 500])
def test_a_late_extension_is_too_late_even_if_no_tick_came_first(now: float) -> None:
    state = holding("vip")
    effects = step(state, Extend("s1", M, R, at(99_000)), at(now))
    assert effects[0] == KillDaemon()
    assert not reply(effects).ok
    assert state.valid_until == at(LEASE)


def test_the_latch_holds_until_a_new_session() -> None:
    state = holding("vip")
    step(state, Tick(), at(LEASE - M))
    assert not reply(step(state, Extend("s1", M, R, at(99_000)), at(LEASE - M + 1))).ok
    assert not reply(step(state, Register("db", STEPS), at(LEASE - M + 1))).ok
    assert not reply(step(state, Begin("s2", M, R, at(99_000)), at(LEASE - M + 1))).ok
    assert step(state, StopResult("vip", True), at(LEASE - M + 2)) == []
    assert state.phase == "stopped"
    assert not reply(step(state, Extend("s1", M, R, at(99_000)), at(LEASE - M + 3))).ok
    assert not reply(step(state, Register("db", STEPS), at(LEASE - M + 3))).ok
    # Beginning the same session again would be a later valid_until by another name.
    assert not reply(step(state, Begin("s1", M, R, at(99_000)), at(LEASE - M + 3))).ok
    assert reply(step(state, Begin("s2", M, R, at(99_000)), at(LEASE - M + 3))).ok
    assert reply(step(state, Register("db", STEPS), at(LEASE - M + 3))).ok
    assert not state.latched


def test_a_stop_that_the_daemon_saw_does_not_count_once_latched() -> None:
    state = holding("vip")
    effects = step(state, Unregister("vip"), at(LEASE - M))
    assert effects[:2] == [KillDaemon(), Stop("vip", STEPS)]
    assert not reply(effects).ok
    assert "vip" in state.exclusive


def test_a_stop_that_failed_is_tried_again_and_then_the_node_is_fenced() -> None:
    state = holding("vip", "db")
    step(state, Tick(), at(LEASE - M))
    assert step(state, StopResult("vip", True), at(LEASE - M + 1)) == []
    assert step(state, StopResult("db", False), at(LEASE - M + 2)) == [Stop("db", STEPS)]
    assert step(state, Tick(), at(LEASE - R - 1)) == []
    (fence,) = step(state, Tick(), at(LEASE - R))
    assert isinstance(fence, SelfFence)
    assert "db" in fence.reason
    assert "vip" not in fence.reason
    assert state.phase == "fenced"


def test_a_stop_goes_on_beside_a_self_fence_that_may_fail_but_the_node_stays_fenced() -> None:
    state = holding("db")
    step(state, Tick(), at(LEASE))
    assert step(state, StopResult("db", False), at(LEASE + 1)) == [Stop("db", STEPS)]
    assert step(state, StopResult("db", True), at(LEASE + 2)) == []
    assert state.phase == "fenced"
    assert not reply(step(state, Begin("s2", M, R, at(99_000)), at(LEASE + 3))).ok
    assert step(state, Tick(), at(LEASE + 4)) == []


def test_results_nobody_waits_for_change_nothing() -> None:
    state = holding("vip")
    assert step(state, StopResult("vip", True), at(1)) == []
    assert "vip" in state.exclusive
    step(state, Tick(), at(LEASE - M))
    assert step(state, StopResult("other", True), at(LEASE - M)) == []
    assert state.phase == "stopping"


def test_nothing_is_registered_without_time_to_stop_it_again() -> None:
    state = holding()
    assert not reply(step(state, Register("vip", STEPS), at(LEASE - M))).ok
    assert reply(step(state, Register("vip", STEPS), at(LEASE - M - 1))).ok
    assert not reply(step(GuardState(), Register("vip", STEPS), at(0))).ok


def test_unregistered_things_are_left_alone() -> None:
    state = holding("vip", "db")
    assert reply(step(state, Unregister("vip"), at(1))).ok
    assert reply(step(state, Unregister("vip"), at(1))).ok
    assert step(state, Tick(), at(LEASE - M)) == [KillDaemon(), Stop("db", STEPS)]


def test_registering_again_takes_the_newer_steps() -> None:
    state = holding("vip")
    newer = ({"kind": "unlink", "path": "/y"},)
    step(state, Register("vip", newer), at(1))
    assert step(state, Tick(), at(LEASE - M)) == [KillDaemon(), Stop("vip", newer)]


def test_a_daemon_that_comes_back_finds_the_deadline_as_it_was() -> None:
    state = holding("vip")
    step(state, DaemonGone(), at(100))
    assert not state.daemon_connected
    assert step(state, Adopt(2), at(200)) == [Reply(True)]
    assert (state.incarnation, state.valid_until, state.session_id) == (2, at(LEASE), "s1")
    assert step(state, Tick(), at(LEASE - M))[0] == KillDaemon()


def test_a_daemon_may_adopt_after_the_deadline_but_takes_nothing_back() -> None:
    state = holding("vip")
    step(state, DaemonGone(), at(100))
    effects = step(state, Adopt(2), at(LEASE - M))
    assert effects == [KillDaemon(), Stop("vip", STEPS), Reply(True)]
    assert state.latched


def test_a_session_begins_only_where_nothing_is_exclusive_and_time_is_left() -> None:
    assert not reply(step(holding("vip"), Begin("s2", M, R, at(LEASE)), at(0))).ok
    assert not reply(step(GuardState(), Begin("s1", M, R, at(0)), at(0))).ok
    assert not reply(step(GuardState(), Begin("s1", M, R, Instant(99_000, 0)), at(0))).ok


@pytest.mark.parametrize(("budget", "lead"), [(300, 300), (300, 400), (300, -1), (0, 0)])
def test_a_session_with_no_time_between_stop_and_fence_is_refused(budget: float, lead: float) -> None:
    assert not reply(step(GuardState(), Begin("s1", budget, lead, at(LEASE)), at(0))).ok


_sids = st.sampled_from(["s1", "s1", "s1", "s2"])
_events = st.one_of(
    st.just(Adopt(1)),
    st.just(DaemonGone()),
    st.just(Tick()),
    st.builds(Begin, _sids, st.just(M), st.just(R), st.integers(0, 30_000).map(at)),
    st.builds(Extend, _sids, st.just(M), st.just(R), st.integers(0, 30_000).map(at)),
    st.builds(Register, st.sampled_from("ab"), st.just(STEPS)),
    st.builds(Unregister, st.sampled_from("ab")),
    st.builds(StopResult, st.sampled_from("ab"), st.booleans()),
)


@settings(max_examples=examples(500))
@given(st.lists(st.tuples(_events, st.integers(0, 500), st.integers(0, 20)), min_size=20, max_size=60))
def test_invariants_over_any_history(history: list[tuple[GuardEvent, int, int]]) -> None:
    """Whatever comes in whatever order: nothing stays registered past a deadline without a stop or a fence,
    a latch goes only with a new session, and what is registered can always still be stopped."""
    state, now, drift = holding("a"), 0.0, 0.0
    for event, passes, drifts in history:
        now, drift = now + passes, drift + drifts
        latched_sid, until = (state.session_id if state.latched else None), state.valid_until
        moment = at(now, drift)
        effects = step(state, event, moment)
        answered = [effect for effect in effects if isinstance(effect, Reply)]
        assert len(answered) == isinstance(event, Adopt | Begin | Extend | Register | Unregister)
        left = state.valid_until and min(state.valid_until.boot - moment.boot, state.valid_until.raw - moment.raw)
        if state.exclusive:
            assert left is not None
            assert left > M or state.latched
            assert left > R or state.phase == "fenced"
        if latched_sid is not None:
            assert state.latched or (isinstance(event, Begin) and state.session_id != latched_sid)
        if latched_sid is not None and state.session_id == latched_sid:
            assert state.valid_until == until
        if any(isinstance(effect, Stop) for effect in effects):
            assert state.latched
        assert (state.phase == "stopping") <= bool(state.exclusive)
