"""`hactl service …`: have a server get no new connections, watched until its old ones have ended."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated, Any

import typer

from hactl.admin.requests import Drain, Undrain
from hactl.cli.backend import Backend
from hactl.cli.common import NOT_IN_TIME, CliError, say, settings, tell
from hactl.cli.completion import nodes, services
from hactl.cli.options import ConfigOption, Force, Reason, Wait, seconds

ALL = "*"
LOOK_S = 0.5

Service = Annotated[str, typer.Argument(help="The service's name; `'*'`: all services.", autocompletion=services)]
Node = Annotated[
    str, typer.Argument(help="The node's name; for a server that is on no node, its own name.", autocompletion=nodes)
]


def drain(
    service: Service,
    node: Node,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait for the sessions to end.")
    ] = "30s",
    wait: Wait = True,
    reason: Reason = "",
    yes: Force = False,
    config: ConfigOption = None,
) -> None:
    """Send no new connections to a node's server of a service, until `undrain`. Open connections go on.

    If the service would then have no server, that is said first, and asked.

    Exit status: 0 no session is left, 1 refused, 2 bad input, 3 not in time: it stays drained, with sessions left.
    """
    limit_s = seconds(timeout)
    with closing(Backend(settings(config))) as backend:
        drained, _ = backend.do_asking(lambda force: Drain(service, node, reason, force), yes=yes)
        already = "" if drained.changed else f" already (by {drained.by}, {drained.at})"
        say(f"{_named(service)} on {node} gets no new connections{already}")
        undo = f"hactl service undrain {_quoted(service)} {node}"
        if wait and not await_empty(backend, service, node, limit_s, undo):
            raise typer.Exit(NOT_IN_TIME)


def undrain(service: Service, node: Node, config: ConfigOption = None) -> None:
    """Send new connections to a node's server of a service again."""
    with closing(Backend(settings(config))) as backend:
        changed = backend.do(Undrain(service, node)).changed
    say(f"{_named(service)} on {node} " + ("gets connections again" if changed else "was not drained"))


def await_empty(backend: Backend, service: str, node: str, limit_s: float, undo: str) -> bool:
    """Show the sessions left until there are none; False: not in time. `undo`: the command that undoes the drain."""
    began, shown, words = time.monotonic(), "", ""
    try:
        while True:
            progress = backend.draining(service, node)
            if progress["drain"] is None:
                raise CliError(f"{_named(service)} on {node} was taken back by somebody: it gets connections again")
            words, empty = _left(progress)
            if words != shown:
                shown = words
                say(f"{(time.monotonic() - began) * 1000:8.0f} ms  {words}")
            if empty:
                return True
            if time.monotonic() - began + LOOK_S > limit_s:
                tell(f"not in time: {words}. It stays drained; to undo: `{undo}`")
                return False
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        tell(f"interrupted{': ' * bool(words)}{words}. It stays drained; to undo: `{undo}`")
        raise


def _left(progress: dict[str, Any]) -> tuple[str, bool]:
    """The sessions that are left, in words, and whether there are none."""
    sessions = {name: count for name, count in progress["sessions"].items() if count}
    if progress["waiting"]:
        return f"waiting for the balancer of {', '.join(progress['waiting'])} to take notice", False
    if not sessions:
        return "no session left", True
    total = sum(sessions.values())
    by = ", ".join(f"{count} through {name}" for name, count in sessions.items())
    return f"{total} session{'s' * (total > 1)} left: {by}", False


def _named(service: str) -> str:
    return "every service" if service == ALL else service


def _quoted(service: str) -> str:
    return f"'{service}'" if service == ALL else service
