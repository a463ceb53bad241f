"""Going back to a better node (docs/placement.md, *Going back*). Pure."""

from __future__ import annotations

from hactl.decide.local_group import LocalGroup
from hactl.decide.placement.plan import Choice
from hactl.decide.placement.time_window import window
from hactl.decide.readiness_in_step import ready_for_long
from hactl.decide.state import NodeState, Out


def better_node(state: NodeState, run: LocalGroup, choice: Choice, out: Out) -> str:
    """The node to which a group that runs here goes back; "": it stays."""
    placing = run.spec.placing
    active = run.running or run.leaving
    if not (active and _may_go_now(state, run, out) and run.spec.name in state.plan().rules.places):
        return ""
    places = {place.node: place for place in state.plan().places(run.spec.name).allowed}
    mine = places.get(state.node)
    if mine is None:
        return ""
    better = [
        places[node]
        for node in choice.candidates
        if node in places
        and (places[node].disliked, places[node].loss + placing.stickiness) < (mine.disliked, mine.loss)
        and ready_for_long(state, run.spec.name, node, out)
    ]
    return min(better, key=lambda place: (place.disliked, place.loss)).node if better else ""


def _may_go_now(state: NodeState, run: LocalGroup, out: Out) -> bool:
    """Whether it may go back at all, at this time of the day. A move that has begun is not broken off by its end."""
    failback = run.spec.placing.failback
    times = window(failback)
    if times is None or run.leaving:
        return failback != "never"
    wall_ms = state.wall_ms(out.now)
    return wall_ms is not None and times.holds(wall_ms)
