"""The operator's requests to move a group that can never be carried out. Pure."""

from __future__ import annotations

from election.store import Compare, Delete, Txn
from hactl.decide.placement import Choice, place
from hactl.decide.state import NodeState, Out
from hactl.model.purposes import Purpose


def void_moves(state: NodeState, out: Out) -> None:
    """Delete requests that can never be carried out: the group has left the session it was to leave, or I own it and
    there is nowhere to go."""
    for group, move in state.view.moves.items():
        found, run = state.view.groups.get(group), state.runs.get(group)
        record, problem = move.record, ""
        if state.frozen(group) or state.view.bad_node(record.from_node):
            continue
        if found is None or (found.record.node, found.record.session_revision) != (
            record.from_node,
            record.from_session_revision,
        ):
            if record.from_node == state.node or record.from_node not in state.view.sessions:
                problem = "it is not where it was"
        elif found.record.holder == state.me and run and state.cluster:
            problem = _move_problem(place(state.cluster, run.spec, state.view), record.to, state.node)
        key = state.keys.move(group)
        if problem and not state.sending(Purpose.VOID_MOVE, name=group):
            txn = Txn(
                state.writer.guarded(Compare(key, "mod", move.mod_revision)), (Delete(key),), state.writer.reads(key)
            )
            out.send(Purpose.VOID_MOVE, txn, name=group)
            out.note("move_refused", group=group, to=record.to, reason=problem, id=record.id)


def _move_problem(choice: Choice, to: str, me: str) -> str:
    if to == me:
        return "it runs there already"
    if to:
        return "" if to in choice.candidates else f"{to}: {choice.excluded.get(to, 'no such node')}"
    return "" if choice.best_but(me) else "no other node may run it"
