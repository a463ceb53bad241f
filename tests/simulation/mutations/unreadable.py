"""Mutations of how what cannot be read is treated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from election import session, view
from election.clock import Instant
from election.records import FenceRecord, Ownership, RecordError, Session
from hactl.decide import groups, own_session
from hactl.decide.state import NodeState
from tests.simulation.mutations.mutation import Mutation, all_of, patch
from tests.simulation.plan import gentle_plan
from tests.simulation.scripts import fence_record_unreadable


def _counts_as(kind: str, instead: Callable[[str], Any]) -> Any:
    """What cannot be read of this kind is taken for something."""
    place = view._PLACES[kind]

    def parse(text: str, key: str) -> Any:
        try:
            return place.parse(text, key)
        except RecordError:
            return instead(key.rpartition("/")[2])

    return patch(view, "_PLACES", {**view._PLACES, kind: place._replace(parse=parse)})


def _ownership_counts_as_released() -> Any:
    return _counts_as("groups", lambda name: Ownership("n1", "", 0, 1, "released"))


def _session_counts_as_over() -> Any:
    return _counts_as("nodes", lambda name: Session("", "", "", 1, 0))


def _fence_record_counts_as_safe() -> Any:
    return _counts_as("fence", lambda name: FenceRecord("", 1 << 40, 0, 1, f"machine-{name}", "", "safe", "confirmed"))


def _session_counts_as_none() -> Any:
    """The owner itself sees no session of its own, and has its groups leave."""
    return patch(view.View, "bad_node", lambda self, node: None)


def _overwritten_is_deposed() -> Any:
    def overwritten(state: Any, bad: Any, now: Instant) -> None:
        if state.state == "live" and bad.mod_revision > state.mod_revision:
            state.state = "deposed"

    return all_of(patch(session, "overwritten", overwritten), patch(own_session, "overwritten", overwritten))


def _identity_counts_as_none() -> Any:
    return patch(NodeState, "held", "")


def _unowned_for_unreadable() -> Any:
    """A group that cannot be read is treated as one that somebody else has."""

    def frozen(state: Any, run: Any, reason: str, out: Any) -> None:
        groups.as_other(state, run, None, out)

    return patch(groups, "as_frozen", frozen)


# fmt: off
MUTATIONS = [
    Mutation("an unreadable ownership is released", _ownership_counts_as_released, (), ("S1", "S2", "U1"),
             script=gentle_plan),
    Mutation("an unreadable ownership is another's", _unowned_for_unreadable, (), ("U2",), script=gentle_plan),
    Mutation("an unreadable session is over", _session_counts_as_over, (), ("U1", "G5", "S1", "S2"),
             script=gentle_plan),
    Mutation("an unreadable session is none", _session_counts_as_none, (), ("U2",), script=gentle_plan),
    Mutation("an overwritten session is deposed", _overwritten_is_deposed, (), ("U2",), script=gentle_plan),
    Mutation("an unreadable identity is none", _identity_counts_as_none, (), ("U2",), script=gentle_plan),
    Mutation("an unreadable fence record is safe", _fence_record_counts_as_safe, (), ("U1", "S1", "S2", "S5"),
             script=fence_record_unreadable),
]
# fmt: on
