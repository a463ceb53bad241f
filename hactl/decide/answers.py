"""The answers to transactions: what each means for the session, the groups and the peers. Pure."""

from __future__ import annotations

from collections.abc import Callable

from election import session
from election.store import TxnResult
from hactl.decide import blocking, fencing, namesake, own_session, phases
from hactl.decide.apply_changes import learned, own_writes
from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState, Out, Pending
from hactl.model import events
from hactl.model.purposes import FENCE_WRITES, GRANTS, Purpose


def on_txn(state: NodeState, event: events.TxnDone, out: Out) -> None:
    pending = state.pending.pop(event.id, None)
    if pending is None:
        return
    if pending.purpose is Purpose.REFUSAL:
        namesake.left(state, out)
    run = state.runs.get(pending.name)
    if run is not None and run.txn == event.id:
        run.txn = 0
    else:
        run = None  # it has sent another since
    result = event.result
    if result is None:
        _unanswered(state, pending, event, out)
        return
    store_answered(state, out)
    if pending.generation != state.generation:
        return  # an answer from another history
    if phases.went_back(state, result.revision, pending.known_revision, out):
        return
    learned(state, state.view.take(result.reads, result.revision), out)
    if result.succeeded:
        learned(state, own_writes(state, pending.txn, result.revision), out)
    handler = _ANSWERS.get(pending.purpose)
    if handler is not None:
        handler(state, pending, result, out)
    if pending.purpose in FENCE_WRITES:
        fencing.on_write(state, pending.name, pending.purpose, result.succeeded, out)
    if result.succeeded and run is not None and pending.purpose in GRANTS:
        _granted(run, pending, out)


def store_answered(state: NodeState, out: Out) -> None:
    """A transaction was answered."""
    state.store_away = False
    out.note_once("store", "store_reachable")


def store_failed(state: NodeState, problem: str, out: Out) -> None:
    """A list or a transaction has failed."""
    state.store_away = True
    out.note_once("store", "store_unreachable", problem=problem)


def _unanswered(state: NodeState, pending: Pending, event: events.TxnDone, out: Out) -> None:
    """Nobody knows what became of a transaction."""
    if pending.purpose is Purpose.RENEW:
        session.lost(state.session, pending.attempt)
    if pending.purpose in (Purpose.CLOSE, Purpose.OPEN):
        state.need_list = True
    if pending.purpose in FENCE_WRITES:
        fencing.on_write(state, pending.name, pending.purpose, False, out)
    if pending.purpose is Purpose.CLOSE and state.release_on_exit and state.phase != "ending":
        phases.end(state, "everything is stopped; the store could not be told", out)
    if event.refused:
        state.dirty = False  # refused at once, as by a full store: tried again with the next look, not in a circle
    store_failed(state, event.problem, out)


def _renew_answered(state: NodeState, pending: Pending, result: TxnResult, out: Out) -> None:
    before = state.session.mod_revision
    session.answered(state.session, pending.attempt, result, out.now)
    if state.session.state == "live" and state.session.mod_revision > before:
        state.observer.on_own_renewal(out.now, pending.sent_at, result.revision)
        if state.unseen_since is None and state.view.revision < state.session.mod_revision:
            state.unseen_since = out.now
        (own_session.extend_guard if state.guard_ready else own_session.begin_guard)(state, out)


def _close_answered(state: NodeState, pending: Pending, result: TxnResult, out: Out) -> None:
    if not result.succeeded:
        return
    out.note("session_closed")
    state.close_sent = None
    if state.release_on_exit:
        phases.end(state, "released everything", out)


def _open_answered(state: NodeState, pending: Pending, result: TxnResult, out: Out) -> None:
    if result.succeeded:
        own_session.see_opened(state, pending.attempt, result.revision, out, pending.sent_at)


def _depose_answered(state: NodeState, pending: Pending, result: TxnResult, out: Out) -> None:
    if result.succeeded:
        out.note("peer_deposed", node=pending.name)


def _block_answered(state: NodeState, pending: Pending, result: TxnResult, out: Out) -> None:
    run = state.runs.get(pending.name)
    if run is not None and run.stop_failed:
        blocking.self_fence(state, run, out)


def _planned_over(state: NodeState, pending: Pending, result: TxnResult, out: Out) -> None:
    if result.succeeded:
        out.note("planned_over", key=pending.name.removeprefix(state.keys.prefix + "intents/"))


def _granted(run: LocalGroup, pending: Pending, out: Out) -> None:
    """My write to `groups/G` succeeded: what it says is the newest I know of it, until the watch says more."""
    run.granted = pending.epoch
    if pending.purpose in (Purpose.ACQUIRE, Purpose.ACCEPT):
        run.score.counts_for = pending.epoch
    if pending.purpose is Purpose.ACCEPT:  # failures are counted anew in each place that it is moved to
        run.restarts, run.failure, run.retry_at = 0, "", None
    out.note(f"group_{pending.purpose}", group=run.spec.name, epoch=pending.epoch)


_ANSWERS: dict[Purpose, Callable[[NodeState, Pending, TxnResult, Out], None]] = {
    Purpose.RENEW: _renew_answered,
    Purpose.CLOSE: _close_answered,
    Purpose.OPEN: _open_answered,
    Purpose.DEPOSE: _depose_answered,
    Purpose.BLOCK: _block_answered,
    Purpose.PLANNED_OVER: _planned_over,
}
