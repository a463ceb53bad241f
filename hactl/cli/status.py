"""`hactl status`, `hactl events`, `hactl timeline`: what is, what was."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from hactl.cli.backend import Backend
from hactl.cli.common import say, settings, tell
from hactl.cli.fast_status import show_status
from hactl.cli.options import ConfigOption
from hactl.cli.output import ESCAPE, Style, duration, table
from hactl.cli.status_view import render
from hactl.model.takeover import is_takeover
from hactl.model.text import escaped

WATCH_S = 1.0
AGAIN_S = 1.0

# How many events may come while nobody tells us of them.
MISSED = 200


def add_to(app: typer.Typer) -> None:
    """Make these commands known."""
    app.command()(status)
    app.command()(events)
    app.command()(timeline)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="The status document, for programs.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again whenever it changes.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show nodes, groups, services and fence records; what is wrong first, each with what to do."""
    if not watch:
        show_status(as_json=as_json, config=config)
        return
    for change in _changes(Backend(settings(config))):
        if as_json:
            say(json.dumps(change))
        elif sys.stdout.isatty():
            say(f"{ESCAPE}[H{ESCAPE}[J" + render(change, Style.of()))
        else:
            say(render(change, Style.of()) + "\n")


def _changes(source: Backend) -> Iterator[dict[str, Any]]:
    """The document whenever what the screen shows is another one, but for the running of clocks."""
    shown, mark = "", ""
    while True:
        found = source.status(mark, WATCH_S)
        mark = found["mark"]
        text = json.dumps([found[part] for part in ("warnings", "groups", "services", "fences", "config")])
        text += json.dumps([{**node, "silent_ms": 0} for node in found["nodes"]])
        if text != shown:
            shown = text
            yield found


def events(
    number: Annotated[int, typer.Option("--number", "-n", min=0, help="How many of the newest.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that come.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show what happened, in the whole cluster."""
    source, style = Backend(settings(config)), Style.of()
    if not follow:
        for event in source.events(number)["events"]:
            say(json.dumps(event) if as_json else show_event(event, style))
        source.close()
        return
    for one in _followed(source, number):
        say(json.dumps(one) if as_json else show_event(one, style))


def _followed(source: Backend, number: int) -> Iterator[dict[str, Any]]:
    """The events, over every end of the stream: each once. By the stamps of nodes whose clocks differ they are not
    always in order, so that what was shown is remembered."""
    shown: deque[str] = deque(maxlen=_again(number))
    missed = number
    while True:
        for one in source.follow(missed):
            if one["stamp"] not in shown and not (missed > number and one["stamp"] < shown[0]):
                shown.append(one["stamp"])
                yield one
        tell("the stream of events has ended; asking again")
        if shown:
            missed = _again(number)
        time.sleep(AGAIN_S)


def _again(number: int) -> int:
    """How many of the newest are asked for again: with what may have come while nobody told us."""
    return number + MISSED


def show_event(one: dict[str, Any], style: Style) -> str:
    """An event as a line."""
    data = one["data"]
    if one["event"] == "failover" and is_takeover(data):
        about = f"{data['group']}: {data['from'] or 'nobody'} -> {data['to']}, {data['reason']}, "
        about += f"{duration(data['phases'].get('total'))}"
    else:
        about = "  ".join(f"{name}={_plain(value)}" for name, value in data.items() if value not in ("", None))
    at, node, event, about = (escaped(text) for text in (one["at"], one["node"], one["event"], about))
    return f"{style.paint(at, 'dim')}  {node:<8}  {style.paint(event, 'bold')}  {about}".rstrip()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def timeline(
    group: Annotated[str, typer.Argument(help="Of this group; without it: of all.")] = "",
    number: Annotated[int, typer.Option("--number", "-n", min=0, help="How many of the newest.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show the last takeovers, and how long each part of them took."""
    source, style = Backend(settings(config)), Style.of()
    found = source.timeline(group, number)["timelines"]
    source.close()
    if as_json:
        say(json.dumps(found, indent=1))
        return
    rows = [
        (
            one["at"],
            one["group"],
            f"{one['from'] or '-'} -> {one['to']}",
            one["reason"],
            duration(one["phases"].get("total")),
            ", ".join(f"{name} {ms:.0f}" for name, ms in one["marks"].items()),
        )
        for one in found
    ]
    lines = table(("AT", "GROUP", "MOVED", "REASON", "TOTAL", "REACHED AFTER, MS"), rows, style)
    say("\n".join(lines) or f"no takeover{f' of {group}' if group else ''} is known")
