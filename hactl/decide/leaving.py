"""Whether, and to whom, a group leaves the node that has it (docs/protocol.md, *Planned moves*). Pure."""

from __future__ import annotations

from typing import NamedTuple

from election.records import Holder, Ownership
from hactl.decide import failback, planned, promotion, readiness_in_step, wandering
from hactl.decide.local_group import LocalGroup
from hactl.decide.placement.plan import Choice
from hactl.decide.state import NodeState, Out


class Release(NamedTuple):
    """The group is to leave this node: to a session, or (None) to nobody in particular. `failed`: for its failures."""

    to: Holder | None
    reason: str
    failed: bool = False


def leaving(state: NodeState, run: LocalGroup, own: Ownership, out: Out) -> Release | None:
    """The release of a group that this node owns. None: it stays."""
    if own.holders:
        return None  # an overlap comes to its end first
    if state.cluster is None or state.cluster.exclusive_group(run.spec.name) is None:
        return Release(None, "taken out of the configuration")
    if reason := planned.off(state.view, run.spec):
        return Release(None, reason)
    choice = state.choice(run.spec.name)
    if (release := _asked_for(state, run, choice)) is not None:
        return release
    if reason := promotion.lost(run, own):
        return Release(None, reason)
    if state.view.bad_node(state.node) is not None:
        return None  # written over, and about to be written anew: no reason to leave
    return _driven_away(state, run, choice, out) or _better_off(state, run, choice, out)


def _asked_for(state: NodeState, run: LocalGroup, choice: Choice) -> Release | None:
    """The node ends, or an operator has requested a move."""
    best = choice.best_but(state.node)
    if state.phase == "ending":
        return Release(_session(state, best), "shutdown")
    move = state.view.moves.get(run.spec.name)
    here = (state.node, state.session.session_revision)
    if move is None or (move.record.from_node, move.record.from_session_revision) != here:
        return None
    to = move.record.to if move.record.to in choice.candidates else "" if move.record.to else best
    if not to or to == state.node:
        return None
    return Release(_session(state, to), f"moved by {move.record.by or 'the operator'}")


def _driven_away(state: NodeState, run: LocalGroup, choice: Choice, out: Out) -> Release | None:
    """It may not run here, or another node is where it runs with all others. Where that is for its failures, it may be
    held all the same."""
    best = choice.best_but(state.node)
    reason = choice.excluded.get(state.node, "")
    failed = reason != "" and wandering.failed_here(state, run)
    if failed and best is not None and wandering.stays(state, run, out):
        return None
    if best is not None and (reason or choice.target != state.node):
        return Release(_session(state, best), reason or f"{best} is where it runs with all others", failed)
    return Release(None, reason) if reason and state.node in choice.stops else None


def _better_off(state: NodeState, run: LocalGroup, choice: Choice, out: Out) -> Release | None:
    """It may stay, but this node is poor, or another one is better for it."""
    if better := readiness_in_step.better_node(state, run.spec.name, choice, out):
        return Release(_session(state, better), f"{state.node}: {state.readiness[run.spec.name].poor_because}")
    if better := failback.better_node(state, run, choice, out):
        return Release(_session(state, better), f"{better} is better for it")
    return None


def _session(state: NodeState, node: str | None) -> Holder | None:
    session = state.view.sessions.get(node) if node else None
    return Holder(node, session.record.session_id, session.create_revision) if node and session else None
