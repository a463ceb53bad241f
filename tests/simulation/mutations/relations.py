"""Related groups without one of their rules."""

from __future__ import annotations

from typing import Any

from hactl.decide import beside, ordering
from hactl.decide.placement.board import Board
from tests.simulation.mutations.mutation import Mutation, patch


def _taken_at_once() -> Any:
    """A node takes a group as soon as placement names it, whatever else is there still."""
    return patch(beside, "not_yet", lambda state, run: "")


def _starts_at_once() -> Any:
    return patch(ordering, "waits_for", lambda state, run, now: "")


def _never_apart() -> Any:
    """Placement knows of no relation."""
    return patch(Board, "unrelated", lambda self, name, node: "")


_FAULTS = ("move", "standby", "crash", "kill-daemon", "resource-dies")

MUTATIONS = (
    Mutation("taken at once", _taken_at_once, _FAULTS, ("P1", "P2"), related=True, overlap=False),
    Mutation("started before what it runs after", _starts_at_once, (*_FAULTS, "readiness"), ("P3",), related=True),
    Mutation("placement knows of no relation", _never_apart, _FAULTS, ("P1", "P2", "L1"), related=True),
)  # fmt: skip
