"""What the configuration says of where groups may run, in the form in which placement uses it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from hactl.decide.placement.attributes import asks_for, attributes_of, fulfils
from hactl.model.cluster import ClusterSpec, GroupSpec
from hactl.model.health import CheckSpec
from hactl.model.placing import Relation
from hactl.model.requirements import required_checks, required_services


class Place(NamedTuple):
    """A node that a group may run on: whether it does not fulfil the group's `prefers`, and by how much its weight is
    lower than the highest."""

    node: str
    disliked: int
    loss: int


class Places(NamedTuple):
    """The nodes that a group may run on by the configuration, best first, and for every other node why not."""

    allowed: tuple[Place, ...]
    excluded: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that does not change with what happens. Of groups that are enabled; by name.

    `groups`: those that run on one node at a time, `clones`: those that run on every node. `together`: with other
    groups, `instances`: with clones on its own node. `apart`: in both directions; True: must. `followers`: the groups
    that must run with this one, `behind`: those of either kind that must run after it. `checked`: groups whose
    expressions ask for health checks; where these pass counts for them. `checks`: all health checks, those that follow
    from what groups require among them; `required`: the services that they require. `related`: for each group that is
    coupled to others, all of them.
    """

    groups: Mapping[str, GroupSpec]
    clones: Mapping[str, GroupSpec]
    nodes: tuple[str, ...]
    places: Mapping[str, Places]
    together: Mapping[str, tuple[Relation, ...]]
    instances: Mapping[str, tuple[Relation, ...]]
    apart: Mapping[str, Mapping[str, bool]]
    followers: Mapping[str, tuple[str, ...]]
    behind: Mapping[str, tuple[str, ...]]
    needs: Mapping[str, tuple[tuple[str, float], ...]]
    capacity: Mapping[str, Mapping[str, float]]
    spread: Mapping[str, str]
    related: Mapping[str, tuple[str, ...]]
    checked: tuple[str, ...]
    checks: tuple[CheckSpec, ...]
    required: tuple[str, ...]


def rules_of(cluster: ClusterSpec) -> Rules:
    """The rules of a cluster."""
    enabled = {group.name: group for group in cluster.groups if group.enabled}
    groups = {name: group for name, group in enabled.items() if group.run == "one"}
    all_clones = frozenset(group.name for group in cluster.clones)
    together = {name: _together(group, all_clones, of_clones=False) for name, group in groups.items()}
    instances = {name: _together(group, all_clones, of_clones=True) for name, group in groups.items()}
    apart: dict[str, dict[str, bool]] = {}
    followers: dict[str, list[str]] = {}
    behind: dict[str, list[str]] = {}
    for name, group in groups.items():
        for relation in group.placing.apart_from:
            for one, other in ((name, relation.group), (relation.group, name)):
                of_one = apart.setdefault(one, {})
                of_one[other] = of_one.get(other, False) or relation.must
        for relation in together[name]:
            if relation.must:
                followers.setdefault(relation.group, []).append(name)
    for name, group in enabled.items():
        for relation in group.runs_after:
            if relation.must:
                behind.setdefault(relation.group, []).append(name)
    known: dict[tuple[object, ...], Places] = {}  # most groups have the same
    return Rules(
        groups=groups,
        clones={name: group for name, group in enabled.items() if group.run == "all"},
        nodes=tuple(node.name for node in cluster.nodes),
        places={name: _places(cluster, group, known) for name, group in enabled.items()},
        together={name: relations for name, relations in together.items() if relations},
        instances={name: relations for name, relations in instances.items() if relations},
        apart=apart,
        followers={name: tuple(sorted(names)) for name, names in followers.items()},
        behind={name: tuple(sorted(names)) for name, names in behind.items()},
        needs={name: group.placing.needs for name, group in groups.items() if group.placing.needs},
        capacity={node.name: dict(node.capacity) for node in cluster.nodes},
        spread={name: group.placing.spread for name, group in groups.items() if group.placing.spread},
        related=_related(groups, all_clones),
        checked=_checked(cluster, enabled),
        checks=(*cluster.health, *required_checks(cluster)),
        required=tuple(service.name for service in required_services(cluster)),
    )


def _together(group: GroupSpec, clones: frozenset[str], *, of_clones: bool) -> tuple[Relation, ...]:
    return tuple(relation for relation in group.runs_with if (relation.group in clones) == of_clones)


def _places(cluster: ClusterSpec, group: GroupSpec, known: dict[tuple[object, ...], Places]) -> Places:
    placing = group.placing
    key = (group.nodes, placing.weights, placing.never, placing.where, placing.prefers)
    if key not in known:
        known[key] = find_places(cluster, group)
    return known[key]


def _checked(cluster: ClusterSpec, groups: Mapping[str, GroupSpec]) -> tuple[str, ...]:
    checks = frozenset(check.name for check in cluster.health)
    asking = (
        name
        for name, group in groups.items()
        if checks and (asks_for(group.placing.where, checks) or asks_for(group.placing.prefers, checks))
    )
    return tuple(asking)


def find_places(
    cluster: ClusterSpec, group: GroupSpec, failing: Mapping[str, frozenset[str]] = MappingProxyType({})
) -> Places:
    """The nodes that the group may run on. `failing`: of each node the health checks that fail; all others pass, those
    too of which nothing is known."""
    placing, excluded = group.placing, dict[str, str]()
    checks = [check.name for check in cluster.health]
    attributes = {
        node.name: attributes_of(node, {name: name not in failing.get(node.name, ()) for name in checks})
        for node in cluster.nodes
    }
    nodes = [node.name for node in cluster.nodes]
    order = [name for name in group.nodes or nodes if name in nodes]
    for name in nodes:
        if name in placing.never:
            excluded[name] = "it is never to run there"
        elif name not in order:
            excluded[name] = "not in the group's nodes"
        elif not fulfils(placing.where, attributes[name]):
            excluded[name] = f"it needs a node where {placing.where}"
    # Without weights each node of `nodes` is better than the next; where they are not named, all are as good.
    weights = dict(placing.weights)
    if not weights and group.nodes:
        weights = {name: len(order) - index for index, name in enumerate(order)}
    highest = max(weights.values(), default=0)
    allowed = [
        Place(
            name,
            int(not fulfils(placing.prefers, attributes[name])),
            highest - weights.get(name, 0),
        )
        for name in order
        if name not in excluded
    ]
    return Places(tuple(allowed), tuple(excluded.items()))


def _related(groups: Mapping[str, GroupSpec], clones: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """For each group that is coupled to others by relations or a `spread`, all that it is coupled to, itself among
    them."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := parent.setdefault(name, name)) != name:
            parent[name] = parent[above]
            name = above
        return name

    for name, group in groups.items():
        others = [relation.group for relation in (*group.runs_with, *group.placing.apart_from)]
        others = [other for other in others if other not in clones]
        others += [f"spread\0{group.placing.spread}"] if group.placing.spread else []
        for other in others:
            parent[root(other)] = root(name)
    members: dict[str, list[str]] = {}
    for name in parent:
        if name in groups:
            members.setdefault(root(name), []).append(name)
    return {name: tuple(names) for names in map(sorted, members.values()) for name in names}
