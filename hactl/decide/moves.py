"""The operator's requests to move a group that can never be carried out. Pure."""

from __future__ import annotations

from hactl.decide.placement.plan import Choice
from hactl.decide.state import NodeState, Out
from hactl.model.purposes import Purpose


def void_moves(state: NodeState, out: Out) -> None:
    """Delete requests that can never be carried out: the group has left the session it was to leave, or I own it and
    there is nowhere to go."""
    for group, move in state.view.moves.items():
        ownership, run = state.view.groups.get(group), state.runs.get(group)
        record, problem = move.record, ""
        if state.frozen(group) or state.view.bad_node(record.from_node):
            continue
        source = (record.from_node, record.from_session_revision)
        if ownership is None or (ownership.record.node, ownership.record.session_revision) != source:
            if record.from_node == state.node or record.from_node not in state.view.sessions:
                problem = "it is not where it was"
        elif ownership.record.holder == state.me and run and state.cluster:
            problem = _move_problem(state.choice(group), record.to, state.node)
        if problem and not state.sending(Purpose.VOID_MOVE, name=group):
            out.send(Purpose.VOID_MOVE, state.writer.delete(state.keys.move(group), move.mod_revision), name=group)
            out.note("move_refused", group=group, to=record.to, reason=problem, id=record.id)


def _move_problem(choice: Choice, to: str, me: str) -> str:
    if to == me:
        return "it runs there already"
    if to:
        return "" if to in choice.candidates else f"{to}: {choice.excluded.get(to, 'no such node')}"
    return "" if choice.best_but(me) else "no other node may run it"
