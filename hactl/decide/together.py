"""Which resources of a group start, and stop, at the same time. Pure.

A group starts its resources one after another: each may need those before it. Addresses that stand next to each other
do not need one another: they start together, and stop together, so that a hundred of them take little longer than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hactl.decide.local_group import LocalGroup
from hactl.decide.state import Out
from hactl.model.resources import ResourceSpec, VipSpec


def together(resources: Sequence[ResourceSpec], index: int) -> range:
    """The indices of those that start and stop together with the one at `index`, itself included."""
    first = last = index
    if isinstance(resources[index], VipSpec):
        while first > 0 and isinstance(resources[first - 1], VipSpec):
            first -= 1
        while last + 1 < len(resources) and isinstance(resources[last + 1], VipSpec):
            last += 1
    return range(first, last + 1)


def up(run: LocalGroup, indices: Iterable[int]) -> list[int]:
    """Those of them that are not stopped."""
    return [index for index in indices if run.health[run.spec.resources[index].name] != "stopped"]


def stop_next(run: LocalGroup, indices: Sequence[int]) -> list[int]:
    """Which of these, that are up, are to stop next: the last one, and with it those that stop together with it. One
    at a time where stopping has failed, so that it is known which one fails."""
    if not indices or run.stop_failed:
        return list(indices[-1:])
    with_it = together(run.spec.resources, indices[-1])
    return [index for index in indices if index in with_it]


def begins_next(run: LocalGroup, first: int, out: Out) -> list[int]:
    """Which resources start next on the way up, where the resource `first` is the first one that does not run. Empty:
    something is stopped before that, of what comes after them, else of themselves."""
    resources = run.spec.resources
    starting = together(resources, first)
    beginning = [index for index in starting if run.health[resources[index].name] != "running"]
    later = up(run, range(starting.stop, len(resources)))
    going = stop_next(run, later or up(run, beginning))
    for index in going:
        out.act(run, index, "kill" if run.stop_failed else "stop")
    return [] if going else beginning
