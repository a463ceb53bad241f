"""`hactl status`, `hactl events`, `hactl timeline`: the state now, and the history."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

import typer

from hactl.cli.backend import Backend
from hactl.cli.common import say, settings, tell
from hactl.cli.completion import groups
from hactl.cli.fast_status import check_status, show_status
from hactl.cli.options import ConfigOption, Json, JsonLines
from hactl.cli.output import ESCAPE, Style, duration, table
from hactl.cli.status_view import render
from hactl.model.takeover import is_takeover
from hactl.model.text import escaped

WATCH_S = 1.0
AGAIN_S = 1.0

# How many events may come between two streams.
MISSED = 200


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print the status document as JSON, for programs.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show the status again whenever it changes.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Print one line with performance data, for monitoring programs.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Show the problems, each with its solution, then nodes, groups, services and dead sessions.

    Exit status of `--check`: 0 ok, 1 warning, 2 critical (an error is shown), 3 unknown (nothing could be asked).
    """
    if check:
        raise typer.Exit(check_status(config))
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


def _changes(backend: Backend) -> Iterator[dict[str, Any]]:
    """The document whenever the screen changes in more than its times."""
    shown, mark = "", ""
    while True:
        document = backend.status(mark, WATCH_S)
        mark = document["mark"]
        text = json.dumps([document[part] for part in ("warnings", "groups", "services", "fences", "config")])
        text += json.dumps([{**node, "silent_ms": 0} for node in document["nodes"]])
        if text != shown:
            shown = text
            yield document


def events(
    number: Annotated[int, typer.Option("--number", "-n", min=0, help="How many events to show.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep running, and show new events.")] = False,
    as_json: JsonLines = False,
    config: ConfigOption = None,
) -> None:
    """Show the newest events of the whole cluster."""
    style = Style.of()
    with closing(Backend(settings(config))) as backend:
        for event in _followed(backend, number) if follow else backend.events(number)["events"]:
            say(json.dumps(event) if as_json else show_event(event, style))


def _followed(backend: Backend, number: int) -> Iterator[dict[str, Any]]:
    """The events, over every end of the stream: each once. The stamps of nodes whose clocks differ are not always in
    order, so the shown ones are remembered."""
    missed, again = number, number + MISSED
    shown: deque[str] = deque(maxlen=again)
    while True:
        for event in backend.follow(missed):
            if event["stamp"] not in shown and not (missed > number and event["stamp"] < shown[0]):
                shown.append(event["stamp"])
                yield event
        tell("the stream of events has ended; asking again")
        if shown:
            missed = again
        time.sleep(AGAIN_S)


def show_event(event: dict[str, Any], style: Style) -> str:
    """An event as a line."""
    data = event["data"]
    if event["event"] == "failover" and is_takeover(data):
        about = f"{data['group']}: {data['from'] or 'nobody'} -> {data['to']}, {data['reason']}, "
        about += f"{duration(data['phases'].get('total'))}"
    else:
        about = "  ".join(f"{name}={_plain(value)}" for name, value in data.items() if value not in ("", None))
    at, node, name, about = (escaped(text) for text in (event["at"], event["node"], event["event"], about))
    return f"{style.paint(at, 'dim')}  {node:<8}  {style.paint(name, 'bold')}  {about}".rstrip()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def timeline(
    group: Annotated[
        str, typer.Argument(help="Show only this group. Default: all groups.", autocompletion=groups)
    ] = "",
    number: Annotated[int, typer.Option("--number", "-n", min=0, help="How many takeovers to show.")] = 10,
    as_json: Json = False,
    config: ConfigOption = None,
) -> None:
    """Show the last takeovers, and the time that each part of them took."""
    with closing(Backend(settings(config))) as backend:
        takeovers = backend.timeline(group, number)["timelines"]
    if as_json:
        say(json.dumps(takeovers, indent=1))
        return
    rows = []
    for takeover in takeovers:
        moved, total = f"{takeover['from'] or '-'} -> {takeover['to']}", duration(takeover["phases"].get("total"))
        marks = ", ".join(f"{name} {ms:.0f}" for name, ms in takeover["marks"].items())
        rows.append((takeover["at"], takeover["group"], moved, takeover["reason"], total, marks))
    lines = table(("AT", "GROUP", "MOVED", "REASON", "TOTAL", "REACHED AFTER, MS"), rows, Style.of())
    say("\n".join(lines) or f"no takeover{f' of {group}' if group else ''} is known")
