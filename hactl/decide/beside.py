"""What a group's relations to others ask of the node that takes it (docs/placement.md, *How it is kept*). Pure.

Placement says where groups should run, from what everybody knows. Groups get there one after the other: a node takes a
group only when, by what it knows of itself, the others that matter are where they have to be. So no must is broken on
the way either.
"""

from __future__ import annotations

from election.store import Compare
from hactl.decide.local_group import LocalGroup
from hactl.decide.placement.board import Board
from hactl.decide.state import NodeState


def not_yet(state: NodeState, run: LocalGroup) -> str:
    """Why this node may not take the group now for the sake of other groups; empty: it may."""
    if state.cluster is None:
        return ""
    name, rules = run.spec.name, state.plan().rules
    if not (name in rules.needs or name in rules.related):
        return ""
    board = Board(rules, {other: state.node for other in rules.groups if other != name and _is_here(state, other)})
    for leader in _leaders(state, name):
        here = state.runs.get(leader)
        if state.role(leader) != "owner" or here is None or here.txn:
            return f"it runs where {leader} does, which is not here yet"
    return board.forbids(name, state.node)


def never_here(state: NodeState, run: LocalGroup) -> str:
    """Why a group that was handed to this node is not to run here, where the other groups are to be; empty: it is, or
    that is for other reasons."""
    if state.cluster is None or run.spec.name not in state.plan().rules.related:
        return ""
    choice = state.choice(run.spec.name)
    return choice.excluded.get(state.node, "") if state.node in choice.stops else ""


def compares(state: NodeState, name: str) -> tuple[Compare, ...]:
    """For the transaction that takes the group: those with which it must run are still here."""
    keys = [state.keys.group(leader) for leader in _leaders(state, name)]
    return tuple(Compare(key, "mod", state.view.mod_of(key)) for key in keys)


def _leaders(state: NodeState, name: str) -> list[str]:
    if state.cluster is None:
        return []
    return [relation.group for relation in state.plan().rules.together.get(name, ()) if relation.must]


def _is_here(state: NodeState, name: str) -> bool:
    """Whether something of the group is, or may come to be, on this node."""
    run = state.runs.get(name)
    if run is None:
        return False
    settled = run.stopped or run.barred or (run.untouched and not run.acting)
    return state.role(name) in ("owner", "holder") or bool(run.txn) or not settled
