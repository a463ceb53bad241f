"""A node's way through its sessions: list, adopt or stop, close, open, live, end (docs/protocol.md, *Session*)."""

from __future__ import annotations

from dataclasses import replace

from election.clock import Instant, owner_elapsed, remaining
from election.ownership import session_of
from election.records import FenceRecord, Session
from election.session import adopt, attest, close_txn, dead, open_txn, opened, overwritten, renew
from election.view import Versioned
from hactl.decide import namesake, phase_table
from hactl.decide.fencing import awaited, in_flight
from hactl.decide.local_group import LocalGroup
from hactl.decide.reading import ReadState
from hactl.decide.state import NodeState, Out
from hactl.model.cluster import GroupSpec
from hactl.model.effects import Exit, GuardBegin, GuardExtend, Identify, Relist
from hactl.model.events import Boot
from hactl.model.purposes import Purpose

# How long a list may take: twice as long after each that failed, up to the longest. There may be very much below the
# prefix that is none of hactl's.
FIRST_LIST_MS, LONGEST_LIST_MS = 500.0, 6_000.0
# An answer that did not come by then is not waited for.
IDENTIFYING_MS = 5_000.0
# For how many heartbeats what cannot be read has stood in my session's key before it is written over: another process
# that held my session would have renewed it. T - M >= 4h + 2E leaves room for that.
STILL_HEARTBEATS = 2.0


def check_identity(state: NodeState, out: Out) -> None:
    """Whether this store's history is the one this node belongs to; if not, stop everything and take no part."""
    if not state.view.listed:
        return
    found = state.view.identity
    if state.held:
        return  # neither ours nor another's: a session that can be renewed goes on, none is begun
    if found is None:
        refuse(
            state, "the store holds no identity: 'hactl init' for a new cluster, 'hactl recover' for a lost one", out
        )
        return
    there = (found.record.uuid, found.record.generation)
    mine = state.identity
    if mine is None or (there[1] > mine[1] and state.phase in ("refused", "listing")):
        mine = state.identity = there
        # A list that is on its way was asked for in the old history: what was known then is not what it must reach.
        state.known_revision, state.listing_known = state.view.revision, 0
        out.note("identity_accepted", uuid=there[0], generation=there[1])
    if there != mine:
        text = f"the store is of another history (its generation {there[1]}, known here {mine[1]}): 'hactl recover'"
        refuse(state, text, out)
    elif state.went_back_in == there[1]:
        refuse(state, state.refused, out)
    elif state.phase == "refused":
        begin_again(state)


def went_back(state: NodeState, revision: int, known: int, out: Out) -> bool:
    """Whether an answer is older than what was known before its request was sent: the store was restored."""
    if revision >= known:
        state.known_revision = max(state.known_revision, revision)
        return False
    state.went_back_in = state.generation
    refuse(state, f"the store went back from revision {known} to {revision}: it was restored; 'hactl recover'", out)
    return True


def refuse(state: NodeState, problem: str, out: Out) -> None:
    """Take no part in this store: stop everything exclusive at once."""
    out.note_once("refused", "store_refused", reason=problem)
    state.refused = problem
    if state.phase != "refused":
        phase_table.enter(state, "refused")
        state.forget_store()
        state.need_list = True


def end(state: NodeState, reason: str, out: Out) -> None:
    """The daemon was told to release and go: nothing exclusive runs here any more."""
    state.session.state = "none"
    phase_table.enter(state, "gone")
    out.effects.append(Exit(0, reason))


def begin_again(state: NodeState, *, fast: bool | None = None) -> None:
    """Stop everything exclusive here, then open a new session (or, when told to release, none). `fast`: kill it."""
    phase_table.enter(state, "stopping", fast=fast)
    state.refused = ""
    state.guard_ready = False
    state.noted.pop("refused", None)


def listed(state: NodeState, out: Out) -> None:
    """The first list is here and the configuration is read: go on with the session, or begin a new one."""
    boot, found = state.boot, state.view.sessions.get(state.node) or _written_over(state)
    # One that this boot held is mine, whatever the machine id is now: it was made anew under the running daemon.
    held = found is not None and namesake.held_here(state, found.record.sid)
    if found and found.record.machine_id != boot.machine_id and not held:
        reason = (
            f"node name '{state.node}' is in use by another machine (machine id {found.record.machine_id}"
            f"{namesake.where(state)}): give this node another name in node.toml, or stop that daemon"
        )
        namesake.leave(state, "name_in_use", reason, out)
        return
    guard = boot.guard
    if (
        found
        and guard.valid_until is not None
        and resumable(state)
        and guard.sid == found.record.sid
        and found.record.boot_id == boot.boot_id
    ):
        adopt(state.session, found, guard.valid_until, guard.incarnation)
        if (bad := state.view.bad_node(state.node)) is not None:
            state.session.mod_revision -= 1  # what I last wrote is not known
            overwritten(state.session, bad, out.now)
        state.own_sids.add(guard.sid)
        state.guard_ready = True
        phase_table.enter(state, "live")
        out.note("session_adopted", sid=guard.sid, srev=found.create_revision)
        out.write_member()
        return
    out.note("session_new", reason=_why_new(state, found))
    begin_again(state)


def resumable(state: ReadState) -> bool:
    """Whether a guard holds the deadline for what may run here. Without one nothing may go on: it is stopped at
    once, before the store was even asked."""
    guard = state.boot.guard
    return guard.valid_until is not None and not guard.latched


def _why_new(state: NodeState, found: Versioned[Session] | None) -> str:
    guard = state.boot.guard
    if guard.latched:
        return "the guard's deadline came"
    if found is None:
        return "no session in the store"
    if guard.valid_until is None:
        return "no guard held the last session"
    return "rebooted" if found.record.boot_id != state.boot.boot_id else "the guard held another session"


def cleared(state: NodeState) -> bool:
    """Whether everything exclusive here is known to be stopped. What hactl never owned may run on."""
    return all(run.stopped or run.barred or (run.untouched and not run.acting) for run in state.runs.values())


def lease_ends(state: NodeState, now: Instant) -> bool:
    """Whether the lease of this node's last session is over in R, or is over: what no guard does any more is the
    daemon's to do then."""
    until = state.session.valid_until
    return until is not None and remaining(until, now) <= state.timing.self_fence_lead_ms


def held_by_guard(boot: Boot, spec: GroupSpec) -> set[str]:
    """The resources of a group that the guard held when this daemon adopted it."""
    return {item.name for item in spec.resources if f"{spec.name}/{item.name}" in boot.guard.exclusive}


def _maybe_started(state: NodeState, name: str) -> bool:
    """Whether a session of this node's that may be of this boot owned or held the group, as the store has it, while no
    guard is left that would know whether it still runs here."""
    found = state.view.groups.get(name)
    if state.boot.guard.sid or found is None:
        return False
    own, fence = found.record, state.view.fences.get(state.node)
    owner = (own.holder,) if own.state in ("owned", "unmanaged") else ()
    for holder in (*own.holders, *owner):
        if holder.node != state.node:
            continue
        session = session_of(state.view, holder)
        same = fence is not None and fence.record.sid == holder.sid
        booted = session.record.boot_id if session else fence.record.boot_id if same and fence else ""
        if booted in ("", state.boot.boot_id):
            return True
    return False


def close(state: NodeState, out: Out) -> None:
    """End the last session: put its fence record `safe` with what this node attests; then open."""
    if state.sending(Purpose.CLOSE, Purpose.OPEN):
        return
    if state.held:
        _wait_for_repair(state, (state.keys.identity,), out)
        return
    if state.close_sent is not None and owner_elapsed(state.close_sent, out.now) < state.timing.heartbeat_ms:
        return
    if not identified(state, out) or namesake.refused(state, out):
        return
    found, fence = state.view.sessions.get(state.node) or _written_over(state), state.view.fences.get(state.node)
    keys = (state.keys.node(state.node), state.keys.fence(state.node))
    if found is None and any(key in state.view.unreadable for key in keys):
        _wait_for_repair(state, keys, out)
        return
    if found is None and (fence is None or fence.record.state == "safe"):
        if state.release_on_exit:
            end(state, "released everything", out)
        else:
            _open(state, fence, out)
        return
    assert found or fence
    record = dead(found) if found else fence.record  # type: ignore[union-attr]
    if why := namesake.not_mine(state, record):
        _not_mine(state, found, fence, why, out)
        return
    if fence is not None and in_flight(state, state.node, fence, out.now):
        out.note_once("acting", "waiting_for_fence_action", executor=fence.record.executor)
        return  # (S5)
    if fence is not None and awaited(state, fence, out.now):
        out.note_once(f"awaited/{record.sid}", "waiting_to_be_fenced", action=fence.record.wanted)
        return
    if not namesake.surely_over(state, found, record, out) or not _unmoved(state, out.now):
        return
    safe = attest(record, state.session.owner)
    state.close_sent = out.now
    # A fence record that cannot be read, beside a session, is an earlier session's: that is over and done with.
    fence_mod = state.view.mod_of(state.keys.fence(state.node))
    out.send(Purpose.CLOSE, close_txn(state.keys, state.node, found, fence_mod, safe, state.identity_compare))


def _wait_for_repair(state: NodeState, keys: tuple[str, ...], out: Out) -> None:
    """What became of my last session, or whose store this is, cannot be read: nothing is attested, nothing opened."""
    bad = [key for key in keys if key in state.view.unreadable]
    out.note_once("foreign", "waiting_for_repair", keys=bad)
    if state.release_on_exit:
        end(state, f"everything is stopped; {' and '.join(bad)} cannot be read", out)


def _written_over(state: NodeState) -> Versioned[Session] | None:
    """My session, where its key holds what cannot be read: the key is still the one that I created."""
    bad, session, boot = state.view.bad_node(state.node), state.session, state.boot
    sid = session.sid if session.sid in state.own_sids else ""
    if bad is not None and boot.last_sid == boot.guard.sid and bad.create_revision == boot.last_srev:
        sid = boot.guard.sid
    elif bad is None or not sid or bad.create_revision != session.srev:
        return None
    record = replace(
        Session(sid, boot.machine_id, boot.boot_id, int(session.lease_ms), session.attempt, session.watchdog),
        machine=session.owner.machine,
    )
    return Versioned(record, bad.create_revision, bad.mod_revision)


def _unmoved(state: NodeState, now: Instant) -> bool:
    """What has been written over my session says nothing of who moves it: it must not have moved for S."""
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
    state: NodeState, found: Versioned[Session] | None, fence: Versioned[FenceRecord] | None, why: str, out: Out
) -> None:
    """The last session in my name is not for me to attest: it is deposed by the others, or, where none lives, by me
    when its lease is over; then the operator has the word."""
    if state.release_on_exit:
        end(state, "everything is stopped; the last session in this name is not this machine's", out)
        return
    namesake.wait_for_operator(state, found, why, out)
    if found is None or not all(state.observer.over(name, one, out.now) for name, one in state.view.sessions.items()):
        return
    if fence is None or not in_flight(state, state.node, fence, out.now):
        record = replace(dead(found), by=state.node, over=True)
        fence_mod = state.view.mod_of(state.keys.fence(state.node))
        state.close_sent = out.now
        out.send(
            Purpose.DEPOSE,
            close_txn(state.keys, state.node, found, fence_mod, record, state.identity_compare),
            name=state.node,
        )


def _open(state: NodeState, fence: Versioned[FenceRecord] | None, out: Out) -> None:
    if not state.opening_sid:
        state.sessions_opened += 1
        state.opening_sid = f"{state.boot.nonce}-{state.sessions_opened}"
        state.own_sids.add(state.opening_sid)
    txn = open_txn(
        state.session, state.opening_sid, fence.mod_revision if fence else 0, state.identity_compare, out.now
    )
    out.send(Purpose.OPEN, txn, attempt=state.session.attempt)


def see_opened(state: NodeState, attempt: int, revision: int, out: Out) -> None:
    """The session I asked for is open."""
    if state.session.state == "live" or not state.opening_sid:
        return
    # An attempt so old that its instant is forgotten: over long ago; the next renewal or session corrects it.
    state.session.sent.setdefault(attempt, Instant(0.0, 0.0))
    opened(state.session, state.opening_sid, attempt, revision, out.now)
    state.opening_sid = ""
    phase_table.enter(state, "ending" if state.release_on_exit else "live", fast=False)
    state.unseen_since, state.namesake.problem = None, ""
    state.fencing.clear()  # what an earlier session of mine was at is not this one's
    state.observer.last_own_renewal = None
    state.observer.on_own_renewal(out.now)
    begin_guard(state, out)
    out.note("session_opened", sid=state.session.sid, srev=state.session.srev)
    out.write_member()


def begin_guard(state: NodeState, out: Out) -> None:
    """Give the guard the new session; nothing is started before it has taken it."""
    session, timing = state.session, state.timing
    assert session.valid_until is not None
    out.effects.append(GuardBegin(session.sid, timing.stop_budget_ms, timing.self_fence_lead_ms, session.valid_until))


def extend_guard(state: NodeState, out: Out) -> None:
    """Tell the guard the deadline, with the budgets in force: they may have changed with the configuration."""
    session, timing = state.session, state.timing
    assert session.valid_until is not None
    out.effects.append(GuardExtend(session.sid, timing.stop_budget_ms, timing.self_fence_lead_ms, session.valid_until))


def keep_session(state: NodeState, out: Out) -> None:
    """Renew every h, unless blind: a node that renews but does not see would block its groups without end."""
    session, now, timing = state.session, out.now, state.timing
    if session.state == "foreign":
        out.note_once("foreign", "session_foreign", sid=session.sid)
        state.own_sids.discard(session.sid)
        begin_again(state, fast=True)
        return
    if session.state == "deposed":
        out.note("deposed", sid=session.sid)
        begin_again(state, fast=True)
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
    attempt, txn = renew(session, state.identity_compare, now, STILL_HEARTBEATS * timing.heartbeat_ms)
    if session.valid_until != before and session.valid_until is not None:
        extend_guard(state, out)
    out.send(Purpose.RENEW, txn, attempt=attempt)


def list_again(state: NodeState, out: Out) -> None:
    """Ask for a list where one is needed, one at a time, at most each h. A node that waits without a session lists
    now and then: no renewal of its own tells it that its watch is dead, no answer that the store is another one."""
    if state.phase not in ("live", "ending") and state.listed_at is not None:
        state.need_list = state.need_list or owner_elapsed(state.listed_at, out.now) >= state.timing.lease_ms
    if not state.need_list or state.listing:
        return
    if state.listed_at is not None and owner_elapsed(state.listed_at, out.now) < state.timing.heartbeat_ms:
        return
    state.counter += 1
    state.listing, state.listed_at = state.counter, out.now
    state.listing_known = state.known_revision
    longest = max(state.timing.heartbeat_ms * 2, FIRST_LIST_MS)
    out.effects.append(Relist(state.counter, min(longest * 2.0 ** min(state.lists_failed, 10), LONGEST_LIST_MS)))


def adjust_runs(state: NodeState) -> None:
    """One run for each group of the configuration, and for each of which something may still be here. A group
    that was started is stopped by the definition it was started with."""
    wanted: dict[str, GroupSpec] = {group.name: group for group in state.cluster.groups} if state.cluster else {}
    for name, spec in wanted.items():
        run = state.runs.get(name)
        if run is None:
            run = state.runs[name] = LocalGroup(spec, untouched=not state.view.mod_of(state.keys.group(name)))
            run.registered, run.leftover = held_by_guard(state.boot, spec), _maybe_started(state, name)
        elif run.spec == spec:
            run.outdated = False
        elif run.spec.resources == spec.resources:
            run.spec = spec  # the same resources: only how the group is treated has changed
        elif run.stopped and not run.registered:
            run.spec, run.outdated = spec, False
            run.health = {item.name: "unknown" for item in spec.resources}
        else:
            run.outdated = True
    gone = [name for name, run in state.runs.items() if name not in wanted and (run.stopped or run.barred)]
    for name in [name for name in gone if not state.runs[name].txn and not state.frozen(name)]:
        if name not in state.view.groups or state.view.groups[name].record.state == "released":
            del state.runs[name]
