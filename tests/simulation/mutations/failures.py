"""What fails, without one of the rules about it: registrations, stops, resources that nobody can tell about."""

from __future__ import annotations

from typing import Any

from election import ownership
from election.store import Delete
from hactl.decide import blocking, resources
from hactl.decide.local_group import LocalGroup
from hactl.decide.state import NodeState
from hactl.model import effects
from tests.simulation.mutations.mutation import Mutation, all_of, patch
from tests.simulation.scripts import cannot_be_stopped_and_fenced, two_cannot_be_stopped


def _registration_not_counted() -> Any:
    """A resource that cannot be registered is asked for again at once."""

    def registered(state: NodeState, run: Any, name: str, ok: bool, problem: str, out: Any) -> None:
        run.registering.discard(name)
        if ok:
            run.registered.add(name)

    return patch(resources, "registered", registered)


def _blocked_by_nobody() -> Any:
    """A node that takes itself down for a group does not look whether another has."""

    def block(state: NodeState, run: Any, resource: str, reason: str, out: Any) -> None:
        out.effects.append(effects.SelfFence(f"{run.spec.name}/{resource}: {reason}"))

    return patch(blocking, "block", block)


def _down_together() -> Any:
    """Nodes that cannot stop groups of their own go down at the same time."""
    return patch(blocking, "_goes_first", lambda *args: False)


def _started_though_blocked() -> Any:
    """Blocked, but taken all the same, and its block forgotten: the next one goes down, too."""
    original = ownership.acquire

    def acquire(writer: Any, group: str, *args: Any, also: Any = (), **more: Any) -> Any:
        kept = tuple(compare for compare in also if "/blocked/" not in compare.key)
        return original(writer, group, *args, also=kept, **more)._replace(
            success=(*original(writer, group, *args, also=kept, **more).success, Delete(writer.keys.blocked(group)))
        )

    return all_of(patch(blocking, "blocked", lambda *args: ""), patch(ownership, "acquire", acquire))


def _fenced_again_and_again() -> Any:
    """A node has itself fenced for a group though another has been, and nobody has repaired it."""
    original = blocking.block

    def block(state: NodeState, run: Any, resource: str, reason: str, out: Any) -> None:
        known = state.view.blocks.get(run.spec.name)
        if known is not None and known.record.session_id != state.session.session_id:
            blocking._ask_to_be_fenced(state, run.spec.name, known.record, out)
        else:
            original(state, run, resource, reason, out)

    return patch(blocking, "block", block)


def _unknown_keeps_the_node_out() -> Any:
    """A node opens no session while it cannot tell the state of one resource."""
    return patch(LocalGroup, "barred", False)


# fmt: off
MUTATIONS = [
    Mutation("a failed registration not counted", _registration_not_counted, ("move", "crash"), ("B1",),
             broken=("register",)),
    Mutation("a node goes down for a group again and again", _blocked_by_nobody,
             ("unstoppable", "move", "resource-dies"), ("F1",), self_fence=True),
    Mutation("blocked, but started elsewhere", _started_though_blocked,
             ("unstoppable", "move", "resource-dies"), ("F1",), self_fence=True),
    Mutation("two nodes go down at a time", _down_together, (), ("F1",), script=two_cannot_be_stopped),
    Mutation("fenced for a group again and again", _fenced_again_and_again, (), ("F1",),
             script=cannot_be_stopped_and_fenced),
    Mutation("one resource keeps its node out of the cluster", _unknown_keeps_the_node_out, ("crash",), ("J1",),
             broken=("probe",)),
]
# fmt: on
