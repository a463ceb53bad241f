"""A mutation: the product without one of its rules, and what brings that out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from tests.simulation.plan import Focus, Plan, make_plan

# Faults that part a node from the store, or its daemon from time.
ISOLATING = ("cut", "cut-answers", "cut-requests", "pause-daemon")


@dataclass(frozen=True)
class Mutation:
    """`faults`: the kinds that bring it out; `caught_by`: any of these invariants; `overlap`, `required`,
    `devices`, `broken`, `self_fence`, `related`, `promoted`: see Focus; `script`: the schedules, where chance is too
    rare."""

    name: str
    patch: Callable[[], Any]
    faults: tuple[str, ...]
    caught_by: tuple[str, ...]
    overlap: bool | None = None
    required: bool | None = None
    script: Callable[[int], Plan] | None = None
    devices: bool | None = None
    broken: tuple[str, ...] = ()
    self_fence: bool | None = None
    related: bool = False
    promoted: bool = False

    def plan(self, seed: int) -> Plan:
        """A schedule that may bring it out."""
        if self.script is not None:
            return self.script(seed)
        focus = Focus(
            self.faults, self.overlap, self.required, self.devices, self.broken, self.self_fence, self.related,
            self.promoted,
        )  # fmt: skip
        return make_plan(seed, focus=focus)


def patch(target: Any, name: str, value: Any) -> Any:
    """`target.name` replaced for a while."""
    return mock.patch.object(target, name, value)


@contextlib.contextmanager
def all_of(*patches: Any) -> Iterator[None]:
    """Several patches at once."""
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield
