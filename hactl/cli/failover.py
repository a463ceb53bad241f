"""`hactl failover`: a planned move, watched until it is done."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hactl.admin.requests import CancelScheduled, Failover, MoveRequested, Schedule, Withdraw
from hactl.cli.awaiting import NEWS_S
from hactl.cli.backend import Backend
from hactl.cli.common import BAD_INPUT, FAILED, NOT_IN_TIME, CliError, say, settings, tell
from hactl.cli.completion import groups, nodes
from hactl.cli.options import ConfigOption, Wait
from hactl.cli.times import parse, shown


def failover(
    group: Annotated[str, typer.Argument(help="The group to move.", autocompletion=groups)],
    to: Annotated[
        str,
        typer.Option("--to", metavar="NODE", help="The new node. Default: the best other node.", autocompletion=nodes),
    ] = "",
    at: Annotated[
        str,
        typer.Option("--at", metavar="TIME", help="Move it at this time: 22:30, or with a date; local unless with Z."),
    ] = "",
    cancel: Annotated[bool, typer.Option("--cancel", help="Take back what was planned by --at.")] = False,
    wait: Wait = True,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="The request is withdrawn after this time.")
    ] = 60.0,
    config: ConfigOption = None,
) -> None:
    """Move a group to another node, once: afterwards it may run on any of its nodes, as before.

    With `--at` it is kept in etcd, and its owner begins the move at that time, by its own clock. `hactl status` shows
    it. A move that could not begin within ten minutes after its time is not begun any more.

    Exit status: 0 moved, 1 refused or failed, 2 bad input, 3 not in time.
    """
    if at or cancel:
        _plan(group, to, at, config, cancel=cancel)
        return
    with closing(Backend(settings(config))) as backend:
        began = time.monotonic()
        request = backend.do(Failover(group, to))
        say(f"{group}: from {request.from_node} to {request.to or 'the best other node'}")
        move = Watched(backend, group, request, began)
        move.tell("request written")
        if wait:
            raise typer.Exit(move.until(began + timeout))


def _plan(group: str, to: str, at: str, config: Path | None, *, cancel: bool) -> None:
    """A move at a certain time, or its end."""
    if at and cancel:
        raise CliError("--at or --cancel: give one", BAD_INPUT)
    with closing(Backend(settings(config))) as backend:
        if cancel:
            changed = backend.do(CancelScheduled(group)).changed
            say(f"{group}: " + ("the planned move is cancelled" if changed else "no move was planned"))
            return
        now = datetime.now().astimezone()
        try:
            when = parse(at, now)
        except ValueError as error:
            raise CliError(str(error), BAD_INPUT) from None
        backend.do(Schedule(group, when.timestamp() * 1000, to))
        say(f"{group}: to {to or 'the best other node'} at {shown(when, now)}")
        say(f"to take it back: `hactl failover {group} --cancel`")


class Watched:
    """A move under way. `tell` shows a phase once, with the milliseconds since the request."""

    def __init__(self, backend: Backend, group: str, request: MoveRequested, began: float) -> None:
        self._backend, self._group, self._request, self._began = backend, group, request, began
        self._shown: list[str] = []

    def tell(self, phase: str) -> None:
        """Show a phase, when it is another."""
        if phase and phase not in self._shown:
            self._shown.append(phase)
            say(f"{(time.monotonic() - self._began) * 1000:8.0f} ms  {phase}")

    def until(self, deadline: float) -> int:
        """Watch until it is over; the exit status."""
        mark, answer = "", {}
        try:
            while (left := deadline - time.monotonic()) > 0:
                answer = self._backend.group(self._group, mark, min(NEWS_S, left))
                mark = answer["mark"]
                phase, over = self._phase(answer)
                self.tell(phase)
                if over is not None:
                    return over
        except (KeyboardInterrupt, CliError):
            self._withdraw()
            raise
        return self._too_late(answer)

    def _phase(self, answer: dict[str, Any]) -> tuple[str, int | None]:
        """The phase, and the exit status once it is over."""
        group, old = answer["group"], self._request.from_node
        owner, state = group["owner"], group["state"]
        if group["ownership"] == "handoff":
            return f"handed over to {owner}", None
        if owner and owner != old:
            if state == "running" and not group["holders"]:
                return f"running on {owner}", 0
            if state == "running":
                return f"running on {owner}; {', '.join(group['holders'])} lets go", None
            return (f"starting on {owner}" if state == "starting" else f"{state} on {owner}"), None
        mine = answer["move"] and answer["move"]["id"] == self._request.id
        if mine or answer["revision"] < self._request.revision:
            return (f"stopping on {old}" if state == "stopping" else f"{state} on {old}" * (state == "blocked")), None
        if owner == old:
            tell(f"error: {self._why_not_moved(group)}")
            return "", FAILED
        return ("given back" if self._elsewhere else f"released by {old}"), None

    @property
    def _elsewhere(self) -> bool:
        """Whether another node had it meanwhile."""
        return any(phase.startswith(("handed over", "starting", "given back", "running")) for phase in self._shown)

    def _why_not_moved(self, group: dict[str, Any]) -> str:
        """It is where it was, and the request is gone."""
        name, old, reason = group["name"], self._request.from_node, group["reason"]
        if self._elsewhere and reason:
            return f"the move failed: {name} is on {old} again: {reason}"
        if self._elsewhere:
            return f"the move failed: {name} is on {old} again; `hactl events` says why"
        target = self._request.to
        why = group["excluded"].get(target) or "; ".join(f"{node}: {text}" for node, text in group["excluded"].items())
        return f"the move was refused: {name} stays on {old}: {why or '`hactl events` says why'}"

    def _too_late(self, answer: dict[str, Any]) -> int:
        withdrawn = self._withdraw()
        group = answer.get("group", {})
        where = f"{group['state']} on {group['owner']}" if group.get("owner") else group.get("state", "unknown")
        outcome = "the request was withdrawn" if withdrawn else "it had begun and may yet come to its end"
        tell(f"error: not in time: {self._group} is {where}; {outcome}: see `hactl status`")
        return NOT_IN_TIME

    def _withdraw(self) -> bool:
        try:
            return self._backend.do(Withdraw(self._group, self._request.id)).withdrawn
        except CliError as error:
            tell(f"error: the request could not be withdrawn: {error}")
            return False
