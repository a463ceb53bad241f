"""A group that wanders is held: flap damping (docs/monitoring.md). Pure.

A group that fails on every node would go round the cluster without end, and take its clients along. So each move that a
failure caused is marked in the store. An owner whose group was moved `moves_limit` times within `moves_window` keeps it
the next time: it is *held*, restarted in place with the longest wait, until an operator says that it is repaired, or it
has run well for `moves_window`. Not before it could have been tried on each of its nodes, however low `moves_limit` is.

The end of a mark's time is nobody's write, and placement reads none of this: the owner alone counts, by its own clock,
from when it first saw each mark. A node that has just begun counts from then: it holds a group rather too soon.
"""

from __future__ import annotations

from election.clock import owner_elapsed
from election.records import Flapping
from election.store import Compare, Delete, Put, Txn
from hactl.decide.local_group import LocalGroup
from hactl.decide.planned import kept_off
from hactl.decide.state import NodeState, Out
from hactl.model.purposes import Purpose


def see_marks(state: NodeState, out: Out) -> None:
    """Note since when each mark is known."""
    known = {(group, mark) for group, stored in state.view.flapping.items() for mark in stored.record.moves}
    for mark in state.marks_since.keys() - known:
        del state.marks_since[mark]
    for mark in known:
        state.marks_since.setdefault(mark, out.now)


def held(state: NodeState, group: str) -> bool:
    """Whether the group is held on this node."""
    stored = state.view.flapping.get(group)
    return stored is not None and stored.record.held == state.node


def failed_here(state: NodeState, run: LocalGroup) -> bool:
    """Whether it is for its failures that the group may not run on this node."""
    name, places = run.spec.name, run.spec.nodes
    failed = f"{name}/{state.node}" in state.view.failures
    return failed and not kept_off(state.view, name, state.node) and (not places or state.node in places)


def stays(state: NodeState, run: LocalGroup, out: Out) -> bool:
    """Whether a group that is to leave this node for its failures stays all the same: it is held, or is about to be."""
    name = run.spec.name
    if held(state, name) or state.sending(Purpose.HOLD, name=name):
        return True
    recent = _recent(state, run, out)
    places = len(run.spec.nodes or (state.cluster.nodes if state.cluster else ()))
    if len(recent) < max(run.spec.moves_limit, places - 1):
        return False
    record = Flapping(recent, state.node, run.failure[:300])
    out.send(Purpose.HOLD, _write(state, name, Put(state.keys.flapping(name), record.to_json())), name=name)
    out.note("group_held", group=name, moves=len(recent), reason=run.failure)
    return True


def marked(state: NodeState, run: LocalGroup, move: Txn, epoch: int, out: Out) -> Txn:
    """The handoff `move` to the ownership `epoch`, and the mark that a failure caused it."""
    name = run.spec.name
    record = Flapping((*_recent(state, run, out), epoch))
    mark = _write(state, name, Put(state.keys.flapping(name), record.to_json()))
    return Txn((*move.compares, mark.compares[-1]), (*move.success, *mark.success), (*move.failure, mark.failure[0]))


def calm(state: NodeState, run: LocalGroup, out: Out) -> None:
    """A group that has run well for long enough does not wander any more: the marks go, and it is not held."""
    name = run.spec.name
    if name not in state.view.flapping or run.since_running is None or state.sending(Purpose.HOLD, name=name):
        return
    if owner_elapsed(run.since_running, out.now) >= run.spec.moves_window_ms:
        if held(state, name):
            out.note("group_not_held", group=name)
        out.send(Purpose.HOLD, _write(state, name, Delete(state.keys.flapping(name))), name=name)


def _recent(state: NodeState, run: LocalGroup, out: Out) -> tuple[int, ...]:
    """The marks whose time is not over."""
    name = run.spec.name
    stored = state.view.flapping.get(name)
    return tuple(
        mark
        for mark in (stored.record.moves if stored else ())
        if owner_elapsed(state.marks_since.get((name, mark), out.now), out.now) < run.spec.moves_window_ms
    )


def _write(state: NodeState, group: str, operation: Put | Delete) -> Txn:
    """If nothing else was written of it, by an operator, say; and I am still alive."""
    key = state.keys.flapping(group)
    as_seen = Compare(key, "mod", state.view.mod_of(key))
    return Txn((*state.writer.guarded(), as_seen), (operation,), state.writer.reads(key))
