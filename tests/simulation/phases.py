"""Hears of every phase that a simulated node enters, and holds it against the table."""

from __future__ import annotations

from hactl.decide import phase_table
from hactl.decide.phase_table import PHASES
from hactl.decide.state import NodeState, Phase

_taken: list[tuple[Phase, Phase]] = []
_enter = phase_table.enter


def _watched(state: NodeState, phase: Phase, *, fast: bool | None = None) -> None:
    _taken.append((state.phase, phase))
    _enter(state, phase, fast=fast)


phase_table.enter = _watched


def forbidden() -> list[str]:
    """The ways taken since the last call that the table does not have."""
    taken = [f"{before} to {after}" for before, after in _taken if after not in PHASES[before].next]
    _taken.clear()
    return taken
