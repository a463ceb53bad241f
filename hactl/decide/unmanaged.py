"""Groups that are left alone while operators work on them (docs/protocol.md, *Maintenance*). Pure.

The owner writes `unmanaged`. From then on no node starts, stops or moves the group, nobody is fenced for it, and the
guard does not hold it, so that the end of a lease stops nothing. When the request is gone the node that left it alone
asks every live member what runs, has its guard hold what runs here, and takes the group again as it was found. If that
node has no session, the group waits until the machine is known to be stopped, by more than the end of a session.
"""

from __future__ import annotations

from election import ownership
from election.clock import owner_elapsed
from election.records import Ownership
from election.store import Compare
from election.view import Versioned
from hactl.decide import planned
from hactl.decide.acquiring import register_running, send_acquire
from hactl.decide.local_group import LocalGroup
from hactl.decide.resources import bar, probe_unknown
from hactl.decide.state import NodeState, Out
from hactl.model.effects import GuardUnregister, LeaveAlone
from hactl.model.purposes import Purpose

# How often what is left alone is looked at, in ms.
LOOK_MS = 5_000.0


def leave(state: NodeState, run: LocalGroup, observed: Versioned[Ownership], out: Out) -> bool:
    """The owner, while an operator wants the group left alone: write that it is, as soon as it is at rest. What was
    begun before (a start, a move, a restart) comes to its end. Whether nothing else is to be done with it."""
    name = run.spec.name
    asked = planned.maintenance_of(state.view, name)
    if asked is None or observed.record.holders or run.acting or run.registering:
        return False
    if run.granted and not run.running and not (run.failure or run.stop_failed):
        return False  # on its way up, or down
    if not run.txn:
        run.granted, run.retry_at = 0, None  # a promise, from the moment it is sent
        key = next(key for key in planned.maintenance_keys(state.view, name) if state.view.mod_of(key))
        txn = ownership.unmanage(state.writer, name, observed, asked, key)
        run.txn = out.send(Purpose.UNMANAGE, txn, name=name)
        out.note("group_unmanaged", group=name, by=asked.record.by, until=asked.record.until)
    return True


def step(state: NodeState, run: LocalGroup, observed: Versioned[Ownership], out: Out) -> bool:
    """A group that is left alone. Whether this node may take it, where its machine is known to be stopped."""
    run.granted = 0
    mine = observed.record.node == state.node
    asked = planned.maintenance_of(state.view, run.spec.name)
    live = state.phase in ("live", "ending") and not state.emergency and not state.held
    if asked is not None or not (mine and live):
        let_go(run, out)
    if not live:
        return False
    if mine and asked is None:
        look_after(run, out)
    elif mine:
        watch_nothing(run, out)
    probe_unknown(run, out)
    if not (mine or run.started or run.stop_failed) and "failed" in run.health.values():
        bar(state, run, out)  # its state here cannot be told: that is no reason for its node not to take it again
    if asked is not None:
        if mine:
            look_now_and_then(run, out)
        run.waiting, run.takeable_since = planned.resting(state.view, run.spec.name), None
        return False
    if mine:
        _resume(state, run, observed, out)
        return False
    if not run.stopped:
        run.waiting = f"it runs here, and {observed.record.node} had it before the maintenance"
    return run.stopped


def look_after(run: LocalGroup, out: Out) -> None:
    """Have what runs of it watched again."""
    if run.alone:
        run.alone = False
        out.effects.append(LeaveAlone(run.spec.name, False))


def watch_nothing(run: LocalGroup, out: Out) -> None:
    """Have nothing of it watched any more: who watches puts things right."""
    if not run.alone:
        run.alone = True
        out.effects.append(LeaveAlone(run.spec.name, True))


def look_now_and_then(run: LocalGroup, out: Out) -> None:
    """Nobody watches it: look now and then, for `hactl status`."""
    if run.looked_at is None:
        run.looked_at = out.now
    if run.acting or owner_elapsed(run.looked_at, out.now) < LOOK_MS:
        return
    run.looked_at = out.now
    for index in range(len(run.spec.resources)):
        out.act(run, index, "probe")


def let_go(run: LocalGroup, out: Out) -> None:
    """The guard is not to stop it any more. It was started here all the same: that its state cannot be told later on is
    no sign that it does not run."""
    run.leftover = run.leftover or bool(run.registered)
    for name in [name for name in run.registered if name not in run.acting]:
        run.registered.discard(name)
        out.effects.append(GuardUnregister(run.spec.name, name))


def runs_nowhere_else(state: NodeState, run: LocalGroup, observed: Versioned[Ownership], out: Out) -> bool:
    """Ask every live member what runs of it, since the maintenance has ended. Whether none but, perhaps, this node has
    anything of it."""
    name, view = run.spec.name, state.view
    probe = view.probes.get(name)
    ended = max(view.newest.get(key, 0) for key in planned.maintenance_keys(view, name))
    if probe is None or probe.mod_revision < max(ended, observed.mod_revision):
        asked = probe.mod_revision if probe is not None else 0
        run.txn = out.send(Purpose.PROBE, ownership.probe(state.writer, name, observed.mod_revision, asked), name=name)
        return False
    verdict = ownership.answered(view, name, state.node)
    run.waiting = "" if verdict.safe else verdict.reason
    return verdict.safe


def still_over(state: NodeState, group: str) -> tuple[Compare, ...]:
    """That no maintenance has begun again, and what was asked is what was answered."""
    keys, probe = state.keys, state.view.probes[group]
    absent = tuple(Compare(key, "create", 0) for key in planned.maintenance_keys(state.view, group))
    return (*absent, Compare(keys.probe(group), "mod", probe.mod_revision))


def _resume(state: NodeState, run: LocalGroup, observed: Versioned[Ownership], out: Out) -> None:
    """Take it again, as it is found: what runs is held by the guard first, what does not is started afterwards."""
    if run.txn or run.acting or not state.guard_ready or not state.may_run(out.now) or state.blind(out.now):
        return
    if run.retry_at is not None and owner_elapsed(run.retry_at, out.now) < 0:
        return
    if not runs_nowhere_else(state, run, observed, out) or not register_running(state, run, out):
        return
    run.restarts, run.failure, run.retry_at = 0, "", None
    also, probe = still_over(state, run.spec.name), state.keys.probe(run.spec.name)
    send_acquire(state, run, observed, Purpose.RESUME, "maintenance is over", out, also=also, cleanup=(probe,))
