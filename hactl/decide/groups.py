"""The steps of a node with each exclusive group (docs/protocol.md, *Ownership*). Pure.

Every look at a group begins with the role that the newest known ownership gives this node; the role says what
is aimed at; one step at a time is taken towards it.
"""

from __future__ import annotations

from election import ownership
from election.clock import owner_elapsed
from election.records import Ownership, next_epoch
from election.view import Versioned
from hactl.decide import (
    announcing,
    beside,
    blocking,
    client_view,
    ordering,
    outside,
    overlap,
    phases,
    planned,
    planned_steps,
    promotion,
    unmanaged,
    wandering,
)
from hactl.decide.acquiring import bring_up, read_revision, send_acquire
from hactl.decide.leaving import leaving
from hactl.decide.local_group import LocalGroup
from hactl.decide.placement.eligible import reported_running
from hactl.decide.resources import bar, bring_down, clean_up, forget_unstarted, note_failure, probe_unknown
from hactl.decide.state import NodeState, Out
from hactl.decide.unfencing import blocked_reason
from hactl.model.effects import StopAnnouncing
from hactl.model.purposes import Purpose


def step_group(state: NodeState, run: LocalGroup, out: Out) -> None:
    """Take the next step for one group."""
    clean_up(state, run, out)
    observed = state.view.groups.get(run.spec.name)
    if observed is not None and phases.rests(state, run):
        if unmanaged.step(state, run, observed, out):
            try_acquire(state, run, observed, out)
        outside.expire(run, out)
        return
    unmanaged.look_after(run, out)
    if state.emergency:
        run.granted = 0
        bring_down(run, out, kill=True)
    elif state.phase == "stopping":
        run.granted = 0
        if not run.untouched:
            bring_down(run, out, kill=False)
        else:
            probe_unknown(run, out)
    elif state.phase in ("live", "ending"):
        if reason := state.frozen(run.spec.name):
            as_frozen(state, run, reason, out)
            forget_unstarted(run, out)
            return
        _by_role(state, run, observed, out)
    forget_unstarted(run, out)
    announcing.step_announcement(state, run, out)
    outside.expire(run, out)


def _by_role(state: NodeState, run: LocalGroup, observed: Versioned[Ownership] | None, out: Out) -> None:
    """The step of the role that the ownership gives this node."""
    role = state.role(run.spec.name)
    run.unseen = run.unseen and role == "owner"
    if observed is None:
        as_unowned(state, run, out)
    elif role == "owner":
        as_owner(state, run, observed, out)
    elif role == "offered":
        accept(state, run, observed, out)
    elif role == "holder":
        as_holder(state, run, observed, out)
    else:
        as_other(state, run, observed, out)


def as_frozen(state: NodeState, run: LocalGroup, reason: str, out: Out) -> None:
    """Its record in the store cannot be read. What runs here goes on. As long as I have made no promise since I last
    wrote that it is mine, what fails is restarted in place: nobody can have taken it while my session lives."""
    run.waiting, run.takeable_since = reason, None
    if state.phase == "ending":
        bring_down(run, out, kill=False)
    elif run.granted and not run.outdated:
        bring_up(state, run, None, out)
    else:
        probe_unknown(run, out)


def as_owner(state: NodeState, run: LocalGroup, observed: Versioned[Ownership], out: Out) -> None:
    """Run it here, or stop it and let it go."""
    run.untouched, run.takeable_since = False, None
    if unmanaged.leave(state, run, observed, out):
        return
    if _dead_holders_leave(state, run, observed, out):
        return
    if observed.record.holders:
        overlap.watch(run, observed, out.now)
        if reason := overlap.given_back(state, run, observed.record, out.now):
            _give_back(state, run, observed, reason, out)
            return
    departure = leaving(state, run, observed.record, out)
    if departure is None:
        _keep(state, run, observed, out)
    if departure is None or run.txn:
        return
    overlapping = run.spec.overlap and departure.to is not None and run.running
    if not overlapping:
        _stop_in_order(state, run, out)
        if not (run.stopped or run.barred):
            return
    run.granted = 0  # a promise, from the moment it is sent
    if departure.to is None:
        txn = ownership.release(state.writer, run.spec.name, observed, _spent_move(state, run))
        run.txn = out.send(Purpose.RELEASE, txn, name=run.spec.name)
    else:
        epoch = next_epoch(state.generation, observed.record.epoch, read_revision(state, run.spec.name))
        txn = ownership.hand_over(
            state.writer, run.spec.name, observed, departure.to, epoch, reason=departure.reason, overlap=overlapping
        )
        txn = wandering.marked(state, run, txn, epoch, out) if departure.failed else txn
        run.txn = out.send(Purpose.HANDOFF, txn, name=run.spec.name, epoch=epoch)
        if overlapping:
            out.effects.append(StopAnnouncing(run.spec.name))
    to = departure.to.node if departure.to else ""
    out.note("group_leaving", group=run.spec.name, to=to, reason=departure.reason, overlap=overlapping)


def _keep(state: NodeState, run: LocalGroup, observed: Versioned[Ownership], out: Out) -> None:
    """It stays: bring it up, or down where what it runs after does not run."""
    if run.outdated or planned_steps.restarts(state, run, observed.record, out):
        _stop_in_order(state, run, out)
        return
    run.leaving_since = None
    if client_view.must_restart(state, run, out):
        bring_down(run, out, kill=False)
        return
    run.waiting = ordering.must_stop(state, run, out.now)
    if run.waiting and not run.stopped:
        probe_unknown(run, out)
        bring_down(run, out, kill=False)
    else:
        bring_up(state, run, observed, out)


def _stop_in_order(state: NodeState, run: LocalGroup, out: Out) -> None:
    """Stop it, after those that run after it."""
    first = "" if run.stopped else ordering.goes_first(state, run, out.now)
    if first:
        run.waiting = f"{first}, which runs after it, stops first"
    else:
        bring_down(run, out, kill=False)


def _give_back(state: NodeState, run: LocalGroup, observed: Versioned[Ownership], reason: str, out: Out) -> None:
    """An overlap in which I do not come to run it: stop what I started, then leave it to the holder that runs it."""
    if run.txn:
        return
    late = overlap.too_long(run, out.now, overlap.deadline_ms(run.spec))
    bring_down(run, out, kill=late and run.starting)
    if not (run.stopped or run.barred):
        return
    run.granted = 0  # a promise, from the moment it is sent
    name, to = run.spec.name, observed.record.holders
    also = (note_failure(state, run, reason),) if run.failure or late else ()
    spent = _spent_move(state, run)[:1] if name in state.view.moves else ()  # its moves are not forgotten by that
    txn = ownership.release(state.writer, name, observed, spent, holders=to, reason=reason, also=also)
    run.txn = out.send(Purpose.RELEASE, txn, name=name)
    out.note("group_given_back", group=name, to=to[0].node, reason=reason)


def _dead_holders_leave(state: NodeState, run: LocalGroup, observed: Versioned[Ownership], out: Out) -> bool:
    """A holder that died in an overlap cannot leave it by itself: once it is safe its owner strikes it out."""
    lease_counts = run.spec.fencing == "lease"
    gone = [
        holder
        for holder in observed.record.holders
        if ownership.holder_safe(state.view, state.observer, holder, lease_counts, out.now).safe
    ]
    if gone and not run.txn:
        txn = ownership.leave(state.writer, run.spec.name, observed, gone)
        run.txn = out.send(Purpose.LEAVE, txn, name=run.spec.name)
    return bool(gone)


def accept(state: NodeState, run: LocalGroup, observed: Versioned[Ownership], out: Out) -> None:
    """A handoff to me: write `owned` before anything is started."""
    probe_unknown(run, out)
    if not run.started and "failed" in run.health.values():
        bring_down(run, out, kill=True)  # what it is in cannot be told: nothing is started on top of it
    if reason := beside.never_here(state, run) or promotion.better(state, run, observed):
        _decline(state, run, observed, reason, out)
        return
    run.waiting = run.stop_failed or blocked_reason(state) or beside.not_yet(state, run)
    run.waiting = run.waiting or promotion.not_yet(state, run, observed, out)
    if run.waiting or run.txn or run.acting:
        return
    if state.guard_ready and state.may_run(out.now):
        send_acquire(state, run, observed, Purpose.ACCEPT, observed.record.reason, out)


def _decline(state: NodeState, run: LocalGroup, observed: Versioned[Ownership], reason: str, out: Out) -> None:
    """It was handed to this node, and is not to run here after all: those that hold it may have it back, or others."""
    run.waiting = reason
    if run.txn or not run.stopped:
        return
    name, holders = run.spec.name, observed.record.holders
    txn = ownership.release(state.writer, name, observed, _spent_move(state, run), holders=holders, reason=reason)
    run.txn = out.send(Purpose.RELEASE, txn, name=name)
    out.note("group_given_back", group=name, to=holders[0].node if holders else "", reason=reason)


def as_holder(state: NodeState, run: LocalGroup, observed: Versioned[Ownership], out: Out) -> None:
    """An overlap: go on until the new owner says that it runs, then stop and say so; or until it gives it back."""
    own = observed.record
    overlap.watch(run, observed, out.now)
    probe_unknown(run, out)  # a daemon that has just begun
    ends = overlap.lets_go(state, run, own, out.now) or overlap.lost_here(state, run)
    report = state.view.reports.get(own.node)
    current = report is not None and report.record.session_id == own.session_id
    reported = report.record.groups.get(run.spec.name, {}) if report and current else {}
    if ends or (own.state == "owned" and reported.get("phase") == "running" and reported.get("epoch") == own.epoch):
        bring_down(run, out, kill=False)
    if not run.stopped or (own.state != "owned" and not ends):
        try_acquire(state, run, observed, out)  # also where it has died here: its receiver may be dead, too
    elif not run.txn:
        txn = ownership.leave(state.writer, run.spec.name, observed, (state.me,))
        run.txn = out.send(Purpose.LEAVE, txn, name=run.spec.name)


def as_other(state: NodeState, run: LocalGroup, observed: Versioned[Ownership] | None, out: Out) -> None:
    """Somebody else's, or nobody's: nothing of it may run here."""
    run.granted = 0
    probe_unknown(run, out)
    if run.stopped:
        try_acquire(state, run, observed, out)
    elif (reason := planned.resting(state.view, run.spec.name)) and not run.started:
        run.waiting = reason  # not hactl's: an operator is at work
    elif run.starting or not {"running", "failed"}.isdisjoint(run.health.values()):
        begun = bring_down(run, out, kill=True)
        if begun and not run.barred and outside.tells(run):
            out.note("group_not_mine", group=run.spec.name, owner=observed.record.node if observed else "")


def as_unowned(state: NodeState, run: LocalGroup, out: Out) -> None:
    """No ownership record. What runs goes on, if it runs here alone; where several nodes run it, the first of
    them by name keeps it and the others stop: nobody could be made its owner otherwise. Nor can anybody while
    this node, told to release everything, waits for it to end."""
    run.granted = 0
    if state.phase == "ending":
        bring_down(run, out, kill=False)
        return
    if reason := planned.resting(state.view, run.spec.name):
        probe_unknown(run, out)
        run.waiting = reason
        return
    present = sorted([*state.view.sessions, *state.view.unread("nodes")])
    running = [node for node in present if reported_running(state.view, run.spec.name, node)]
    if run.stop_failed or (not run.stopped and state.node in running[1:]):
        bring_down(run, out, kill=True)
        return
    probe_unknown(run, out)
    sick = not (run.started or run.stop_failed) and "failed" in run.health.values()
    taken_elsewhere = state.cluster is not None and state.choice(run.spec.name).rank(state.node) is None
    if sick and (taken_elsewhere or promotion.not_here(run)):
        bar(state, run, out)  # not well, not hactl's, and not to be taken here: somebody else may
        return
    try_acquire(state, run, None, out)


def clear_leftovers(state: NodeState, out: Out) -> None:
    """Stop at once what an earlier daemon started and no guard holds the deadline for, unless it was left alone."""
    for run in state.runs.values():
        if not phases.rests(state, run):
            bring_down(run, out, kill=True)


def try_acquire(state: NodeState, run: LocalGroup, observed: Versioned[Ownership] | None, out: Out) -> None:
    """Acquire it, where placement names me and everyone who may be running it is safe."""
    spec, now = run.spec, out.now
    if run.acting and run.score.asking is not None:
        return  # it waits for the same as before
    run.waiting = blocked_reason(state)
    if run.waiting or run.txn or run.acting or not _can_acquire(state, out) or state.cluster is None:
        return
    if planned.off(state.view, spec) or state.cluster.exclusive_group(spec.name) is None:
        _retire(state, run, observed, out)
        return
    holding = observed is not None and state.me in observed.record.holders and run.running
    if not holding and (reason := planned.resting(state.view, spec.name) or blocking.blocked(state.view, spec.name)):
        run.waiting, run.takeable_since = reason, None
        return
    verdict = ownership.takeable(state.view, state.observer, spec.name, spec.fencing == "lease", state.node, now)
    if not verdict.safe:
        run.waiting, run.takeable_since = verdict.reason, None
        return
    choice = state.choice(spec.name)
    back = observed is not None and overlap.takes_back(state, run, observed.record)
    rank = 0 if back else promotion.rank(state, run, choice)
    away = choice.excluded.get(state.node, "") if rank is None else "" if holding else beside.not_yet(state, run)
    away = away or promotion.not_yet(state, run, observed, out)
    if rank is None or away:
        run.waiting, run.takeable_since = away, None
        return
    if not _runs_nowhere(state, run, observed, out):
        run.takeable_since = None  # turns begin when all have answered: by then all know of the group
        return
    if run.takeable_since is None:
        run.takeable_since = now
    wait = rank * state.timing.heartbeat_ms
    if observed and observed.record.state == "handoff" and ownership.may_live(state.view, observed.record.holder):
        wait += state.timing.lease_ms  # it is on its way to somebody who lives
    if owner_elapsed(run.takeable_since, now) < wait:
        run.waiting = f"{choice.candidates[0]} comes first"
        return
    also = () if holding else blocking.as_blocked(state, spec.name)  # what runs already may go on
    reason, cleanup = verdict.reason, tuple[str, ...]()
    if observed is None or observed.record.state == "unmanaged":
        also, cleanup = (*also, *unmanaged.still_over(state, spec.name)), (state.keys.probe(spec.name),)
        reason = "first owner" if observed is None else reason
    elif back:
        reason = observed.record.reason
    send_acquire(state, run, observed, Purpose.ACQUIRE, reason, out, also=also, cleanup=cleanup)


def _retire(state: NodeState, run: LocalGroup, observed: Versioned[Ownership] | None, out: Out) -> None:
    """A group that is to run nowhere, of an owner that is dead: release it in the owner's place once that is safe.
    One after the other is to try, so that one blind node does not block it."""
    if observed is None or observed.record.state == "released":
        return
    lease_counts = run.spec.fencing == "lease"
    verdict = ownership.takeable(state.view, state.observer, run.spec.name, lease_counts, state.node, out.now)
    if not verdict.safe:
        run.waiting, run.takeable_since = verdict.reason, None
        return
    if run.takeable_since is None:
        run.takeable_since = out.now
    if owner_elapsed(run.takeable_since, out.now) < state.turn_ms:
        return
    txn = ownership.release(state.writer, run.spec.name, observed, _spent_move(state, run))
    run.txn = out.send(Purpose.RELEASE, txn, name=run.spec.name)
    out.note("group_retired", group=run.spec.name, owner=observed.record.node, reason=verdict.reason)


def _runs_nowhere(state: NodeState, run: LocalGroup, observed: Versioned[Ownership] | None, out: Out) -> bool:
    """No ownership record, or nobody watched over it: whether it runs anywhere is not known until every live member was
    asked."""
    name = run.spec.name
    if observed is not None:
        return observed.record.state != "unmanaged" or unmanaged.runs_nowhere_else(state, run, observed, out)
    if name not in state.view.probes:
        run.txn = out.send(Purpose.PROBE, ownership.probe(state.writer, name), name=name)
        return False
    lease_counts = run.spec.fencing == "lease"
    verdict = ownership.unprobed(state.view, state.observer, name, lease_counts, state.node, out.now)
    run.waiting = verdict.reason if not verdict.safe else ""
    return verdict.safe


def _can_acquire(state: NodeState, out: Out) -> bool:
    return state.phase == "live" and state.guard_ready and state.may_run(out.now) and not state.blind(out.now)


def _spent_move(state: NodeState, run: LocalGroup) -> tuple[str, ...]:
    """With a release, the request to move it and what is known of its wandering come to nothing."""
    name, keys, view = run.spec.name, state.keys, state.view
    move = (keys.move(name),) if name in view.moves else ()
    return (*move, keys.flapping(name)) if name in view.flapping else move
