"""The step: one event in, effects out (docs/architecture.md, *The one rule*). Pure.

`step` takes what happened and the instant it was taken at the loop, changes the state, and says what is to be
done. The order within a step is fixed: what is known first, then this node's own session, then the peers', then
the groups, then what is told to the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from election import session
from election.clock import Instant
from election.keys import Keys
from election.observer import Observer
from election.session import Owner, SessionState
from election.view import View
from hactl.decide import (
    answers,
    client_view,
    clones,
    confirming,
    failures,
    fencing,
    groups,
    moves,
    namesake,
    node_health,
    own_session,
    peers,
    phase_table,
    phases,
    planned_steps,
    readiness_in_step,
    resources,
    rolling_restart,
    settled,
    suspicion,
    troubles,
    unfencing,
    wandering,
)
from hactl.decide.apply_changes import learned, own_writes_seen
from hactl.decide.local_group import LocalGroup
from hactl.decide.readiness import OwnReadiness
from hactl.decide.state import Namesake, NodeState, Out
from hactl.decide.waking import next_wake
from hactl.model import events
from hactl.model.cluster import Timing
from hactl.model.effects import Effect, Exit, ReadConfig, SelfFence
from hactl.model.purposes import Purpose


class Step(NamedTuple):
    """The outcome of a step. `decided`: everything was looked at, not only what the event says. `wake_ms`: the next
    Tick comes within this time."""

    effects: list[Effect]
    decided: bool
    wake_ms: float


class StepError(Exception):
    """A step broke off. `effects`: what had been decided by then; the state knows of it, so it is carried out."""

    def __init__(self, effects: list[Effect]) -> None:
        super().__init__("a step failed")
        self.effects = effects


def new_state(keys: Keys, boot: events.Boot) -> NodeState:
    """The state of a daemon that has just begun."""
    timing = Timing()
    owner = Owner(boot.node, boot.machine_id, boot.boot_id)
    state = NodeState(
        keys=keys,
        boot=boot,
        session=SessionState(keys, owner, timing.lease_ms, attempt=boot.guard.incarnation << 32),
        observer=Observer(timing.heartbeat_ms, timing.etcd_election_ms),
        view=View(keys),
        identity=boot.identity,
        namesake=Namesake(set(boot.disowned)),
        known_revision=boot.known_revision,
    )
    for spec in boot.leftovers:
        if spec.run == "all":
            state.clones[spec.name] = LocalGroup(spec, leftover=boot.same_boot)
            continue
        run = state.runs[spec.name] = LocalGroup(spec, registered=phases.held_by_guard(boot, spec))
        run.leftover = boot.same_boot and not boot.guard.session_id
    return state


def step(state: NodeState, event: events.Event, now: Instant) -> Step:
    """Take `event`, which was seen at `now`. Raises StepError: a fault of this program."""
    out = Out(state, now)
    left, state.dirty = state.dirty, True
    settled.see_event(state, event)
    try:
        _HANDLERS[type(event)](state, event, out)
        state.dirty = state.dirty or left
        decided = state.phase != "gone" and state.dirty
        if decided:
            _decide(state, out)
        _ask_for_config(state, out)
        return Step(out.effects, decided, next_wake(state, now))
    except Exception as error:
        raise StepError(out.effects) from error


def _ask_for_config(state: NodeState, out: Out) -> None:
    config = state.view.config
    if config is not None and config.mod_revision not in (state.config_seen, state.config_requested):
        state.config_requested = config.mod_revision
        out.effects.append(ReadConfig(config.mod_revision, config.record))


def note_error(state: NodeState, problem: str) -> None:
    """Something of the daemon's own went wrong, here or in carrying an effect out: shown, nothing is decided by it."""
    state.errors += 1
    state.last_error = problem


def _decide(state: NodeState, out: Out) -> None:
    state.dirty = False
    state.decided_at = out.now
    if state.guard_lost:
        _end_without_guard(state, out)
        return
    phases.check_identity(state, out)
    if state.phase == "listing" and not phases.resumable(state):
        groups.clear_leftovers(state, out)
    _advance(state, out)
    if state.namesake.leaving:
        return  # nothing but the end is waited for
    if state.phase in ("live", "ending"):
        own_session.keep_session(state, out)
    if state.phase in ("live", "ending") and not state.held:
        peers.watch(state, out)
        confirming.step_confirmations(state, out)
        fencing.step_jobs(state, out)
        unfencing.unfence(state, out)
        failures.expire_failures(state, out)
        wandering.see_marks(state, out)
        moves.void_moves(state, out)
        planned_steps.end_planned(state, out)
        planned_steps.begin_moves(state, out)
        rolling_restart.end_requests(state, out)
        namesake.forget_refusal(state, out)
        own_session.identified(state, out)
    readiness_in_step.see_everybody(state, out)
    _step_groups(state, out)
    for run in list(state.clones.values()):
        clones.step(state, run, out)
    if state.phase in ("live", "ending") and not state.held:
        peers.answer_probes(state)
        peers.report(state, out)
    _end(state, out)
    phases.list_again(state, out)


def _step_groups(state: NodeState, out: Out) -> None:
    ground = settled.ground(state, out)
    for run in list(state.runs.values()):
        if not settled.passed_over(state, run, ground):
            before = len(out.effects)
            groups.step_group(state, run, out)
            settled.looked_at(state, run, ground, idle=len(out.effects) == before)


def _end_without_guard(state: NodeState, out: Out) -> None:
    """Stop everything by the fast way, then end; the session is left to its own end."""
    for run in state.runs.values():
        if not run.untouched and not phases.rests(state, run):
            resources.bring_down(run, out, kill=True)
    if phases.cleared(state):
        phase_table.enter(state, "gone")
        out.effects.append(Exit(1, "the guard has died"))
    elif phases.lease_ends(state, out.now):
        out.effects.append(SelfFence("the guard has died, and not everything here is known to be stopped"))


def _advance(state: NodeState, out: Out) -> None:
    """Bring the lifecycle on as far as what is known allows."""
    ready = state.view.listed > 0 and state.cluster is not None and state.config_current
    if state.phase == "listing" and ready and state.identity is not None:
        own_session.listed(state, out)
    if state.phase in ("live", "ending", "stopping", "closing") and ready:
        phases.adjust_runs(state)
        clones.adjust(state)
    if state.phase == "stopping" and ready and phases.cleared(state):
        phase_table.enter(state, "closing")
    if state.phase == "closing" and ready:
        own_session.close(state, out)
    if state.phase == "refused":
        state.need_list = True


def _end(state: NodeState, out: Out) -> None:
    """When told to release: go once nothing is owned any more and the session is closed; where the lease lapses
    first, once everything is stopped."""
    if state.phase != "ending" or state.session.state != "live":
        return
    if state.emergency and phases.cleared(state):
        phases.end(state, "everything is stopped; the store could not be told", out)
        return
    if state.held and phases.cleared(state):
        phases.end(state, f"everything is stopped; {state.held}", out)
        return
    known = [group.record for group in state.view.groups.values()]
    owns = any((own.node == state.node and own.state == "owned") or state.me in own.holders for own in known)
    if owns or not (phases.cleared(state) and clones.all_down(state)) or any(run.txn for run in state.runs.values()):
        return
    stored = state.view.sessions.get(state.node)
    if stored is None or state.sending(Purpose.CLOSE):
        return
    safe = session.attest(session.dead(stored), state.session.owner)
    out.send(Purpose.CLOSE, session.close_txn(state.view, state.node, stored, safe))


# --- events -----------------------------------------------------------------------------------------------


def _on_listed(state: NodeState, event: events.Listed, out: Out) -> None:
    if event.id != state.listing:
        return
    state.listing = state.lists_failed = 0
    state.list_problem = ""
    if state.phase == "refused":
        state.forget_store()  # looked at anew each time, until its identity is one to go on with
    elif phases.went_back(state, event.snapshot.revision, state.listing_known, out):
        return
    state.need_list = False
    learned(state, state.view.load(event.snapshot), out)
    own_writes_seen(state)


def _on_list_failed(state: NodeState, event: events.ListFailed, out: Out) -> None:
    if event.id == state.listing:
        state.listing = 0
        state.lists_failed += 1
        state.list_problem = event.problem
    answers.store_failed(state, event.problem, out)


def _on_watched(state: NodeState, event: events.Watched, out: Out) -> None:
    if not state.view.listed:
        return  # of a watch before the list that is being waited for
    state.known_revision = max(state.known_revision, event.batch.revision)
    known = len(state.view.sessions)
    changed = state.view.apply(event.batch)
    learned(state, changed, out)
    own_writes_seen(state)
    renewals = state.keys.prefix + "nodes/"
    if len(state.view.sessions) == known and all(key.startswith(renewals) for key in changed):
        state.dirty = state.session.state == "deposed"  # renewals alone: nothing to decide


def _on_watch_ended(state: NodeState, event: events.WatchEnded, out: Out) -> None:
    state.need_list = True
    out.note("watch_ended", problem=event.problem)


def _on_configured(state: NodeState, event: events.Configured, out: Out) -> None:
    state.config_seen = event.revision
    state.config_problem = event.problem
    if event.problem:
        out.note("config_unreadable", revision=event.revision, problem=event.problem)
    if event.spec is None:
        return
    state.cluster, state.timing = event.spec, event.spec.timing
    state.config_rev = 0 if event.problem else event.revision
    state.session.lease_ms = state.timing.lease_ms
    state.observer.heartbeat_ms = state.timing.heartbeat_ms
    state.observer.election_ms = state.timing.etcd_election_ms
    out.note("config_in_use", revision=state.config_rev)
    out.write_member()


def _on_guard(state: NodeState, event: events.GuardAnswered, out: Out) -> None:
    if event.name == "begin":
        state.guard_ready = event.ok and state.session.state == "live"
        if not event.ok and state.session.state == "live":
            # It holds on to an earlier session, or this one ran out on the way: a new one, from the beginning.
            out.note_once("guard", "guard_refused", problem=event.problem)
            phases.begin_again(state, fast=True)
    elif event.name == "extend":
        state.dirty = not event.ok
        if not event.ok and state.session.state == "live":
            out.note("guard_refused", problem=event.problem)
            phases.begin_again(state, fast=True)
    else:
        group, _, resource = event.name.partition("/")
        run = state.runs.get(group)
        if run is not None and resource in run.registering:
            resources.registered(state, run, resource, event.ok, event.problem, out)
            state.dirty = not event.ok or not run.registering  # of those that start together the last one counts


def _on_guard_lost(state: NodeState, event: events.GuardLost, out: Out) -> None:
    """A dead guard ends the daemon: nobody holds the deadline any more. What runs here is stopped first; a
    successor may be late."""
    if not state.guard_lost:
        state.guard_lost = True
        out.note("guard_lost")


def _on_acted(state: NodeState, event: events.Acted, out: Out) -> None:
    for run in state.all_here():
        for name, (number, _) in run.acting.items():
            if number == event.id:
                resources.acted(state, run, name, event, out)
                run.settled = None
                state.dirty = not event.ok or not run.acting  # of those that act together the last one counts
                return


def _on_observed(state: NodeState, event: events.Observed, out: Out) -> None:
    run = state.here(event.group)
    if run is not None:
        run.settled = None
    # Most say what is known. With hundreds of groups there are so many that everything cannot be looked at for each.
    state.dirty = run is not None and resources.observed(state, run, event, out)


def _on_readiness(state: NodeState, event: events.Readiness, out: Out) -> None:
    state.readiness.setdefault(event.group, OwnReadiness()).post(event.source, event.level, event.why)


def _on_group_probed(state: NodeState, event: events.GroupProbed, out: Out) -> None:
    client_view.probed(state, event)


def _on_watchdog(state: NodeState, event: events.Watchdog, out: Out) -> None:
    state.session.watchdog = event.armed
    state.watchdog_missing = event.required and not event.armed
    out.note_once("watchdog", "watchdog_armed" if event.armed else "watchdog_not_armed", required=event.required)


def _on_time_of_day(state: NodeState, event: events.TimeOfDay, out: Out) -> None:
    state.time_of_day = (event.unix_ms, out.now)


def _on_shutdown(state: NodeState, event: events.Shutdown, out: Out) -> None:
    # In standby there is nothing to keep, and a session that is closed is not fenced.
    release = event.release or state.node in state.view.standby
    if release and state.phase in ("live", "ending", "stopping", "closing"):
        state.release_on_exit = True
        if state.phase == "live":
            phase_table.enter(state, "ending")
        return
    phase_table.enter(state, "gone")
    out.effects.append(Exit(0, "what runs here is left running" if not release else "nothing to release"))


_HANDLERS: dict[type, Callable[[NodeState, Any, Out], None]] = {
    events.Listed: _on_listed,
    events.ListFailed: _on_list_failed,
    events.Watched: _on_watched,
    events.WatchEnded: _on_watch_ended,
    events.Configured: _on_configured,
    events.TxnDone: answers.on_txn,
    events.GuardAnswered: _on_guard,
    events.GuardLost: _on_guard_lost,
    events.Acted: _on_acted,
    events.Observed: _on_observed,
    events.Readiness: _on_readiness,
    events.GroupProbed: _on_group_probed,
    events.FenceActed: fencing.acted,
    events.GuardReplied: suspicion.on_reply,
    events.Identified: namesake.on_identified,
    events.OriginalProbed: namesake.on_probed,
    events.Watchdog: _on_watchdog,
    events.TimeOfDay: _on_time_of_day,
    events.Trouble: troubles.learn,
    events.NodeChecked: node_health.learn,
    events.HaproxySeen: node_health.learn_of_haproxy,
    events.Shutdown: _on_shutdown,
    events.Tick: lambda state, event, out: None,
}
