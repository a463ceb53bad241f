"""Groups that run here, and for which there is nothing to do until something changes: they are passed over. Pure.

A step looks at every group, several times a second, and with hundreds of groups that is most of a daemon's work. Of a
group that runs as it should, all that a look rests on is the *ground* below: the view of the store, the configuration,
this node's session and phase. As long as the ground is the same and no event is about the group, a look finds nothing
to do; only where something of it is counted by the clock (a wait, a quiet time after a failure, a time of the day) it
is looked at each time. The simulation looks at groups that are passed over all the same, in half of its schedules, and
demands that nothing comes of it.
"""

from __future__ import annotations

from typing import NamedTuple

from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState, Out
from hactl.model import events
from hactl.model.purposes import Purpose

# Their outcome is in the view, or in the group that they are about, where it is seen that it is not settled any more.
_ABOUT_ONE = (events.Tick, events.Watched, events.Observed, events.Acted, events.GroupProbed)
_TELLS_NOTHING = (Purpose.RENEW, Purpose.REPORT)


class Ground(NamedTuple):
    """What a look at a settled group rests on. `config`: the configuration in use, by its place in memory and revision.
    `stirred`: counts the events that may be about any group."""

    changes: int
    config: tuple[int, int]
    phase: str
    session: tuple[str, str, int]
    may_run: bool
    guard_ready: bool
    emergency: bool
    stirred: int


def see_event(state: NodeState, event: events.Event) -> None:
    """An event comes: all groups are looked at again, unless it is known to be about one, or none."""
    if isinstance(event, _ABOUT_ONE):
        return
    if isinstance(event, events.TxnDone):
        pending = state.pending.get(event.id)
        if pending is not None and pending.purpose in _TELLS_NOTHING and event.result is not None:
            return
    if isinstance(event, events.GuardAnswered) and event.name == "extend" and event.ok:
        return
    state.stirred += 1


def ground(state: NodeState, out: Out) -> Ground:
    """Now. The same object as long as nothing has changed."""
    session = state.session
    now = Ground(
        state.view.changes,
        (id(state.cluster), state.config_seen),
        state.phase,
        (session.state, session.session_id, session.session_revision),
        state.may_run(out.now),
        state.guard_ready,
        state.emergency,
        state.stirred,
    )
    if now != state.ground:
        state.ground = now
    return state.ground or now


def passed_over(state: NodeState, run: LocalGroup, now: Ground) -> bool:
    """Whether there is nothing to do for the group: it was looked at on the same ground, and still runs as it did."""
    return run.settled is now and run.running and not run.txn and run.spec.name not in state.readiness


def looked_at(state: NodeState, run: LocalGroup, now: Ground, *, idle: bool) -> None:
    """The group was looked at; `idle`: nothing came of it."""
    run.settled = now if idle and _rests_on_ground(state, run) else None
    run.entry = None  # it is of another state, as a rule


def _rests_on_ground(state: NodeState, run: LocalGroup) -> bool:
    """Whether it runs as it should, in an ownership of this node's, and nothing of it is counted by the clock."""
    spec, name = run.spec, run.spec.name
    known = state.view.groups.get(name)
    counted = (
        run.retry_at, run.takeover, run.waits_since, run.leaving_since, run.restarts, run.failure, run.stop_failed,
        run.interferences, run.waiting, run.unseen, run.outdated, run.alone, run.txn, run.registering,
    )  # fmt: skip
    return (
        not any(counted)
        and known is not None
        and known.record.state == "owned"
        and not known.record.holders
        and state.role(name) == "owner"
        and run.granted == run.epoch == known.record.epoch
        and run.running
        and len(run.registered) == len(spec.resources)
        and run.since_running is not None
        and not (spec.probes or spec.placing.after or name in state.view.flapping or name in state.view.probes)
        and spec.placing.failback == "never"
        and name not in state.readiness
    )
