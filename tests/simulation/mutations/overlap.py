"""Groups with `overlap: true` without one of their rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

from election import ownership
from election.clock import Instant
from hactl.decide import groups, overlap
from hactl.decide.local_group import LocalGroup
from tests.simulation.mutations.mutation import Mutation, patch


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


# fmt: off
MUTATIONS = [
    Mutation("one holder of two is enough", _one_holder_is_enough, ("move", "crash", "cut"),
             ("S1", "S2"), overlap=True),
    Mutation("an overlap never given back", _never_given_back, ("move",), ("O1",), overlap=True,
             broken=("start", "hang", "register")),
    Mutation("given back while it runs", _given_back_running, ("move", "standby"), ("S1", "S2"), overlap=True,
             broken=("start",)),
    Mutation("given back to everybody", _released_without_holders, ("move", "crash", "cut"), ("S1", "S2"), overlap=True,
             broken=("start", "hang")),
]
# fmt: on
