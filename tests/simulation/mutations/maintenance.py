"""Maintenance without one of its rules: what is left alone, and who may take it afterwards."""

from __future__ import annotations

from typing import Any

from election import ownership
from hactl.decide import acquiring, phases, unmanaged
from tests.simulation.mutations.mutation import Mutation, all_of, patch
from tests.simulation.scripts import left_alone_and_cut_off


def _taken_by_lease() -> Any:
    """A lease that is over, or a session that was closed, says that what was left alone is stopped."""
    original = ownership.takeable

    def takeable(view: Any, observer: Any, group: str, lease_counts: bool, me: str, now: Any) -> Any:
        observed = view.groups.get(group)
        if observed is not None and observed.record.state == "unmanaged":
            return ownership.holder_safe(view, observer, observed.record.holder, lease_counts, now)
        return original(view, observer, group, lease_counts, me, now)

    return patch(ownership, "takeable", takeable)


def _self_stop_is_enough() -> Any:
    """A node's word that it has stopped everything of its session counts for what it left alone, too."""
    return patch(ownership, "MACHINE_STOPPED", frozenset({"off", "reboot", "confirmed", "self-stop", "watchdog"}))


def _stopped_with_the_session() -> Any:
    """A node that lost its session stops everything, also what is left alone."""
    return patch(phases, "rests", lambda state, run: False)


def _guard_not_asked() -> Any:
    """What is found running is taken again, and the guard does not hear of it."""
    return all_of(*(patch(module, "register_running", lambda *args: True) for module in (unmanaged, acquiring)))


def _never_started() -> Any:
    """What was left alone counts as never started here: where its state cannot be told, it counts as stopped."""
    original = unmanaged.let_go

    def let_go(run: Any, out: Any) -> None:
        original(run, out)
        run.leftover = False

    return patch(unmanaged, "let_go", let_go)


# fmt: off
MUTATIONS = [
    Mutation("what was left alone is taken by lease", _taken_by_lease, (), ("S1", "S2"),
             script=left_alone_and_cut_off),
    Mutation("self-stop is evidence for what was left alone", _self_stop_is_enough,
             ("maintenance", "cut", "kill-guard", "terminate"), ("S1", "S2")),
    Mutation("a new session stops what is left alone", _stopped_with_the_session,
             ("maintenance", "store-away", "cut"), ("M1",)),
    Mutation("what was left alone was never started", _never_started, ("maintenance", "untold"), ("S1", "S2")),
    Mutation("taken again without the guard", _guard_not_asked, ("maintenance", "pause-daemon"), ("S1", "S2")),
]
# fmt: on
