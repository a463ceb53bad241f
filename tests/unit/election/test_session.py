"""This node's session: what an answer, a lost answer and a read prove."""

from __future__ import annotations

from dataclasses import replace

import pytest

from election.clock import Instant, observer_elapsed, owner_elapsed, remaining
from election.keys import Keys
from election.memory_store import MemoryLedger
from election.recovery import init
from election.session import (
    ATTEMPTS_OF_A_DAEMON,
    REMEMBERED_ATTEMPTS,
    Owner,
    SessionState,
    adopt,
    answered,
    lost,
    open_txn,
    opened,
    overwritten,
    renew,
    resolve,
    seen,
)
from election.store import Compare, Delete, KeyValue, Operation, Put, Txn, TxnResult
from election.view import Unreadable, Versioned, View

KEYS = Keys.of("c")
LEASE = 1000.0


def at(ms: float) -> Instant:
    return Instant(ms, ms)


class Scene:
    """A session against a real ledger."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.ledger.apply(init(KEYS, "u", "{}"))
        self.state = SessionState(KEYS, Owner("n1", "m1", "b1"), LEASE)
        self.identity = Compare(KEYS.identity, "mod", self.ledger.revision)
        txn = open_txn(self.state, "s1", 0, self.identity, at(0))
        result = self.ledger.apply(txn)
        assert result.succeeded
        opened(self.state, "s1", self.state.attempt, result.revision, at(5))

    def renew(self, now: float) -> tuple[int, Txn]:
        return renew(self.state, self.identity, at(now))

    def read(self) -> tuple[KeyValue | None, int]:
        return self.ledger.get(KEYS.node("n1")), self.ledger.revision

    def known(self) -> Versioned:
        view = View(KEYS)
        view.load(self.ledger.snapshot(KEYS.prefix))
        return view.sessions["n1"]


def test_valid_from_before_the_request_not_from_the_answer() -> None:
    scene = Scene()
    assert scene.state.time_left(at(5)) == LEASE - 5
    attempt, txn = scene.renew(250)
    answered(scene.state, attempt, scene.ledger.apply(txn), at(400))
    assert scene.state.time_left(at(400)) == LEASE - 150


def test_a_write_whose_answer_was_lost_counts_once_it_is_read() -> None:
    scene = Scene()
    attempt, txn = scene.renew(250)
    scene.ledger.apply(txn)
    lost(scene.state, attempt)
    assert scene.state.time_left(at(400)) == LEASE - 400
    attempt, txn = scene.renew(500)
    result = scene.ledger.apply(txn)
    assert not result.succeeded
    answered(scene.state, attempt, result, at(501))
    assert scene.state.time_left(at(501)) == LEASE - (501 - 250)
    attempt, txn = scene.renew(600)
    assert scene.ledger.apply(txn).succeeded


def test_a_deleted_session_is_deposed() -> None:
    scene = Scene()
    scene.ledger.apply(Txn((), (Delete(KEYS.node("n1")),)))
    attempt, txn = scene.renew(250)
    answered(scene.state, attempt, scene.ledger.apply(txn), at(260))
    assert scene.state.state == "deposed"
    assert scene.state.time_left(at(260)) < 0


def test_an_attempt_that_was_never_sent_is_another_process() -> None:
    scene = Scene()
    other = scene.known().record.to_json().replace('"attempt":1', '"attempt":77')
    scene.ledger.apply(Txn((), (Put(KEYS.node("n1"), other),)))
    attempt, txn = scene.renew(250)
    answered(scene.state, attempt, scene.ledger.apply(txn), at(260))
    assert scene.state.state == "foreign"


def test_an_adopted_session_keeps_the_guards_deadline_and_new_attempt_numbers() -> None:
    scene = Scene()
    state = SessionState(KEYS, Owner("n1", "m1", "b1"), LEASE)
    adopt(state, scene.known(), at(700), incarnation=2)
    assert state.time_left(at(600)) == 100
    # A renewal of the daemon before this one lands late: its revision is taken, its instant is not known.
    _, late = scene.renew(550)
    assert scene.ledger.apply(late).succeeded
    attempt, txn = renew(state, scene.identity, at(610))
    assert attempt > 2 * ATTEMPTS_OF_A_DAEMON
    answered(state, attempt, scene.ledger.apply(txn), at(611))
    assert (state.state, state.time_left(at(611))) == ("live", 89)
    attempt, txn = renew(state, scene.identity, at(620))
    answered(state, attempt, scene.ledger.apply(txn), at(621))
    assert state.time_left(at(621)) == LEASE - 1


def test_a_shorter_lease_counts_from_its_sending() -> None:
    scene = Scene()
    scene.state.lease_ms = 300.0
    attempt, _ = scene.renew(100)
    lost(scene.state, attempt)
    assert scene.state.time_left(at(100)) == 300


def test_the_watch_shows_the_end_of_a_session_only() -> None:
    scene = Scene()
    seen(scene.state, None, scene.state.mod_revision)
    assert scene.state.state == "live", "older than my own last write: old news"
    seen(scene.state, None, scene.state.mod_revision + 1)
    assert scene.state.state == "deposed"


def test_owner_and_observer_err_on_the_safe_side() -> None:
    since, now = Instant(0, 0), Instant(90, 110)
    assert owner_elapsed(since, now) == 110
    assert observer_elapsed(since, now) == 90
    assert remaining(Instant(100, 100), now) == -10


def test_what_comes_late_is_no_news() -> None:
    """An answer to an attempt, a read or a watch that is older than the last write that is known."""
    scene = Scene()
    old = scene.read()
    attempt, txn = scene.renew(100)
    late, _ = scene.renew(200)
    result = scene.ledger.apply(txn)
    answered(scene.state, attempt, result, at(110))
    before = scene.state.mod_revision, scene.state.valid_until
    resolve(scene.state, *old, at(300))
    resolve(scene.state, *scene.read(), at(300))
    seen(scene.state, None, result.revision)
    answered(scene.state, late, TxnResult(True, result.revision - 1, {}), at(300))
    assert (scene.state.state, *before) == ("live", scene.state.mod_revision, scene.state.valid_until)


@pytest.mark.parametrize("meanwhile", [Delete(KEYS.node("n1")), Put(KEYS.node("n1"), "oops")])
def test_a_late_answer_to_the_session_before_says_nothing_about_this_one(meanwhile: Operation) -> None:
    scene = Scene()
    attempt, txn = scene.renew(100)
    scene.ledger.apply(Txn((), (meanwhile,)))
    late = scene.ledger.apply(txn)
    scene.ledger.apply(Txn((), (Delete(KEYS.node("n1")),)))
    opening = open_txn(scene.state, "s2", 0, scene.identity, at(200))
    opened(scene.state, "s2", scene.state.attempt, scene.ledger.apply(opening).revision, at(205))
    before = replace(scene.state)
    answered(scene.state, attempt, late, at(300))
    assert (late.succeeded, scene.state) == (False, before)


def test_a_session_that_is_over_learns_nothing_more() -> None:
    scene = Scene()
    attempt, txn = scene.renew(100)
    result = scene.ledger.apply(txn)
    scene.state.state = "deposed"
    before = scene.state.mod_revision
    answered(scene.state, attempt, result, at(110))
    resolve(scene.state, *scene.read(), at(110))
    overwritten(scene.state, Unreadable("oops", scene.state.session_revision, result.revision + 1), at(110))
    assert (scene.state.mod_revision, scene.state.overwritten) == (before, None)


def test_a_read_without_the_session_says_that_it_was_deleted() -> None:
    scene = Scene()
    resolve(scene.state, None, scene.state.mod_revision + 1, at(100))
    assert scene.state.state == "deposed"


def test_an_unreadable_key_that_was_created_anew_tells_so_too() -> None:
    scene = Scene()
    overwritten(
        scene.state, Unreadable("oops", scene.state.session_revision + 5, scene.state.mod_revision + 5), at(100)
    )
    assert scene.state.state == "deposed"


def test_an_unreadable_own_key_is_written_over_once_nobody_moves_it() -> None:
    scene = Scene()
    bad = scene.ledger.apply(Txn((), (Put(KEYS.node("n1"), "oops"),))).revision
    resolve(scene.state, *scene.read(), at(100))
    assert scene.state.overwritten == (bad, at(100))
    _, txn = renew(scene.state, scene.identity, at(150), still_ms=100)
    assert not scene.ledger.apply(txn).succeeded
    attempt, txn = renew(scene.state, scene.identity, at(200), still_ms=100)
    answered(scene.state, attempt, scene.ledger.apply(txn), at(210))
    assert scene.state.overwritten is None
    assert scene.state.state == "live"


def test_only_so_many_attempts_are_remembered() -> None:
    scene = Scene()
    for number in range(REMEMBERED_ATTEMPTS + 5):
        scene.renew(100 + number)
    assert len(scene.state.sent) == REMEMBERED_ATTEMPTS
