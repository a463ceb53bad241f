"""`hactl group …`: word of an operator about a group."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from hactl.admin.requests import Cleanup
from hactl.cli.backend import Backend
from hactl.cli.common import say, settings
from hactl.cli.completion import groups, nodes
from hactl.cli.options import ConfigOption


def cleanup(
    group: Annotated[str, typer.Argument(help="The group's name.", autocompletion=groups)],
    node: Annotated[
        str, typer.Option("--node", metavar="NODE", help="Only this node. Default: all nodes.", autocompletion=nodes)
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Delete a group's recorded failures after a repair: it may run on all its nodes again, and is no longer blocked.

    Failed resources are tried again at once. No group is moved. Exit status: 0 done, 1 refused, 2 bad input.
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
