"""The protocol without one of its rules: for each rule the code that lacks it, and the invariants that must catch
that (docs/protocol.md, *Verification*). A mutation that nothing catches is a hole in the simulation.

The guard's latch is not here: in the simulation a daemon that the guard kills is dead, and what is left of the
rule is the guard's own; tests/unit/fencing has it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

from election import observer, ownership, session
from election.clock import Instant, observer_elapsed
from election.records import Ownership
from election.store import Delete, Txn
from fencing.guard import state as guard_state
from hactl.decide import blocking, groups, node, overlap, own_session, phases, resources
from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState
from hactl.model import effects, events
from tests.simulation.mutation import Mutation, all_of, patch
from tests.simulation.mutations_fencing import FENCING_MUTATIONS
from tests.simulation.mutations_namesake import NAMESAKE_MUTATIONS
from tests.simulation.mutations_readiness import READINESS_MUTATIONS
from tests.simulation.mutations_unreadable import UNREADABLE_MUTATIONS
from tests.simulation.scripts import late_acquire, late_depose, moved_since_the_backup, two_cannot_be_stopped


def _valid_from_answer() -> Any:
    original = session.answered

    def answered(state: Any, attempt: int, result: Any, now: Instant) -> None:
        if attempt in state.sent:
            state.sent[attempt] = now.plus(state.lease_ms)
        original(state, attempt, result, now)

    return patch(session, "answered", answered)


def _repeated_attempts() -> Any:
    """Attempt numbers used again: an old write that lands is taken for the newest."""

    def next_attempt(state: Any, now: Instant) -> int:
        state.attempt = state.attempt // session.ATTEMPTS_OF_A_DAEMON * session.ATTEMPTS_OF_A_DAEMON + 1
        state.sent[state.attempt] = now.plus(state.lease_ms)
        state.last_sent, state.in_flight = now, state.attempt
        return int(state.attempt)

    return patch(session.SessionState, "next_attempt", next_attempt)


def _no_guard_deadline() -> Any:
    """A new daemon counts the adopted session's validity from now, instead of taking it from the guard."""
    original = session.adopt

    def adopt(state: Any, stored: Any, valid_until: Instant, incarnation: int) -> None:
        original(state, stored, valid_until, incarnation)
        moment = _now[0]
        state.valid_until = moment.plus(state.lease_ms)

    def step(state: NodeState, event: Any, now: Instant) -> Any:
        _now[0] = now
        return real_step(state, event, now)

    real_step = node.step
    _now = [Instant(0, 0)]
    return all_of(patch(own_session, "adopt", adopt), patch(node, "step", step))


def _guard_asleep() -> Any:
    return patch(guard_state, "_deadline", lambda state, now: [])


def _start_unacknowledged() -> Any:
    """Resources are started without the guard having been told."""
    original = node.step

    def step(state: NodeState, event: Any, now: Instant) -> Any:
        kept, done = [], original(state, event, now)
        for effect in done.effects:
            if isinstance(effect, effects.GuardRegister):
                run = state.runs[effect.group.name]
                run.registering.discard(effect.resource.name)
                run.registered.add(effect.resource.name)
            else:
                kept.append(effect)
        return done._replace(effects=kept)

    return patch(node, "step", step)


def _no_margin() -> Any:
    return all_of(patch(observer, "CLOCK_RATE_MARGIN", -0.1), patch(observer, "limit_ms", lambda lease: lease * 0.9))


def _any_revision() -> Any:
    """An observer's clock counts for a dead session whatever it had seen of it."""

    def saw_fence(self: Any, name: str, record: Any, now: Instant) -> None:
        if record is None:
            return
        known = self.dead.get(name)
        if known is not None and (known.session_id, known.session_revision) == (
            record.session_id,
            record.session_revision,
        ):
            return
        seen = self.sightings.get(name)
        since = seen.over_since if seen and seen.session_revision == record.session_revision else now
        self.dead[name] = observer.DeadSighting(record.session_id, record.session_revision, since)

    # Deposing early is what makes an exact sighting matter: suspicion, which comes with fencing devices.
    def over(self: Any, name: str, stored: Any, now: Instant) -> bool:
        seen = self.sightings.get(name)
        return seen is not None and observer_elapsed(seen.over_since, now) >= 0.5 * stored.record.lease_ms

    return all_of(
        patch(observer.Observer, "on_fence", saw_fence),
        patch(observer.Observer, "over", over),
    )


def _no_restart_after_gap() -> Any:
    def renewed_myself(self: Any, now: Instant) -> None:
        self.last_own_renewal = now

    return patch(observer.Observer, "on_own_renewal", renewed_myself)


def _depose_in_gap() -> Any:
    return all_of(patch(observer.Observer, "in_gap", lambda self, now: False), _no_restart_after_gap())


def _live_may_be_safe() -> Any:
    """A session that still is nodes/N is taken for safe when its lease is over here."""

    def holder_safe(view: Any, seen: Any, holder: Any, lease_counts: bool, now: Instant) -> Any:
        stored = ownership.session_of(view, holder)
        if stored is not None and lease_counts:
            sighting = seen.sightings.get(holder.node)
            if sighting and observer_elapsed(sighting.over_since, now) > 0.6 * stored.record.lease_ms:
                return ownership.Verdict(True, "silent")
        return original(view, seen, holder, lease_counts, now)

    original = ownership.holder_safe
    return patch(ownership, "holder_safe", holder_safe)


def _own_session_not_compared() -> Any:
    return patch(ownership.Writer, "guarded", lambda self, *more: (*more, self.identity))


def _start_on_a_read() -> Any:
    """Whoever reads of himself as owner starts, also after a promise to stop."""
    original = groups.bring_up

    def bring_up(state: NodeState, run: Any, observed: Any, out: Any) -> None:
        run.granted = observed.record.epoch
        original(state, run, observed, out)

    return patch(groups, "bring_up", bring_up)


def _start_on_offer() -> Any:
    """A handoff is not accepted by a write before things are started."""

    def accept(state: NodeState, run: Any, observed: Any, out: Any) -> None:
        run.granted = observed.record.epoch
        groups.bring_up(state, run, observed, out)

    return patch(groups, "accept", accept)


def _release_before_stop() -> Any:
    """A handoff is written while things still run."""
    original = groups.as_owner

    def as_owner(state: NodeState, run: Any, observed: Any, out: Any) -> None:
        spec = run.spec
        run.spec = replace(spec, overlap=False)
        stopped = type(run).stopped
        with mock.patch.object(type(run), "stopped", True):
            original(state, run, observed, out)
        del stopped
        run.spec = spec

    return patch(groups, "as_owner", as_owner)


def _end_at_once() -> Any:
    """A daemon whose guard died ends with everything running."""

    def end(state: NodeState, out: Any) -> None:
        state.phase = "gone"
        out.effects.append(effects.Exit(1, "the guard has died"))

    return patch(node, "_end_without_guard", end)


def _attest_running() -> Any:
    return all_of(patch(phases, "cleared", lambda state: True), _end_at_once())


def _one_holder_is_enough() -> Any:
    """After an overlap the other holder is not asked about."""

    def takeable(view: Any, seen: Any, group: str, lease_counts: bool, me: str, now: Instant) -> Any:
        observed = view.groups.get(group)
        if observed is not None and observed.record.holders:
            bare = observed._replace(record=replace(observed.record, holders=()))
            with mock.patch.dict(view.groups, {group: bare}):
                return original(view, seen, group, lease_counts, me, now)
        return original(view, seen, group, lease_counts, me, now)

    original = ownership.takeable
    return patch(ownership, "takeable", takeable)


def _no_identity() -> Any:
    """Neither the identity nor revisions that went back are looked at."""
    return all_of(
        patch(phases, "check_identity", _accept_any_identity),
        patch(phases, "went_back", lambda *args: False),
    )


def _accept_any_identity(state: NodeState, out: Any) -> None:
    identity = state.view.identity
    if identity is not None:
        state.identity = (identity.record.uuid, identity.record.generation)


def _renew_blind() -> Any:
    return patch(NodeState, "blind", lambda self, now: False)


def _no_probe() -> Any:
    return patch(ownership, "unprobed", lambda *args: ownership.Verdict(True, "nobody was asked"))


def _past_is_known() -> Any:
    return patch(ownership, "past_known", lambda *args: ownership.Verdict(True, ""))


def _epochs_from_one() -> Any:
    return all_of(
        patch(ownership, "next_epoch", lambda generation, previous, revision: previous + 1),
        patch(groups, "next_epoch", lambda generation, previous, revision: previous + 1),
    )


def _start_late() -> Any:
    """Things are started as long as the session is valid, not only until M before its end, and never stopped."""
    return all_of(
        patch(NodeState, "may_run", lambda self, now: self.session.state == "live"),
        _guard_asleep(),
    )


def _leftovers_wait() -> Any:
    return all_of(patch(groups, "clear_leftovers", lambda state, out: None), _end_at_once())


def _lease_for_required() -> Any:
    original = ownership.takeable

    def takeable(view: Any, seen: Any, group: str, lease_counts: bool, me: str, now: Instant) -> Any:
        return original(view, seen, group, True, me, now)

    return patch(ownership, "takeable", takeable)


def _foreign_owner_kept() -> Any:
    """What runs here goes on although another owns it."""
    return all_of(patch(groups, "as_other", lambda *args: None), patch(phases, "begin_again", _go_on))


def _go_on(state: NodeState, *, fast: bool | None = None) -> None:
    state.phase = "closing"
    state.session.state = "none"
    state.guard_ready = False


def _registration_not_counted() -> Any:
    """A resource that cannot be registered is asked for again at once."""

    def registered(state: NodeState, run: Any, name: str, ok: bool, problem: str, out: Any) -> None:
        run.registering.discard(name)
        if ok:
            run.registered.add(name)

    return patch(resources, "registered", registered)


def _never_given_back() -> Any:
    """The new owner of an overlap keeps what it cannot start."""
    return patch(overlap, "given_back", lambda *args: "")


def _given_back_running() -> Any:
    """What is given back is written before it is stopped."""
    original = groups._give_back

    def give_back(*args: Any) -> None:
        with mock.patch.object(LocalGroup, "stopped", True):
            original(*args)

    return patch(groups, "_give_back", give_back)


def _released_without_holders() -> Any:
    """What the new owner gives back is free for everybody, although the earlier one still runs it."""
    original = ownership.release

    def release(*args: Any, holders: Any = (), **more: Any) -> Any:
        return original(*args, **more)

    return patch(ownership, "release", release)


def _blocked_by_nobody() -> Any:
    """A node that takes itself down for a group does not look whether another has."""

    def block(state: NodeState, run: Any, resource: str, reason: str, out: Any) -> None:
        out.effects.append(effects.SelfFence(f"{run.spec.name}/{resource}: {reason}"))

    return patch(blocking, "block", block)


def _down_together() -> Any:
    """Nodes that cannot stop groups of their own go down at the same time."""
    return patch(blocking, "_goes_first", lambda *args: False)


def _started_though_blocked() -> Any:
    """Blocked, but taken all the same, and its block forgotten: the next one goes down, too."""
    original = ownership.acquire

    def acquire(writer: Any, group: str, *args: Any, also: Any = (), **more: Any) -> Any:
        kept = tuple(compare for compare in also if "/blocked/" not in compare.key)
        return original(writer, group, *args, also=kept, **more)._replace(
            success=(*original(writer, group, *args, also=kept, **more).success, Delete(writer.keys.blocked(group)))
        )

    return all_of(patch(blocking, "blocked", lambda *args: ""), patch(ownership, "acquire", acquire))


def _unknown_keeps_the_node_out() -> Any:
    """A node opens no session while it cannot tell the state of one resource."""
    return patch(LocalGroup, "barred", False)


def _unknown_counts_as_stopped() -> Any:
    """Whatever cannot be told counts as stopped, also where it was started."""
    return all_of(patch(LocalGroup, "started", False), _end_at_once())


def _nobody_fences_without_a_guard() -> Any:
    """A daemon whose guard has died, and that cannot stop everything, lets its lease end."""
    return patch(phases, "lease_ends", lambda *args: False)


ISOLATING = ("cut", "cut-answers", "cut-requests", "pause-daemon")

# fmt: off
MUTATIONS = [
    Mutation("validity counted from the answer", _valid_from_answer, ("cut-answers", "lag-watch"), ("G1",)),
    Mutation("attempt numbers used again", _repeated_attempts, ("store-slow", "cut-answers"), ("G1", "L1", "G5")),
    Mutation("validity of an adopted session from now", _no_guard_deadline, ("kill-daemon", "cut"), ("G1", "G5", "S1")),
    Mutation("a guard that does not act", _guard_asleep, ("pause-daemon", "kill-daemon", "cut"), ("G6", "S1", "S2")),
    Mutation("started before the guard knows", _start_unacknowledged, ("pause-daemon", "cut"), ("G6", "S1", "S2")),
    Mutation("no margin for clocks", _no_margin, ISOLATING, ("G5", "S1", "S2")),
    Mutation("any sighting counts", _any_revision, ISOLATING, ("G5", "S1", "S2")),
    Mutation("clocks go on over a gap", _no_restart_after_gap, ("store-away", "crash"), ("S4",)),
    Mutation("deposing in a gap", _depose_in_gap, ("store-away",), ("S4",)),
    Mutation("a live session may be safe", _live_may_be_safe, ISOLATING, ("S1", "S2")),
    Mutation("acquiring without a compare of the own session", _own_session_not_compared, (), ("G7",),
             script=late_acquire),
    Mutation("deposing without a compare of the own session", _own_session_not_compared, (), ("G4",),
             script=late_depose),
    Mutation("started on a read", _start_on_a_read, ("move-back", "cut-answers", "store-slow"), ("S1", "S3", "S2")),
    Mutation("started on an offer", _start_on_offer, ("move", "cut-requests", "cut-answers", "crash"),
             ("S1", "S3", "S2")),
    Mutation("released before stopped", _release_before_stop, ("move", "slow-stops"), ("S1", "S2"), overlap=False),
    Mutation("attested before stopped", _attest_running, ("kill-guard", "slow-stops", "kill-daemon", "cut"),
             ("G3", "S1", "S2")),
    Mutation("one holder of two is enough", _one_holder_is_enough, ("move", "crash", "cut"),
             ("S1", "S2"), overlap=True),
    Mutation("identity not looked at", _no_identity, ("store-wiped", "cut", "move"),
             ("S1", "S2", "S3", "G1", "L1", "J1")),
    Mutation("renewing while blind", _renew_blind, ("deaf-watch", "crash"), ("L1", "S1", "S2")),
    Mutation("first owner without asking", _no_probe, ("delete-key", "pause-daemon", "cut"), ("S1", "S2")),
    Mutation("the past is known after recover", _past_is_known, (), ("S1", "S2"), script=moved_since_the_backup),
    Mutation("epochs from one", _epochs_from_one, ("store-wiped", "delete-key", "move"), ("S3",)),
    Mutation("started and running without a limit", _start_late, ISOLATING, ("G6", "S1", "S2")),
    Mutation("leftovers wait for the store", _leftovers_wait, ("kill-guard", "cut"), ("S1", "S2")),
    Mutation("leases count where fencing is required", _lease_for_required, ("freeze-node",),
             ("S1", "S2"), required=True),
    Mutation("deposed, but going on", _foreign_owner_kept, ("pause-daemon", "cut", "delete-key"),
             ("S1", "S2", "G3", "G6")),
    Mutation("a failed registration not counted", _registration_not_counted, ("move", "crash"), ("B1",),
             broken=("register",)),
    Mutation("an overlap never given back", _never_given_back, ("move",), ("O1",), overlap=True,
             broken=("start", "hang", "register")),
    Mutation("given back while it runs", _given_back_running, ("move", "standby"), ("S1", "S2"), overlap=True,
             broken=("start",)),
    Mutation("given back to everybody", _released_without_holders, ("move", "crash", "cut"), ("S1", "S2"), overlap=True,
             broken=("start", "hang")),
    Mutation("a node goes down for a group again and again", _blocked_by_nobody,
             ("unstoppable", "move", "resource-dies"), ("F1",), self_fence=True),
    Mutation("blocked, but started elsewhere", _started_though_blocked,
             ("unstoppable", "move", "resource-dies"), ("F1",), self_fence=True),
    Mutation("two nodes go down at a time", _down_together, (), ("F1",), script=two_cannot_be_stopped),
    Mutation("one resource keeps its node out of the cluster", _unknown_keeps_the_node_out, ("crash",), ("J1",),
             broken=("probe",)),
    Mutation("what was started here counts as stopped when nobody can tell", _unknown_counts_as_stopped,
             ("untold", "kill-guard", "fence", "move"), ("G3", "S1", "S2")),
    Mutation("the end of the lease without a guard", _nobody_fences_without_a_guard, ("untold", "kill-guard"),
             ("S1", "S2", "G6")),
    *FENCING_MUTATIONS,
    *NAMESAKE_MUTATIONS,
    *READINESS_MUTATIONS,
    *UNREADABLE_MUTATIONS,
]
# fmt: on

__all__ = ["MUTATIONS", "Mutation", "Ownership", "Txn", "events"]
