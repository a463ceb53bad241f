"""Every assignment of a small cluster, judged one by one: written from docs/placement.md, without the solver's code."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping

from hactl.decide.placement.costs import Wanted
from hactl.model.cluster import ClusterSpec, GroupSpec

At = Mapping[str, str]


def possible(cluster: ClusterSpec, wanted: Mapping[str, Wanted]) -> Iterator[dict[str, str]]:
    """All assignments that break no must."""
    names = sorted(wanted)
    choices = [["", *(candidate.node for candidate in wanted[name].candidates)] for name in names]
    for nodes in itertools.product(*choices):
        at = {name: node for name, node in zip(names, nodes, strict=True) if node}
        if not broken(cluster, at):
            yield at


def broken(cluster: ClusterSpec, at: At) -> list[str]:
    """The musts that an assignment breaks."""
    problems = []
    for group in cluster.groups:
        node = at.get(group.name)
        if node is None:
            continue
        for relation in group.placing.together_with:
            if relation.must and at.get(relation.group) != node:
                problems.append(f"{group.name} is not with {relation.group}")
        for relation in group.placing.apart_from:
            if relation.must and at.get(relation.group) == node:
                problems.append(f"{group.name} is with {relation.group}")
    for node in cluster.nodes:
        here = [group for group in cluster.groups if at.get(group.name) == node.name]
        for resource in {name for group in here for name, _ in group.placing.needs}:
            need = sum(dict(group.placing.needs).get(resource, 0) for group in here)
            if need > dict(node.capacity).get(resource, 0):
                problems.append(f"{resource} of {node.name}: {need}")
    return problems


def cost(cluster: ClusterSpec, wanted: Mapping[str, Wanted], at: At) -> tuple[int, ...]:
    """The lower, the better."""
    groups = {group.name: group for group in cluster.groups}
    levels = sorted({group.priority for group in wanted.values()}, reverse=True)
    nowhere = [sum(name not in at and one.priority == level for name, one in wanted.items()) for level in levels]
    moved = [name for name, one in wanted.items() if one.now and at.get(name) != one.now]
    follows = [name for name in moved if any(relation.must for relation in groups[name].placing.together_with)]
    chosen = {name: next(one for one in wanted[name].candidates if one.node == node) for name, node in at.items()}
    poor = sum(candidate.poor for candidate in chosen.values())
    loss = sum(candidate.loss for candidate in chosen.values())
    missed = sum(candidate.disliked for candidate in chosen.values())
    missed += sum(_missed(groups, groups[name], at) for name in at)
    spreads = Counter((groups[name].placing.spread, node) for name, node in at.items() if groups[name].placing.spread)
    crowd = sum(count * (count - 1) // 2 for count in spreads.values())
    return (*nowhere, len(moved) - len(follows), len(follows), poor, missed, loss, crowd)


def _missed(groups: Mapping[str, GroupSpec], group: GroupSpec, at: At) -> int:
    node = at[group.name]
    missed = sum(
        not relation.must and relation.group in at and at[relation.group] != node
        for relation in group.placing.together_with
    )
    apart = {
        tuple(sorted((name, relation.group)))
        for name, one in groups.items()
        for relation in one.placing.apart_from
        if not relation.must
    }
    must = {
        tuple(sorted((name, relation.group)))
        for name, one in groups.items()
        for relation in one.placing.apart_from
        if relation.must
    }
    # A pair is counted once: at the one of them that comes first.
    return missed + sum(first == group.name and at.get(second) == node for first, second in apart - must)
