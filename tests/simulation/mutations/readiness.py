"""Placement without one of the rules of readiness."""

from __future__ import annotations

from typing import Any

from hactl.decide.placement import eligible
from hactl.decide.readiness import Sighting, reported
from tests.simulation.mutations.mutation import Mutation, patch


def _poor_excluded() -> Any:
    """A node that is poor is not chosen: where all are, the group runs nowhere."""
    original = eligible.not_well

    def not_well(group: str, node: str, view: Any) -> str:
        standing = reported(view, group, node)
        return original(group, node, view) or (standing.why if standing.level == "poor" else "")

    return patch(eligible, "not_well", not_well)


def _unfit_chosen() -> Any:
    return patch(eligible, "_runs_well", lambda view, group, node: True)


def _leaves_at_once() -> Any:
    return patch(Sighting, "lasted", lambda self, level, settle, now: self.level == level)


def _leaves_for_anybody() -> Any:
    original = Sighting.lasted
    return patch(
        Sighting, "lasted", lambda self, level, settle, now: level == "ready" or original(self, level, settle, now)
    )


_FAULTS = ("readiness", "readiness-flaps")

MUTATIONS = (
    Mutation("poor nodes are not chosen", _poor_excluded, (*_FAULTS, "crash"), ("L1",)),
    Mutation("unfit nodes are chosen", _unfit_chosen, (*_FAULTS, "crash", "standby"), ("R3",)),
    Mutation("a group leaves a poor node at once", _leaves_at_once, _FAULTS, ("R2",)),
    Mutation("a group leaves a poor node for any", _leaves_for_anybody, _FAULTS, ("R1",)),
)
