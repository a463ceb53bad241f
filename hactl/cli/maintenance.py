"""`hactl maintenance on|off`, `hactl group unmanage|manage`: hactl leaves a group, or everything, alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

import typer

from hactl.admin.requests import EndMaintenance, Maintenance, MaintenanceAsked
from hactl.cli.awaiting import Lines, until
from hactl.cli.backend import Backend
from hactl.cli.common import NOT_IN_TIME, say, settings, tell
from hactl.cli.completion import groups
from hactl.cli.options import ConfigOption, For, Group, Reason, Timeout, Wait, seconds
from hactl.status.conditions import about

OneGroup = Annotated[
    str, typer.Option("--group", metavar="GROUP", help="Only this group. Default: everything.", autocompletion=groups)
]


def on(
    group: OneGroup = "", for_: For = "", reason: Reason = "", wait: Wait = True, timeout: Timeout = "60s",
    config: ConfigOption = None,
) -> None:  # fmt: skip
    """Leave everything, or one group, alone: hactl starts, stops, moves and fences nothing until `off`.

    What runs goes on, also when etcd, a daemon or a node is restarted or away; what fails or dies stays so. A watchdog
    is let go of where nothing else needs it. It may end by itself (`--for`).

    Exit status: 0 it holds, 1 refused or failed, 2 bad input, 3 not in time: it holds for each group as soon as its
    owner has taken notice.
    """
    _begin(group, for_, reason, timeout, config, wait=wait)


def off(
    group: OneGroup = "", wait: Wait = True, timeout: Timeout = "60s", config: ConfigOption = None
) -> None:  # fmt: skip
    """End the maintenance of everything, or of one group. What runs is taken as it is found; what does not is started.

    Exit status: 0 hactl looks after it again, 1 refused or failed, 2 bad input, 3 not in time: what is left, and why,
    is on standard error.
    """
    _end(group, timeout, config, wait=wait)


def unmanage(
    group: Group, for_: For = "", reason: Reason = "", wait: Wait = True, timeout: Timeout = "60s",
    config: ConfigOption = None,
) -> None:  # fmt: skip
    """Leave a group alone, until `manage`. The same as `hactl maintenance on --group GROUP`."""
    _begin(group, for_, reason, timeout, config, wait=wait)


def manage(group: Group, wait: Wait = True, timeout: Timeout = "60s", config: ConfigOption = None) -> None:
    """Look after a group again. The same as `hactl maintenance off --group GROUP`."""
    _end(group, timeout, config, wait=wait)


def _begin(group: str, for_: str, reason: str, timeout: str, config: Any, *, wait: bool) -> None:
    limit_s, for_ms = seconds(timeout), seconds(for_) * 1000 if for_ else 0.0
    with closing(Backend(settings(config))) as backend:
        asked = backend.do(Maintenance(group, for_ms, reason))
        end = f"ends at {asked.until}" if asked.until else f"to end it: `hactl maintenance off{_option(group)}`"
        say(f"{_subject(group)} in maintenance; {end}")
        if asked.lost:
            say(f"{', '.join(asked.lost)}: lost with its node, and stays so until the maintenance has ended")
        if wait:
            _await(backend, group, asked, limit_s, alone=True)


def _end(group: str, timeout: str, config: Any, *, wait: bool) -> None:
    limit_s = seconds(timeout)
    with closing(Backend(settings(config))) as backend:
        asked = backend.do(EndMaintenance(group))
        say(f"{_subject(group)} {'no longer' if asked.changed else 'not'} in maintenance")
        if asked.also:
            left = ", ".join("everything" if name == "*" else name for name in asked.also)
            ends = " and ".join(f"`hactl maintenance off{_option(name.strip('*'))}`" for name in asked.also)
            say(f"still in maintenance: {left}; to end that: {ends}")
        if wait and asked.changed:
            _await(backend, group, asked, limit_s, alone=False)


def _await(backend: Backend, group: str, asked: MaintenanceAsked, limit_s: float, *, alone: bool) -> None:
    """Until it holds for every group of a live owner, or for none."""

    def look(document: dict[str, Any]) -> list[str]:
        return list(_left(document, group, set(asked.lost) if alone else set(), alone=alone))

    lines = Lines()
    left = until(backend, look, limit_s, lines, revision=asked.revision)
    if left:
        tell(f"error: not in time: {'; '.join(left)}")
        raise typer.Exit(NOT_IN_TIME)
    lines.say("left alone" if alone else "hactl looks after it again")


def _left(document: dict[str, Any], group: str, lost: set[str], *, alone: bool) -> Iterator[str]:
    """The groups for which it does not hold yet, with their states."""
    if document["stale_ms"] is not None:
        yield "etcd does not answer"
        return
    for entry in document["groups"]:
        if group not in ("", entry["name"]) or entry["name"] in lost:
            continue
        is_alone, asked = entry["state"] == "unmanaged", bool(entry["maintenance"])
        if (alone and asked and entry["owner"] and not is_alone) or (not alone and is_alone and not asked):
            yield about(entry)
    for clone in document.get("clones", ()):
        if group in ("", clone["name"]) and bool(clone["maintenance"]) == alone:
            there = [instance for instance in clone["nodes"] if instance["live"] and instance["phase"]]
            late = [instance["node"] for instance in there if instance["alone"] != alone]
            if late:
                yield f"{clone['name']} is {'not left alone yet' if alone else 'still left alone'} on {', '.join(late)}"


def _subject(group: str) -> str:
    return f"{group} is" if group else "everything is"


def _option(group: str) -> str:
    return f" --group {group}" if group else ""
