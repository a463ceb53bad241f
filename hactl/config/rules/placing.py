"""The rules for where groups may run: relations that exist and do not contradict, and room for everybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from hactl.config.errors import KeyPath, suggest
from hactl.config.parts import GroupPart, Parts, names
from hactl.config.placing import Relation
from hactl.config.rules.findings import Finding, twice
from hactl.decide.placement.attributes import attributes_of, fulfils
from hactl.decide.placement.expression import parse
from hactl.decide.placement.ideal import no_place
from hactl.model.cluster import ClusterSpec, NodeSpec
from hactl.model.health import CheckSpec

Kind = Literal["together_with", "apart_from", "after"]
_KINDS: tuple[Kind, ...] = ("together_with", "apart_from", "after")


def placing_findings(parts: Parts) -> Iterator[Finding]:
    """The problems of where groups may run. Whether all of them fit is looked at when nothing else is wrong."""
    groups = {group.name: group for group in parts.groups if group.settings is not None}
    nodes = [node.spec() for _, node in parts.nodes]
    checks = [check.name for check in names(parts.data, ("health",))]
    found = [
        *(finding for group in groups.values() for finding in _requires(group, parts)),
        *(finding for group in groups.values() for finding in _of_group(group, groups, nodes, parts.node_names)),
        *(finding for group in groups.values() for finding in _expressions(group, nodes, checks)),
        *_circles(groups, "together_with"),
        *_circles(groups, "after"),
        *_contradictions(groups),
    ]
    yield from found
    if not any(finding.refused for finding in found):
        yield from _no_room(groups, nodes, checks)


def _of_group(
    group: GroupPart, groups: Mapping[str, GroupPart], nodes: Sequence[NodeSpec], node_names: Sequence[str]
) -> Iterator[Finding]:
    assert group.settings is not None
    for kind in _KINDS:
        yield from _relations(group, kind, groups)
    allowed = group.settings.nodes or node_names
    for key, named in (("weights", list(group.settings.weights)), ("never", group.settings.never)):
        for index, name in enumerate(named):
            here: KeyPath = (*group.path, key, name if key == "weights" else index)
            if name not in node_names:
                yield Finding(here, f"`{name}` is no node of this cluster", suggest(name, node_names))
            elif key == "weights" and name not in allowed:
                yield Finding(here, f"`{name}` is none of the group's `nodes`", "add it there, or leave it out here")
            elif key == "never" and name in group.settings.nodes:
                yield Finding(here, f"`{name}` is one of the group's `nodes`, too", "leave it out of one of them")
    if set(group.settings.never) >= set(allowed):
        yield Finding((*group.path, "never"), "names every node", "leave at least one node for the group")
    yield from _needs(group, nodes, allowed)


def _relations(group: GroupPart, kind: Kind, groups: Mapping[str, GroupPart]) -> Iterator[Finding]:
    related = _related(group, kind)
    for index, relation in enumerate(related):
        here = (*group.path, kind, index)
        other = groups.get(relation.group)
        if relation.group == group.name:
            yield Finding(here, "names the group itself", "name another group")
        elif other is None:
            yield Finding(
                here, f"`{relation.group}` is no group of this cluster", suggest(relation.group, list(groups))
            )
        elif kind == "apart_from" and _is_clone(other):
            yield Finding(
                here,
                f"group `{relation.group}` has `run: all`: it is on every node",
                "leave it out here, or keep it off nodes by its `nodes`",
            )
        elif relation.must and kind != "apart_from" and other.settings is not None and not other.settings.enabled:
            yield Finding(
                here,
                f"group `{relation.group}` is disabled, so `{group.name}` does not run either",
                "enable it, or write `must: false`",
                refused=False,
            )
    yield from twice(
        (((*group.path, kind, index), one.group, f"group `{one.group}`") for index, one in enumerate(related)),
        "name it once",
    )


def _is_clone(group: GroupPart) -> bool:
    return group.settings is not None and group.settings.run == "all"


def _requires(group: GroupPart, parts: Parts) -> Iterator[Finding]:
    """The services that it requires: they are there, and HAProxy runs on every node."""
    required = group.settings.requires if group.settings is not None else []
    known = {service.name: service for _, service in parts.services}
    named = [service.name for service in names(parts.data, ("services",))]
    balanced = next((other.name for other, _, resource in parts.resources() if resource.haproxy is not None), "")
    for index, each in enumerate(required):
        here = (*group.path, "requires", index)
        if each.service not in named:
            hint = suggest(each.service, named) if named else "add it to `services`"
            yield Finding(here, f"`{each.service}` is no service of this cluster", hint)
        elif each.service in known and not known[each.service].enabled:
            text = f"service `{each.service}` is disabled, so it is required of no node"
            yield Finding(here, text, "enable it, or leave it out here", refused=False)
        elif balanced:
            yield Finding(
                here,
                f"HAProxy runs in group `{balanced}`, so services are served on one node only",
                f"write `together_with: [{balanced}]`, or have HAProxy on every node",
            )
    paths = [((*group.path, "requires", index), each.service) for index, each in enumerate(required)]
    yield from twice(((here, name, f"service `{name}`") for here, name in paths), "name it once")


def _related(group: GroupPart, kind: Kind) -> list[Relation]:
    related: list[Relation] = getattr(group.settings, kind) if group.settings is not None else []
    return related


def _expressions(group: GroupPart, nodes: Sequence[NodeSpec], checks: Sequence[str]) -> Iterator[Finding]:
    """`checks`: the names of the health checks, each of which is an attribute, too."""
    assert group.settings is not None
    well = dict.fromkeys(checks, True)
    known = {"node", *checks, *(name for node in nodes for name, _ in node.attributes)}
    for key in ("where", "prefers"):
        text = getattr(group.settings, key)
        if not text or key in group.unsound:
            continue
        here = (*group.path, key)
        for name in sorted(parse(text).names - known):
            yield Finding(here, f"no node has an attribute or health check `{name}`", suggest(name, sorted(known)))
        if not any(fulfils(text, attributes_of(node, well)) for node in nodes):
            refused = key == "where"
            yield Finding(here, f"no node fulfils `{text}`", "look at the nodes' `attributes`", refused=refused)


def _needs(group: GroupPart, nodes: Sequence[NodeSpec], allowed: Sequence[str]) -> Iterator[Finding]:
    assert group.settings is not None
    for resource, need in group.settings.needs.items():
        most = max((dict(node.capacity).get(resource, 0.0) for node in nodes if node.name in allowed), default=0.0)
        if need > most:
            yield Finding(
                (*group.path, "needs", resource),
                f"group `{group.name}` needs {need:g} of {resource}; none of its nodes has more than {most:g}",
                "give a node more `capacity`, or the group less to need",
            )


def _circles(groups: Mapping[str, GroupPart], kind: Kind) -> Iterator[Finding]:
    """Groups that wait for themselves, over others: each circle once, at its first group by name."""
    ways = {name: [one.group for one in _related(group, kind) if one.group in groups] for name, group in groups.items()}
    seen: set[str] = set()
    for begin in sorted(ways):
        circle = _circle(ways, begin) if begin not in seen else []
        if circle:
            seen.update(circle)
            shown = " -> ".join([*circle, begin])
            yield Finding((*groups[begin].path, kind), f"goes in a circle: {shown}", "take out one of these relations")


def _circle(ways: Mapping[str, Sequence[str]], begin: str) -> list[str]:
    """The groups on a shortest way from one back to itself; empty: there is none. A group that names itself is another
    finding."""
    before: dict[str, str] = {}
    queue = [name for name in ways[begin] if name != begin]
    before |= dict.fromkeys(queue, begin)
    for name in queue:
        for following in ways[name]:
            if following == begin:
                circle = [name]
                while before[circle[-1]] != begin:
                    circle.append(before[circle[-1]])
                return [begin, *reversed(circle)]
            if following not in before:
                before[following] = name
                queue.append(following)
    return []


def _contradictions(groups: Mapping[str, GroupPart]) -> Iterator[Finding]:
    """Groups that must be apart from one with which they must run, also over others."""
    bound: dict[str, str] = {name: name for name in groups}

    def root(name: str) -> str:
        while bound[name] != name:
            name = bound[name]
        return name

    for name, group in groups.items():
        for relation in _related(group, "together_with"):
            if relation.must and relation.group in groups:
                bound[root(name)] = root(relation.group)
    for name, group in groups.items():
        for index, relation in enumerate(_related(group, "apart_from")):
            if not relation.must or relation.group not in groups or relation.group == name:
                continue
            if root(name) == root(relation.group):
                yield Finding(
                    (*group.path, "apart_from", index),
                    f"group `{name}` must be apart from `{relation.group}`, and must run with it by `together_with`",
                    "take out one of them, or write `must: false`",
                )


def _no_room(groups: Mapping[str, GroupPart], nodes: Sequence[NodeSpec], checks: Sequence[str]) -> Iterator[Finding]:
    """Groups for which there is no node even while all nodes are well."""
    specs = tuple(group.settings.spec() for group in groups.values() if group.settings is not None)
    cluster = ClusterSpec("", tuple(nodes), specs, health=tuple(CheckSpec(name) for name in checks))
    for name, reasons in no_place(cluster).items():
        why = "; ".join(f"{node}: {reason}" for node, reason in reasons.items())
        yield Finding(
            groups[name].path,
            f"there is no node for group `{name}`, even when all are well: {why}",
            "change `nodes`, `capacity`, or its relations to other groups",
        )
