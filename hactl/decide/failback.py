"""Going back to a better node (docs/placement.md, *Going back*). Pure."""

from __future__ import annotations

from hactl.decide.local_group import LocalGroup
from hactl.decide.placement.plan import Choice
from hactl.decide.readiness_in_step import ready_for_long
from hactl.decide.state import NodeState, Out


def better_node(state: NodeState, run: LocalGroup, choice: Choice, out: Out) -> str:
    """The node to which a group that runs here goes back; "": it stays."""
    placing = run.spec.placing
    if (
        placing.failback == "never"
        or not (run.running or run.leaving)
        or run.spec.name not in state.plan().rules.places
    ):
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
