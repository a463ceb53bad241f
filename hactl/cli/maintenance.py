"""`hactl maintenance on|off`, `hactl group unmanage|manage`: hactl leaves a group, a node or everything alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Annotated, Any, NamedTuple

import typer

from hactl.admin.requests import (
    EndMaintenance,
    EndNodeMaintenance,
    Maintenance,
    MaintenanceAsked,
    NodeMaintenance,
)
from hactl.cli.awaiting import Lines, until
from hactl.cli.backend import Backend
from hactl.cli.common import BAD_INPUT, NOT_IN_TIME, CliError, say, settings, tell
from hactl.cli.completion import groups, nodes
from hactl.cli.options import ConfigOption, For, Group, Reason, Timeout, Wait, seconds
from hactl.status.conditions import about

OneGroup = Annotated[
    str, typer.Option("--group", metavar="GROUP", help="Only this group. Default: everything.", autocompletion=groups)
]


OneNode = Annotated[
    str,
    typer.Option(
        "--node",
        metavar="NODE",
        help="This node, with all that it has.",
        autocompletion=nodes,
    ),
]


def on(
    group: OneGroup = "", node: OneNode = "", for_: For = "", reason: Reason = "", wait: Wait = True,
    timeout: Timeout = "60s", config: ConfigOption = None,
) -> None:  # fmt: skip
    """Leave everything, one group, or one node, alone: hactl starts, stops, moves and fences nothing of it until `off`.

    What runs goes on, also when etcd, a daemon or a node is restarted or away; what fails or dies stays so. A watchdog
    is let go of where nothing else needs it. Of a node (`--node`): the groups that it has are left alone, none comes to
    it, and it is not fenced. It may end by itself (`--for`).

    Exit status: 0 it holds, 1 refused or failed, 2 bad input, 3 not in time: it holds for each group as soon as its
    owner has taken notice.
    """
    _begin(_scope(group, node), for_, reason, timeout, config, wait=wait)


def off(
    group: OneGroup = "", node: OneNode = "", wait: Wait = True, timeout: Timeout = "60s", config: ConfigOption = None
) -> None:  # fmt: skip
    """End the maintenance of everything, of one group, or of one node.

    What runs is taken as it is found; what does not is started.

    Exit status: 0 hactl looks after it again, 1 refused or failed, 2 bad input, 3 not in time: what is left, and why,
    is on standard error.
    """
    _end(_scope(group, node), timeout, config, wait=wait)


def unmanage(
    group: Group, for_: For = "", reason: Reason = "", wait: Wait = True, timeout: Timeout = "60s",
    config: ConfigOption = None,
) -> None:  # fmt: skip
    """Leave a group alone, until `manage`. The same as `hactl maintenance on --group GROUP`."""
    _begin(Scope(group=group), for_, reason, timeout, config, wait=wait)


def manage(group: Group, wait: Wait = True, timeout: Timeout = "60s", config: ConfigOption = None) -> None:
    """Look after a group again. The same as `hactl maintenance off --group GROUP`."""
    _end(Scope(group=group), timeout, config, wait=wait)


class Scope(NamedTuple):
    """A group, or a node with all that it has, or (both empty) everything."""

    group: str = ""
    node: str = ""

    @classmethod
    def named(cls, name: str) -> Scope:
        """By the name that requests have in etcd: a group, `node:NODE` or `*`."""
        kind, _, node = name.partition(":")
        return cls(node=node) if node and kind == "node" else cls(group=name.strip("*"))

    @property
    def text(self) -> str:
        """As the subject of a sentence, without its verb."""
        return self.group or (f"node {self.node}" if self.node else "everything")

    @property
    def off(self) -> str:
        """The command that ends it."""
        option = f" --group {self.group}" if self.group else f" --node {self.node}" if self.node else ""
        return f"`hactl maintenance off{option}`"

    def holds(self, entry: Mapping[str, Any]) -> bool:
        """Whether a group of the status document is meant."""
        return self.group in ("", entry["name"]) and self.node in ("", entry["owner"])


def _scope(group: str, node: str) -> Scope:
    if group and node:
        raise CliError("give --group or --node, not both: a node is left alone with all that it has", BAD_INPUT)
    return Scope(group, node)


def _begin(scope: Scope, for_: str, reason: str, timeout: str, config: Any, *, wait: bool) -> None:
    limit_s, for_ms = seconds(timeout), seconds(for_) * 1000 if for_ else 0.0
    with closing(Backend(settings(config))) as backend:
        if scope.node:
            asked = backend.do(NodeMaintenance(scope.node, for_ms, reason))
        else:
            asked = backend.do(Maintenance(scope.group, for_ms, reason))
        end = f"ends at {asked.until}" if asked.until else f"to end it: {scope.off}"
        say(f"{scope.text} is in maintenance; {end}")
        if scope.node:
            left = ", ".join(asked.groups) or "nothing"
            say(f"left alone with it: {left}; no group comes to it, and it is not fenced")
        if asked.lost:
            say(f"{', '.join(asked.lost)}: lost with its node, and stays so until the maintenance has ended")
        if wait:
            _await(backend, scope, asked, limit_s, alone=True)


def _end(scope: Scope, timeout: str, config: Any, *, wait: bool) -> None:
    limit_s = seconds(timeout)
    with closing(Backend(settings(config))) as backend:
        asked = backend.do(EndNodeMaintenance(scope.node) if scope.node else EndMaintenance(scope.group))
        say(f"{scope.text} is {'no longer' if asked.changed else 'not'} in maintenance")
        if asked.also:
            others = [Scope.named(name) for name in asked.also]
            left, ends = ", ".join(other.text for other in others), " and ".join(other.off for other in others)
            say(f"still in maintenance: {left}; to end that: {ends}")
        if wait and asked.changed:
            _await(backend, scope, asked, limit_s, alone=False)


def _await(backend: Backend, scope: Scope, asked: MaintenanceAsked, limit_s: float, *, alone: bool) -> None:
    """Until it holds for every group of a live owner, or for none."""

    def look(document: dict[str, Any]) -> list[str]:
        return list(_left(document, scope, set(asked.lost) if alone else set(), alone=alone))

    lines = Lines()
    left = until(backend, look, limit_s, lines, revision=asked.revision)
    if left:
        tell(f"error: not in time: {'; '.join(left)}")
        raise typer.Exit(NOT_IN_TIME)
    lines.say("left alone" if alone else "hactl looks after it again")


def _left(document: dict[str, Any], scope: Scope, lost: set[str], *, alone: bool) -> Iterator[str]:
    """The groups for which it does not hold yet, with their states."""
    if document["stale_ms"] is not None:
        yield "etcd does not answer"
        return
    for entry in document["groups"]:
        if not scope.holds(entry) or entry["name"] in lost:
            continue
        is_alone, asked = entry["state"] == "unmanaged", bool(entry["maintenance"])
        if (alone and asked and entry["owner"] and not is_alone) or (not alone and is_alone and not asked):
            yield about(entry)
    for clone in document.get("clones", ()):
        yield from _instances_left(clone, scope, alone=alone)


def _instances_left(clone: Mapping[str, Any], scope: Scope, *, alone: bool) -> Iterator[str]:
    """The instances of a clone for which it does not hold yet."""
    meant = scope.group in ("", clone["name"])
    otherwise = bool(clone["maintenance"]) != alone if not scope.node else not alone and bool(clone["maintenance"])
    if not meant or otherwise:
        return
    there = [instance for instance in clone["nodes"] if instance["live"] and instance["phase"]]
    late = [
        instance["node"] for instance in there if instance["alone"] != alone and scope.node in ("", instance["node"])
    ]
    if late:
        yield f"{clone['name']} is {'not left alone yet' if alone else 'still left alone'} on {', '.join(late)}"
