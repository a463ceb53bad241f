"""`hactl node …`, `hactl fence confirm`, and the family `hactl fence`."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from typing import Annotated

import typer

from hactl.admin.requests import Confirm, Drain, Online, Standby
from hactl.cli.awaiting import Lines, until
from hactl.cli.backend import Backend
from hactl.cli.client import WaitError
from hactl.cli.common import BAD_INPUT, NOT_IN_TIME, CliError, confirmed, say, settings, tell, waiting
from hactl.cli.node_view import render_node
from hactl.cli.options import ConfigOption, Force, Json, Node, Wait, Yes, seconds
from hactl.cli.output import Style
from hactl.cli.service import ALL, await_empty
from hactl.status.conditions import leaving

# Added to a wait: better to ask a little late than twice.
LATE_S = 0.05


def standby(
    node: Node,
    yes: Force = False,
    drain_timeout: Annotated[
        str,
        typer.Option("--drain-timeout", metavar="DURATION", help="How long open sessions may last; 0s: no drain."),
    ] = "30s",
    wait: Wait = True,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait for the groups to leave.")
    ] = "2m",
    config: ConfigOption = None,
) -> None:
    """Take a node out of use, until `online`: its servers get no new connections, then all groups leave it.

    No group comes to it. If a group would then run nowhere, or a service have no server, that is said first, and asked.
    A command that was interrupted or refused may leave it drained: repeat it, or use `online`.

    Exit status: 0 no group is left, 1 refused, 2 bad input, 3 not in time: it stays in standby, and the groups leave as
    soon as they can.
    """
    limit_s, leave_s = seconds(drain_timeout), seconds(timeout)
    with closing(Backend(settings(config))) as backend:
        _, yes = backend.do_asking(lambda force: Standby(node, force, check=True), yes=yes)
        if limit_s:
            _, yes = backend.do_asking(lambda force: Drain(ALL, node, "standby", force), yes=yes)
            say(f"{node}: its servers get no new connections")
            if not await_empty(backend, ALL, node, limit_s, f"hactl node online {node}"):
                say("going on all the same")
        asked, _ = backend.do_asking(lambda force: Standby(node, force), yes=yes)
        groups = ", ".join(asked.groups)
        say(f"{node} is in standby; " + (f"leaving it now: {groups}" if groups else "no group was on it"))
        if wait:
            _await_left(backend, node, leave_s, asked.revision)


def _await_left(backend: Backend, node: str, limit_s: float, revision: int) -> None:
    """Until no group is on the node; each step is shown."""
    lines = Lines()
    stay = until(backend, lambda document: leaving(document, node), limit_s, lines, revision=revision)
    if stay:
        tell(f"error: not in time: {'; '.join(stay)}. {node} stays in standby; to undo: `hactl node online {node}`")
        raise typer.Exit(NOT_IN_TIME)
    lines.say(f"no group is on {node}")


def online(node: Node, config: ConfigOption = None) -> None:
    """End a node's standby: its servers get new connections again, and its recorded failures are deleted.

    Groups do not come back by themselves.
    """
    with closing(Backend(settings(config))) as backend:
        changed = backend.do(Online(node)).changed
    if changed:
        say(f"{node} is in use again; to move a group there: `hactl failover GROUP --to {node}`")
    else:
        say(f"{node} was in use: it was neither in standby nor drained, and nothing had failed there")


def show(node: Node, as_json: Json = False, config: ConfigOption = None) -> None:
    """Show a node: its state, what it runs, its health checks with value and limit, and what does not work there."""
    with closing(Backend(settings(config))) as backend:
        document = backend.status()
    known = {entry["name"]: entry for entry in document["nodes"]}
    if node not in known:
        raise CliError(f"no node `{node}` (nodes: {', '.join(known)})", BAD_INPUT)
    say(json.dumps(known[node], indent=2) if as_json else render_node(known[node], Style.of()))


def confirm(node: Node, yes: Yes = False, config: ConfigOption = None) -> None:
    """Confirm that a lost node runs nothing any more: it is off, or you have stopped everything on it.

    Its groups then start on other nodes. If they still run on the lost node, they run twice.
    """
    with closing(Backend(settings(config))) as backend:
        if not yes and not confirmed(f"Is it certain that nothing of the cluster runs on {node} any more?"):
            raise CliError("not confirmed: nothing was done")
        session_id = _confirm(backend, node)
    say(f"{node}: session {session_id or '(all before the recovery)'} is taken to be stopped")


def _confirm(backend: Backend, node: str) -> str:
    """Ask until its lease is over. It may take as long as a lease where nobody has watched it yet."""
    while True:
        try:
            return backend.do(Confirm(node)).session_id
        except WaitError as error:
            if sys.stderr.isatty():
                waiting(f"{error}; waiting")
            time.sleep(min(error.wait_ms / 1000, 1.0) + LATE_S)
