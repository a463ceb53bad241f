"""Ownership without one of its rules: who takes a group, who starts it and who goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

from election import ownership
from election.clock import Instant
from hactl.decide import groups, phases
from hactl.decide.state import NodeState
from tests.simulation.mutations.mutation import Mutation, all_of, patch
from tests.simulation.scripts import late_acquire, late_depose, moved_since_the_backup


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


def _no_probe() -> Any:
    return patch(ownership, "unprobed", lambda *args: ownership.Verdict(True, "nobody was asked"))


def _past_is_known() -> Any:
    return patch(ownership, "past_known", lambda *args: ownership.Verdict(True, ""))


def _epochs_from_one() -> Any:
    return all_of(
        patch(ownership, "next_epoch", lambda generation, previous, revision: previous + 1),
        patch(groups, "next_epoch", lambda generation, previous, revision: previous + 1),
    )


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


# fmt: off
MUTATIONS = [
    Mutation("acquiring without a compare of the own session", _own_session_not_compared, (), ("G7",),
             script=late_acquire),
    Mutation("deposing without a compare of the own session", _own_session_not_compared, (), ("G4",),
             script=late_depose),
    Mutation("started on a read", _start_on_a_read, ("move-back", "cut-answers", "store-slow"), ("S1", "S3", "S2")),
    Mutation("started on an offer", _start_on_offer, ("move", "cut-requests", "cut-answers", "crash"),
             ("S1", "S3", "S2")),
    Mutation("released before stopped", _release_before_stop, ("move", "slow-stops"), ("S1", "S2"), overlap=False),
    Mutation("identity not looked at", _no_identity, ("store-wiped", "cut", "move"),
             ("S1", "S2", "S3", "G1", "L1", "J1")),
    Mutation("first owner without asking", _no_probe, ("delete-key", "pause-daemon", "cut"), ("S1", "S2")),
    Mutation("the past is known after recover", _past_is_known, (), ("S1", "S2"), script=moved_since_the_backup),
    Mutation("epochs from one", _epochs_from_one, ("store-wiped", "delete-key", "move"), ("S3",)),
    Mutation("leases count where fencing is required", _lease_for_required, ("freeze-node",),
             ("S1", "S2"), required=True),
    Mutation("deposed, but going on", _foreign_owner_kept, ("pause-daemon", "cut", "delete-key"),
             ("S1", "S2", "G3", "G6")),
]
# fmt: on
