"""Looks at the groups that a step passes over (hactl.decide.settled): nothing may come of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from copy import copy
from dataclasses import fields

from hactl.decide import groups, settled
from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState, Out
from tests.simulation.checks import Violation


@contextlib.contextmanager
def looked_at() -> Iterator[None]:
    """In this context they are looked at, and nothing is passed over."""
    passed_over = settled.passed_over

    def look(state: NodeState, run: LocalGroup, ground: settled.Ground) -> bool:
        if passed_over(state, run, ground):
            assert state.decided_at is not None
            before, out = _copy(run), Out(state, state.decided_at)
            groups.step_group(state, run, out)
            if out.effects or run != before:
                text = f"{run.spec.name} on {state.node} was passed over: {out.effects}, {before} then {run}"
                raise Violation("settled", text)
        return False

    settled.passed_over = look
    try:
        yield
    finally:
        settled.passed_over = passed_over


def _copy(run: LocalGroup) -> LocalGroup:
    """With its own containers."""
    copied = copy(run)
    for each in fields(run):
        if isinstance(value := getattr(run, each.name), dict | set):
            setattr(copied, each.name, value.copy())
    return copied
