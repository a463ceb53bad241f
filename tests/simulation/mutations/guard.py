"""The guard without one of its rules, and what runs only while the guard and the lease are there."""

from __future__ import annotations

from typing import Any

from election.clock import Instant
from fencing.guard import state as guard_state
from hactl.decide import groups, node, phases
from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState
from hactl.model import effects
from tests.simulation.mutations.mutation import ISOLATING, Mutation, all_of, patch


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


def _end_at_once() -> Any:
    """A daemon whose guard died ends with everything running."""

    def end(state: NodeState, out: Any) -> None:
        state.phase = "gone"
        out.effects.append(effects.Exit(1, "the guard has died"))

    return patch(node, "_end_without_guard", end)


def _attest_running() -> Any:
    return all_of(patch(phases, "cleared", lambda state: True), _end_at_once())


def _start_late() -> Any:
    """Things are started as long as the session is valid, not only until M before its end, and never stopped."""
    return all_of(
        patch(NodeState, "may_run", lambda self, now: self.session.state == "live"),
        _guard_asleep(),
    )


def _leftovers_wait() -> Any:
    return all_of(patch(groups, "clear_leftovers", lambda state, out: None), _end_at_once())


def _unknown_counts_as_stopped() -> Any:
    """Whatever cannot be told counts as stopped, also where it was started."""
    return all_of(patch(LocalGroup, "started", False), _end_at_once())


def _nobody_fences_without_a_guard() -> Any:
    """A daemon whose guard has died, and that cannot stop everything, lets its lease end."""
    return patch(phases, "lease_ends", lambda *args: False)


# fmt: off
MUTATIONS = [
    Mutation("a guard that does not act", _guard_asleep, ("pause-daemon", "kill-daemon", "cut"), ("G6", "S1", "S2")),
    Mutation("started before the guard knows", _start_unacknowledged, ("pause-daemon", "cut"), ("G6", "S1", "S2")),
    Mutation("attested before stopped", _attest_running, ("kill-guard", "slow-stops", "kill-daemon", "cut"),
             ("G3", "S1", "S2")),
    Mutation("started and running without a limit", _start_late, ISOLATING, ("G6", "S1", "S2")),
    Mutation("leftovers wait for the store", _leftovers_wait, ("kill-guard", "cut"), ("S1", "S2")),
    Mutation("what was started here counts as stopped when nobody can tell", _unknown_counts_as_stopped,
             ("untold", "kill-guard", "fence", "move"), ("G3", "S1", "S2")),
    Mutation("the end of the lease without a guard", _nobody_fences_without_a_guard, ("untold", "kill-guard"),
             ("S1", "S2", "G6")),
]
# fmt: on
