"""The rules for promoted roles (docs/promotable.md): of a resource that runs on every node, where it runs, by commands
or by its agent, and one group alone on each node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from hactl.config.errors import KeyPath, suggest
from hactl.config.parts import GroupPart, Parts
from hactl.config.resources.promote import Promote
from hactl.config.resources.resource import Resource
from hactl.config.rules.findings import Finding
from hactl.config.schema import Group

PROMOTABLE = ("systemd", "exec", "ocf")
_NEEDED = ("promote", "demote", "role")
_COMMANDS = (*_NEEDED, "score")


class Promoting(NamedTuple):
    """A `promote`, with the group and the path where it is."""

    group: GroupPart
    path: KeyPath
    promote: Promote


def promotions(parts: Parts) -> list[Promoting]:
    """All that are sound."""
    return [
        Promoting(group, (*path, "promote"), resource.promote)
        for group, path, resource in parts.resources()
        if resource.promote is not None
    ]


def instance_of(promote: Promote, parts: Parts) -> tuple[GroupPart, Resource] | None:
    """What it promotes, and its group; None: there is no such resource, or it is not sound."""
    for group, _, resource in parts.resources():
        if f"{group.name}/{resource.name}" == promote.of:
            return group, resource
    return None


def promotion_findings(parts: Parts) -> Iterator[Finding]:
    """All of them."""
    every = promotions(parts)
    for here in every:
        yield from _of_promote(here, parts)
    for first, second in combinations(every, 2):
        yield from _of_two(first, second)


def _of_promote(here: Promoting, parts: Parts) -> Iterator[Finding]:
    given = [name for name in _COMMANDS if getattr(here.promote, name) is not None]
    found = instance_of(here.promote, parts)
    if found is None:
        yield from _unknown(here, parts)
        return
    group, resource = found
    if group is here.group:
        yield Finding(
            (*here.path, "of"),
            f"`{here.promote.of}` is in this group itself",
            "promote it in a group of its own: its instances run on every node, its promoted role on one",
        )
        return
    yield from _must_run_everywhere(here, group)
    yield from _must_run_where_it_is_promoted(here, group, parts)
    if resource.kind not in PROMOTABLE:
        yield Finding(
            (*here.path, "of"),
            f"`{here.promote.of}` is of kind {resource.kind}, which cannot be promoted",
            f"name a resource of one of the kinds {', '.join(PROMOTABLE)}",
        )
    elif resource.ocf is not None:
        for name in given:
            yield Finding(
                (*here.path, name),
                f"`{here.promote.of}` is driven by the agent {resource.ocf.agent}, which promotes and demotes it",
                f"leave out `{name}`",
            )
    else:
        for name in (name for name in _NEEDED if name not in given):
            yield Finding(
                (*here.path, name),
                f"is missing: `{here.promote.of}` is of kind {resource.kind}, which hactl does not know how to promote",
                f'such as `{name}: ["/usr/local/sbin/database", "{name}"]`',
            )


def _unknown(here: Promoting, parts: Parts) -> Iterator[Finding]:
    group_name, _, name = here.promote.of.partition("/")
    groups = {group.name: group for group in parts.groups}
    group, path = groups.get(group_name), (*here.path, "of")
    if group is None:
        yield Finding(path, f"`{group_name}` is no group of this cluster", suggest(group_name, list(groups)))
        return
    names = _names(parts, group)
    if name not in names:
        yield Finding(path, f"group `{group_name}` has no resource `{name}`", suggest(name, names))


def _names(parts: Parts, group: GroupPart) -> list[str]:
    """Of the group's resources, those that are not sound included."""
    written = parts.data["groups"][group.path[1]].get("resources")
    listed = written if isinstance(written, list) else []
    return [one["name"] for one in listed if isinstance(one, dict) and isinstance(one.get("name"), str)]


def _must_run_everywhere(here: Promoting, group: GroupPart) -> Iterator[Finding]:
    if group.settings is not None and group.settings.run != "all" and "run" not in group.unsound:
        yield Finding(
            (*here.path, "of"),
            f"group `{group.name}` runs on one node at a time: on no other node there is an instance to promote",
            f"give group `{group.name}` `run: all`",
        )


def _must_run_where_it_is_promoted(here: Promoting, group: GroupPart, parts: Parts) -> Iterator[Finding]:
    own, its = here.group.settings, group.settings
    if own is None or its is None or {"nodes", "never"} & (here.group.unsound | group.unsound):
        return
    without = [name for name in _nodes(own, parts.node_names) if name not in _nodes(its, parts.node_names)]
    if without:
        yield Finding(
            (*here.group.path, "nodes"),
            f"group `{group.name}`, whose instance `{here.group.name}` promotes, does not run on {', '.join(without)}",
            f"let `nodes` be some of those of `{group.name}`",
        )


def _nodes(settings: Group, all_nodes: Sequence[str]) -> list[str]:
    return [name for name in settings.nodes or all_nodes if name not in settings.never]


def _of_two(first: Promoting, second: Promoting) -> Iterator[Finding]:
    if first.promote.of != second.promote.of:
        return
    if first.group is second.group:
        yield Finding(
            (*second.path, "of"),
            f"`{first.promote.of}` is promoted in this group already",
            "leave one of them out: what has to run where it is promoted goes into the same group",
        )
    elif not _apart(first.group, second.group) and not _apart(second.group, first.group):
        yield Finding(
            (*second.path, "of"),
            f"groups `{first.group.name}` and `{second.group.name}` both promote `{first.promote.of}`, and may run on "
            "one node: when one of them leaves it, it would demote the other's instance",
            f"give `{second.group.name}` `apart_from: [{first.group.name}]`",
        )


def _apart(group: GroupPart, other: GroupPart) -> bool:
    if group.settings is None or "apart_from" in group.unsound:
        return True
    return any(relation.group == other.name and relation.must for relation in group.settings.apart_from)
