"""This node's own session: adopted or begun anew, closed, opened, kept (docs/protocol.md, *Session*)."""

from __future__ import annotations

from dataclasses import replace

from election.clock import Instant, owner_elapsed
from election.ownership import lost_record
from election.records import FenceRecord, Holder, Session
from election.session import adopt, as_written, attest, close_txn, dead, open_txn, opened, overwritten, renew
from election.view import Versioned
from hactl.decide import namesake, phase_table, phases
from hactl.decide.fencing import awaited, in_flight
from hactl.decide.state import NodeState, Out
from hactl.model.effects import GuardBegin, GuardExtend, Identify
from hactl.model.purposes import Purpose

# An answer that did not come by then is not waited for.
IDENTIFYING_MS = 5_000.0
# For how many heartbeats an unreadable document has stood in my session's key before it is written over: another
# process that held my session would have renewed it. T - M >= 4h + 2E leaves room for that.
STILL_HEARTBEATS = 2.0


def listed(state: NodeState, out: Out) -> None:
    """The first list is here and the configuration is read: go on with the session, or begin a new one."""
    boot, stored = state.boot, state.view.sessions.get(state.node) or _written_over(state)
    # One that this boot held is mine, whatever the machine id is now: it was made anew under the running daemon.
    held = stored is not None and namesake.held_here(state, stored.record.session_id)
    if stored and stored.record.machine_id != boot.machine_id and not held:
        reason = (
            f"node name '{state.node}' is in use by another machine (machine id {stored.record.machine_id}"
            f"{namesake.where(state)}): give this node another name in node.toml, or stop that daemon"
        )
        namesake.leave(state, "name_in_use", reason, out)
        return
    guard = boot.guard
    if (
        stored
        and guard.valid_until is not None
        and phases.resumable(state)
        and guard.session_id == stored.record.session_id
        and stored.record.boot_id == boot.boot_id
    ):
        adopt(state.session, stored, guard.valid_until, guard.incarnation)
        if (bad := state.view.bad_node(state.node)) is not None:
            state.session.mod_revision -= 1  # what I last wrote is not known
            overwritten(state.session, bad, out.now)
        state.own_session_ids.add(guard.session_id)
        state.guard_ready = True
        phase_table.enter(state, "live")
        out.note("session_adopted", sid=guard.session_id, srev=stored.create_revision)
        out.write_member()
        return
    out.note("session_new", reason=_why_new(state, stored))
    phases.begin_again(state)


def _why_new(state: NodeState, stored: Versioned[Session] | None) -> str:
    guard = state.boot.guard
    if guard.latched:
        return "the guard's deadline came"
    if stored is None:
        return "no session in the store"
    if guard.valid_until is None:
        return "no guard held the last session"
    return "rebooted" if stored.record.boot_id != state.boot.boot_id else "the guard held another session"


def close(state: NodeState, out: Out) -> None:
    """End the last session: put its fence record `safe` with what this node attests; then open. Every session is opened
    after an end that was written: the others take an opening for the word that what was before it is stopped."""
    if state.sending(Purpose.CLOSE, Purpose.OPEN) or state.sending(Purpose.LOST, name=state.node):
        return
    if state.held:
        _wait_for_repair(state, (state.keys.identity,), out)
        return
    if state.close_sent is not None and owner_elapsed(state.close_sent, out.now) < state.timing.heartbeat_ms:
        return
    if not identified(state, out) or namesake.refused(state, out):
        return
    stored, fence = state.view.sessions.get(state.node) or _written_over(state), state.view.fences.get(state.node)
    keys = (state.keys.node(state.node), state.keys.fence(state.node))
    if stored is None and any(key in state.view.unreadable for key in keys):
        _wait_for_repair(state, keys, out)
        return
    if stored is None and (fence is None or fence.record.state == "safe"):
        _nothing_to_close(state, fence, out)
        return
    assert stored or fence
    record = dead(stored) if stored else fence.record  # type: ignore[union-attr]
    if why := namesake.not_mine(state, record):
        _not_mine(state, stored, fence, why, out)
        return
    if fence is not None and in_flight(state, state.node, fence, out.now):
        out.note_once("acting", "waiting_for_fence_action", executor=fence.record.executor)
        return  # (S5)
    if fence is not None and awaited(state, fence, out.now):
        out.note_once(f"awaited/{record.session_id}", "waiting_to_be_fenced", action=fence.record.wanted)
        return
    if not namesake.surely_over(state, stored, record, out) or not _unmoved(state, out.now):
        return
    state.close_sent = out.now
    out.send(Purpose.CLOSE, close_txn(state.view, state.node, stored, attest(record, state.session.owner)))


def _wait_for_repair(state: NodeState, keys: tuple[str, ...], out: Out) -> None:
    """The end of my last session, or the store's identity, cannot be read: nothing is attested, nothing opened."""
    bad = [key for key in keys if key in state.view.unreadable]
    out.note_once("foreign", "waiting_for_repair", keys=bad)
    if state.release_on_exit:
        phases.end(state, f"everything is stopped; {' and '.join(bad)} cannot be read", out)


def _written_over(state: NodeState) -> Versioned[Session] | None:
    """My session, where its key holds what cannot be read: the key is still the one that I created."""
    bad, session, boot = state.view.bad_node(state.node), state.session, state.boot
    if bad is None:
        return None
    session_id = session.session_id if session.session_id in state.own_session_ids else ""
    if boot.last_session_id == boot.guard.session_id and bad.create_revision == boot.last_session_revision:
        session_id = boot.guard.session_id
    elif not session_id or bad.create_revision != session.session_revision:
        return None
    return Versioned(as_written(session, session_id, session.attempt), bad.create_revision, bad.mod_revision)


def _unmoved(state: NodeState, now: Instant) -> bool:
    """A document written over my session does not tell who moves it: it must not have moved for S."""
    bad = state.view.bad_node(state.node)
    if bad is None:
        return True
    if state.overwritten is None or state.overwritten[0] != bad.mod_revision:
        state.overwritten = (bad.mod_revision, now)
    return owner_elapsed(state.overwritten[1], now) >= state.timing.suspect_after_ms


def identified(state: NodeState, out: Out) -> bool:
    """Whether it is known what machine this is; asked once, and again where no answer came."""
    if state.session.owner.machine:
        return True
    if state.identifying is None or owner_elapsed(state.identifying, out.now) > IDENTIFYING_MS:
        state.identifying = out.now
        out.effects.append(Identify(state.cluster.address(state.node) if state.cluster else ""))
    return False


def _not_mine(
    state: NodeState, stored: Versioned[Session] | None, fence: Versioned[FenceRecord] | None, why: str, out: Out
) -> None:
    """The last session in my name is not for me to attest: it is deposed by the others, or, where none lives, by me
    when its lease is over; then the operator has the word."""
    if state.release_on_exit:
        phases.end(state, "everything is stopped; the last session in this name is not this machine's", out)
        return
    namesake.wait_for_operator(state, stored, why, out)
    alone = all(state.observer.over(name, session, out.now) for name, session in state.view.sessions.items())
    if stored and alone and (fence is None or not in_flight(state, state.node, fence, out.now)):
        record = replace(dead(stored), by=state.node, over=True)
        state.close_sent = out.now
        out.send(Purpose.DEPOSE, close_txn(state.view, state.node, stored, record), name=state.node)


def _nothing_to_close(state: NodeState, fence: Versioned[FenceRecord] | None, out: Out) -> None:
    if state.release_on_exit:
        phases.end(state, "released everything", out)
    elif lost := namesake.unwritten_end(state):
        _write_lost(state, lost, out)
    else:
        _open(state, fence, out)


def _write_lost(state: NodeState, holder: Holder, out: Out) -> None:
    """A session in my name went without a word, and another machine may have held it: it gets its record, by which it
    is closed as any other, or confirmed. To open the next session would say that it is stopped."""
    record = lost_record(holder, state.longest_lease_ms, state.node)
    out.send(Purpose.LOST, close_txn(state.view, state.node, None, record), name=state.node)
    out.note("session_lost", node=state.node, sid=holder.session_id)


def _open(state: NodeState, fence: Versioned[FenceRecord] | None, out: Out) -> None:
    if not state.opening_session_id:
        state.sessions_opened += 1
        state.opening_session_id = f"{state.boot.nonce}-{state.sessions_opened}"
        state.own_session_ids.add(state.opening_session_id)
    fence_mod = fence.mod_revision if fence else 0
    txn = open_txn(state.session, state.opening_session_id, fence_mod, state.view.same_history, out.now)
    out.send(Purpose.OPEN, txn, attempt=state.session.attempt)


def see_opened(state: NodeState, attempt: int, revision: int, out: Out, sent: Instant | None = None) -> None:
    """The session I asked for is open. `sent`: when I asked, where it is the answer that says so."""
    if state.session.state == "live" or not state.opening_session_id:
        return
    # An attempt so old that its instant is forgotten: over long ago; the next renewal or session corrects it.
    state.session.sent.setdefault(attempt, Instant(0.0, 0.0))
    opened(state.session, state.opening_session_id, attempt, revision, out.now)
    state.opening_session_id = ""
    phase_table.enter(state, "ending" if state.release_on_exit else "live", fast=False)
    state.unseen_since, state.namesake.problem = None, ""
    state.fencing.clear()  # what an earlier session of mine was at is not this one's
    state.observer.last_own_renewal = None
    state.observer.on_own_renewal(out.now, sent, revision)
    begin_guard(state, out)
    out.note("session_opened", sid=state.session.session_id, srev=state.session.session_revision)
    out.write_member()


def begin_guard(state: NodeState, out: Out) -> None:
    """Give the guard the new session; nothing is started before it has taken it."""
    out.effects.append(GuardBegin(*_deadline(state)))


def extend_guard(state: NodeState, out: Out) -> None:
    """Tell the guard the deadline, with the budgets in force: they may have changed with the configuration."""
    out.effects.append(GuardExtend(*_deadline(state)))


def _deadline(state: NodeState) -> tuple[str, float, float, Instant]:
    session, timing = state.session, state.timing
    assert session.valid_until is not None
    return session.session_id, timing.stop_budget_ms, timing.self_fence_lead_ms, session.valid_until


def keep_session(state: NodeState, out: Out) -> None:
    """Renew every h, unless blind: a node that renews but does not see would block its groups without end."""
    session, now, timing = state.session, out.now, state.timing
    if session.state == "foreign":
        out.note_once("foreign", "session_foreign", sid=session.session_id)
        state.own_session_ids.discard(session.session_id)
        phases.begin_again(state, fast=True)
        return
    if session.state == "deposed":
        out.note("deposed", sid=session.session_id)
        phases.begin_again(state, fast=True)
        return
    state.emergency = session.time_left(now) <= timing.stop_budget_ms
    if state.emergency:
        out.note_once("lapse", "lease_lapsing", stop_budget_ms=timing.stop_budget_ms)
    elif "lapse" in state.noted:
        del state.noted["lapse"]
    if state.blind(now):
        state.need_list = True
        return
    since = None if session.last_sent is None else owner_elapsed(session.last_sent, now)
    if since is not None and since < timing.heartbeat_ms - 1e-6:
        return
    before = session.valid_until
    attempt, txn = renew(session, state.view.same_history, now, STILL_HEARTBEATS * timing.heartbeat_ms)
    if session.valid_until != before and session.valid_until is not None:
        extend_guard(state, out)
    out.send(Purpose.RENEW, txn, attempt=attempt)
