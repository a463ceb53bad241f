"""`hactl group …`: what an operator wants of one group."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from hactl.admin.requests import Ban, Cleanup, Clear, GroupRequested, Restart, Start, Stop
from hactl.cli.awaiting import Lines, Look, look_for, parsed, until
from hactl.cli.backend import Backend
from hactl.cli.common import NOT_IN_TIME, say, settings, tell
from hactl.cli.completion import nodes
from hactl.cli.options import ConfigOption, For, Force, Group, Reason, Timeout, Wait, seconds
from hactl.status.clone_words import about_clone
from hactl.status.conditions import about, unplaced


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
    wait: Wait = True,
    timeout: Timeout = "60s",
    config: ConfigOption = None,
) -> None:
    """Keep a group off a node: it leaves it, and does not come to it, until the ban ends or is cleared.

    If no other node may run it, that is said first, and asked.

    Exit status: 0 banned, and it runs elsewhere, or nowhere if no other node may run it; 1 refused or failed, 2 bad
    input, 3 not in time: it leaves the node as soon as it can.
    """
    limit_s, for_ms = seconds(timeout), seconds(for_) * 1000 if for_ else 0.0
    with closing(Backend(settings(config))) as backend:
        asked, _ = backend.do_asking(lambda force: Ban(group, node, for_ms, reason, force), yes=yes)
        until_ = f" until {asked.until}" if asked.until else f"; to end that: `hactl group clear {group} {node}`"
        leaves = f"; leaving {node} now" if asked.node == node else ""
        say(f"{group} is banned from {node}{until_}{leaves}")
        if wait and asked.node == node:
            _await_place(backend, group, asked.revision, limit_s)


def clear(
    group: Group,
    node: Annotated[str, typer.Argument(help="Only this node. Default: all nodes.", autocompletion=nodes)] = "",
    wait: Wait = True,
    timeout: Timeout = "60s",
    config: ConfigOption = None,
) -> None:
    """End the bans of a group. A group that runs does not move back by itself; one that could run nowhere starts.

    Exit status: 0 ended, and it runs if a node may run it; 1 refused or failed, 2 bad input, 3 not in time: it starts
    as soon as it can.
    """
    limit_s = seconds(timeout)
    with closing(Backend(settings(config))) as backend:
        cleared = backend.do(Clear(group, node))
        if not cleared.nodes:
            say(f"{group} was not banned from {node or 'any node'}")
            return
        say(f"{group} is no longer banned from {', '.join(cleared.nodes)}")
        if wait:
            _await_place(backend, group, cleared.revision, limit_s)


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
    if wait:
        look = look_for(parsed([condition]))
        _await_look(backend, look, asked.revision, limit_s).say(condition.replace("=", " is "))


def _await_place(backend: Backend, group: str, revision: int, limit_s: float) -> None:
    """Until the group is where it belongs now, or no node may run it and none does."""
    last: list[str] = []

    def look(document: dict[str, Any]) -> list[str]:
        last[:] = [about(entry) for entry in document["groups"] if entry["name"] == group]
        last.extend(about_clone(clone) for clone in document.get("clones", ()) if clone["name"] == group)
        return [words] if (words := unplaced(document, group)) else []

    lines = _await_look(backend, look, revision, limit_s)
    lines.say("; ".join(last))


def _await_look(backend: Backend, look: Look, revision: int, limit_s: float) -> Lines:
    """Until nothing is missing; what shows the progress. Raises typer.Exit when that is not in time."""
    lines = Lines()
    missing = until(backend, look, limit_s, lines, revision=revision)
    if missing:
        tell(f"error: not in time: {'; '.join(missing)}")
        raise typer.Exit(NOT_IN_TIME)
    return lines
