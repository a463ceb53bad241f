"""The protocol without one of its rules about copies of a node's disk."""

from __future__ import annotations

from typing import Any

from hactl.decide import namesake, node
from hactl.decide.state import NodeState
from hactl.model import events
from tests.simulation.mutations.mutation import Mutation, patch
from tests.simulation.scripts import (
    copy_of_a_frozen_node,
    copy_of_a_node_cut_off,
    copy_on_other_hardware,
    copy_that_saw_it_live,
    session_deleted_beside_a_copy,
)


def _quiet_is_dead() -> Any:
    """A session that did not move for S is attested, as if nobody but this machine could have held it."""

    def surely_over(state: NodeState, session: Any, record: Any, out: Any) -> bool:
        quiet = state.observer.silent_ms(state.node, out.now) >= state.timing.suspect_after_ms
        return session is None or quiet

    return patch(namesake, "surely_over", surely_over)


def _address_not_asked() -> Any:
    return patch(namesake, "_nobody_answers", lambda state, out: True)


def _any_machine() -> Any:
    """A machine id alone makes it this machine."""
    return patch(namesake, "differences", lambda mine, other: [])


def _moves_not_seen() -> Any:
    """A session that another machine renews is attested once it stands still."""
    return patch(namesake, "STRAY_WRITES", 1e9)


def _disowned_is_forgotten() -> Any:
    """The next daemon knows nothing of what the one before it saw."""
    original = node.new_state

    def new_state(keys: Any, boot: events.Boot) -> NodeState:
        return original(keys, boot._replace(disowned=()))

    return patch(node, "new_state", new_state)


def _opens_over_a_lost_session() -> Any:
    """A session that went without a record is as good as closed."""
    return patch(namesake, "unwritten_end", lambda state: None)


CAUGHT_BY = ("S1", "S2", "G3", "G5")

# fmt: off
MUTATIONS = [
    Mutation("a copy attests after a moment of silence", _quiet_is_dead, (), CAUGHT_BY, script=copy_of_a_node_cut_off),
    Mutation("a copy does not ask for its address", _address_not_asked, (), CAUGHT_BY, script=copy_of_a_frozen_node),
    Mutation("a copy on other hardware attests", _any_machine, (), CAUGHT_BY, script=copy_on_other_hardware),
    Mutation("a copy attests what it saw live", _moves_not_seen, (), CAUGHT_BY, script=copy_that_saw_it_live),
    Mutation("a copy forgets what it saw", _disowned_is_forgotten, (), CAUGHT_BY, script=copy_that_saw_it_live),
    Mutation("a copy opens over a session without a record", _opens_over_a_lost_session, (), CAUGHT_BY,
             script=session_deleted_beside_a_copy),
]
# fmt: on
