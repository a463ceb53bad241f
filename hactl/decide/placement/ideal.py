"""Whether there is a place for every group while all nodes are well. Pure."""

from __future__ import annotations

from hactl.decide.placement.board import Board
from hactl.decide.placement.costs import Candidate, Wanted
from hactl.decide.placement.instances import never
from hactl.decide.placement.plan import place_all
from hactl.decide.placement.rules import Rules, rules_of
from hactl.model.cluster import ClusterSpec


def no_place(cluster: ClusterSpec) -> dict[str, dict[str, str]]:
    """The groups that could run nowhere although every node is well, with the reason for each node. A group that does
    not run since another one does not (`together_with`) is left out where that one is named."""
    rules, wanted = _well(cluster)
    targets, _ = place_all(rules, wanted, {})
    board = Board(rules, targets)
    problems: dict[str, dict[str, str]] = {}
    for name, group in wanted.items():
        leaders = [relation.group for relation in rules.together.get(name, ()) if relation.must]
        if name in targets or any(leader not in targets for leader in leaders):
            continue
        reasons = {**never(rules, name), **dict(rules.places[name].excluded)}
        reasons |= {candidate.node: board.forbids(name, candidate.node) for candidate in group.candidates}
        problems[name] = reasons
    return problems


def places(cluster: ClusterSpec) -> dict[str, str]:
    """A node for each group that can run, while every node is well."""
    return place_all(*_well(cluster), {})[0]


def _well(cluster: ClusterSpec) -> tuple[Rules, dict[str, Wanted]]:
    rules = rules_of(cluster)
    wanted = {
        name: Wanted(
            name,
            _candidates(rules, name),
            priority=group.placing.priority,
        )
        for name, group in rules.groups.items()
    }
    return rules, wanted


def _candidates(rules: Rules, name: str) -> tuple[Candidate, ...]:
    out = never(rules, name)
    allowed = (place for place in rules.places[name].allowed if place.node not in out)
    return tuple(Candidate(place.node, 0, place.disliked, place.loss) for place in allowed)
