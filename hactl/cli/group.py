"""`hactl group …`: what an operator wants of one group."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from hactl.admin.requests import Ban, Cleanup, Clear, GroupRequested, Restart, Start, Stop
from hactl.cli.awaiting import Lines, look_for, parsed, until
from hactl.cli.backend import Backend
from hactl.cli.common import NOT_IN_TIME, say, settings, tell
from hactl.cli.completion import nodes
from hactl.cli.options import ConfigOption, For, Force, Group, Reason, Timeout, Wait, seconds


def stop(
    group: Group, reason: Reason = "", yes: Force = False, wait: Wait = True, timeout: Timeout = "60s",
    config: ConfigOption = None,
) -> None:  # fmt: skip
    """Stop a group, and keep it stopped until `start`, whatever is restarted meanwhile.

    If services are reached through it only, that is said first, and asked.

    Exit status: 0 stopped, 1 refused or failed, 2 bad input, 3 not in time: it stops as soon as it can.
    """
    limit_s = seconds(timeout)
    with closing(Backend(settings(config))) as backend:
        asked, _ = backend.do_asking(lambda force: Stop(group, reason, force), yes=yes)
        already = "" if asked.changed else " already"
        say(f"{group} is to be stopped{already}; to start it: `hactl group start {group}`")
        _await(backend, f"{group}=stopped", asked, limit_s, wait=wait)


def start(group: Group, wait: Wait = True, timeout: Timeout = "60s", config: ConfigOption = None) -> None:
    """Start a group that was stopped by `stop`, on the node where it belongs, or on every node.

    Exit status: 0 it runs, 1 refused or failed, 2 bad input, 3 not in time: it starts as soon as it can.
    """
    limit_s = seconds(timeout)
    with closing(Backend(settings(config))) as backend:
        asked = backend.do(Start(group))
        say(f"{group} is to run" if asked.changed else f"{group} was not stopped by an operator")
        _await(backend, f"{group}=running", asked, limit_s, wait=wait)


def restart(group: Group, wait: Wait = True, timeout: Timeout = "60s", config: ConfigOption = None) -> None:
    """Stop everything of a group in reverse order, and start it again on the same node.

    A group that runs on every node is restarted on one node after the other, and only while all others run.

    Exit status: 0 it runs again, 1 refused or failed, 2 bad input, 3 not in time: it goes on.
    """
    limit_s = seconds(timeout)
    with closing(Backend(settings(config))) as backend:
        asked = backend.do(Restart(group))
        say(f"{group} is to be restarted on {asked.node or 'one node after the other'}")
        _await(backend, f"{group}=running", asked, limit_s, wait=wait)


def ban(
    group: Group,
    node: Annotated[str, typer.Argument(help="The node to keep it off.", autocompletion=nodes)],
    for_: For = "",
    reason: Reason = "",
    yes: Force = False,
    config: ConfigOption = None,
) -> None:
    """Keep a group off a node: it leaves it, and does not come to it, until the ban ends or is cleared.

    If no other node may run it, that is said first, and asked. `hactl wait GROUP=running` waits until it has moved.
    """
    for_ms = seconds(for_) * 1000 if for_ else 0.0
    with closing(Backend(settings(config))) as backend:
        asked, _ = backend.do_asking(lambda force: Ban(group, node, for_ms, reason, force), yes=yes)
    until_ = f" until {asked.until}" if asked.until else f"; to end that: `hactl group clear {group} {node}`"
    leaves = f"; leaving {node} now" if asked.node == node else ""
    say(f"{group} is banned from {node}{until_}{leaves}")


def clear(
    group: Group,
    node: Annotated[str, typer.Argument(help="Only this node. Default: all nodes.", autocompletion=nodes)] = "",
    config: ConfigOption = None,
) -> None:
    """End the bans of a group. No group moves back by itself."""
    with closing(Backend(settings(config))) as backend:
        cleared = backend.do(Clear(group, node)).nodes
    if cleared:
        say(f"{group} is no longer banned from {', '.join(cleared)}")
    else:
        say(f"{group} was not banned from {node or 'any node'}")


def cleanup(
    group: Group,
    node: Annotated[
        str, typer.Option("--node", metavar="NODE", help="Only this node. Default: all nodes.", autocompletion=nodes)
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Delete a group's recorded failures after a repair: it may run on all its nodes again.

    It is no longer blocked, nor held where it is.

    Failed resources are tried again at once. No group is moved. Exit status: 0 done, 1 refused, 2 bad input.
    """
    with closing(Backend(settings(config))) as backend:
        done = backend.do(Cleanup(group, node))
    if done.unblocked:
        say(f"{group} is no longer blocked: it starts where it may run")
    if done.freed:
        say(f"{group} is no longer held: when it fails again, it moves again")
    if done.nodes:
        nodes = ", ".join(done.nodes)
        say(f"{group} may run on {nodes} again; to move it there: `hactl failover {group} --to {done.nodes[0]}`")
    if not done.unblocked and not done.freed and not done.nodes:
        say(f"{group}: it was neither blocked nor kept off {node or 'any node'}; what waits for a retry is tried now")


def _await(backend: Backend, condition: str, asked: GroupRequested, limit_s: float, *, wait: bool) -> None:
    """Until the condition holds, and no restart is left to be carried out."""
    if not wait:
        return
    lines, look = Lines(), look_for(parsed([condition]))
    missing = until(backend, look, limit_s, lines, revision=asked.revision)
    if missing:
        tell(f"error: not in time: {'; '.join(missing)}")
        raise typer.Exit(NOT_IN_TIME)
    lines.say(condition.replace("=", " is "))
