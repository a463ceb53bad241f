"""`hactl group …`: what is said of a group."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from hactl.admin.requests import Cleanup
from hactl.cli.backend import Backend
from hactl.cli.common import say, settings
from hactl.cli.options import ConfigOption


def add_to(app: typer.Typer) -> None:
    """Make these commands known."""
    groups = typer.Typer(no_args_is_help=True, help="Say that a group is repaired.")
    groups.command()(cleanup)
    groups.callback()(_groups)
    app.add_typer(groups, name="group")


def _groups() -> None:
    """Say that a group is repaired."""


def cleanup(
    group: Annotated[str, typer.Argument(help="The group.")],
    node: Annotated[str, typer.Option("--node", metavar="NODE", help="Of this node; without it: of all.")] = "",
    config: ConfigOption = None,
) -> None:
    """Forget that a group failed: it may run again at once on the nodes that it is kept off, and is no longer blocked.

    For what was repaired: it is tried again at once. Nothing is moved. Exit status: 0 done, 1 refused, 2 bad input.
    """
    with closing(Backend(settings(config))) as backend:
        done = backend.do(Cleanup(group, node))
    if done.unblocked:
        say(f"{group} is no longer blocked: it starts where it may run")
    if done.nodes:
        nodes = ", ".join(done.nodes)
        say(f"{group} may run on {nodes} again; to move it there: `hactl failover {group} --to {done.nodes[0]}`")
    if not done.unblocked and not done.nodes:
        say(f"{group}: it was neither blocked nor kept off {node or 'any node'}; what waits for a retry is tried now")
