"""`hactl fence NODE`, `status`, `history`, `test`: nodes are fenced, and fence devices are tested."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hactl.admin.requests import Fence, FenceTest, TestRequested
from hactl.cli.backend import Backend
from hactl.cli.common import BAD_INPUT, FAILED, NOT_IN_TIME, CliError, confirmed, say, settings, tell, waiting
from hactl.cli.completion import nodes
from hactl.cli.options import ConfigOption, Json, JsonLines, Node, Wait, Yes
from hactl.cli.output import Style, duration, table
from hactl.cli.status import show_event

# How long an answer waits for news. Short: the deadline is looked at in between.
NEWS_S = 0.5

# Added to the agents' time limit: until every daemon has seen the request and the answer is written.
SLACK_S = 15.0

# As many events as are kept.
ALL = 1_000

# The events of fencing beside those called `fence_…`.
_STORY = frozenset(
    {
        "peer_suspected",
        "peer_over",
        "peer_deposed",
        "deposed",
        "guard_holds",
        "self_fence",
        "guard_stopped_everything",
        "unfenced",
    }
)


class FenceGroup(TyperGroup):
    """`hactl fence n1` is `hactl fence node n1`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say the command where it was left out."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["node", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The commands, and the nodes."""
        node = self.commands["node"].params[0]
        return [*super().shell_complete(ctx, incomplete), *node.shell_complete(ctx, incomplete)]


def node(
    node: Node,
    off: Annotated[bool, typer.Option("--off", help="Switch it off, and leave it off.")] = False,
    reboot: Annotated[bool, typer.Option("--reboot", help="Switch it off, then on again.")] = False,
    on: Annotated[bool, typer.Option("--on", help="Switch it on; it must be known to be stopped.")] = False,
    yes: Yes = False,
    wait: Wait = True,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1.0, metavar="SECONDS", help="How long to wait; the nodes keep trying.")
    ] = 300.0,
    config: ConfigOption = None,
) -> None:
    """Switch a node off by its fence devices, whatever runs on it. `hactl fence NODE` is the same.

    Its groups start on other nodes once it is known to be off. Without an option, the node's `action` in cluster.yaml
    decides between --off and --reboot. Exit status: 0 done, 1 refused or failed, 2 bad input, 3 not in time.
    """
    if off + reboot + on > 1:
        raise CliError("--off, --reboot or --on: give one", BAD_INPUT)
    with closing(Backend(settings(config))) as backend:
        action = "off" if off else "reboot" if reboot else "on" if on else ""
        if not yes and not on:
            for line in _prospect(backend.status(), node, action):
                tell(line)
            if not confirmed(f"Fence {node} now?"):
                raise CliError("not confirmed: nothing was done")
        action = backend.do(Fence(node, action)).action
        say(f"{node}: {action} asked for" + ("" if on else "; its session has ended"))
        if wait:
            watch = _watch_on if on else _watch
            raise typer.Exit(watch(backend, node, time.monotonic() + timeout))


def _prospect(document: dict[str, Any], name: str, action: str) -> Iterator[str]:
    """Prompt lines: the state now, and what the command will do; empty if the request would be refused."""
    target = next((node for node in document["nodes"] if node["name"] == name), None)
    if target is None or target["fencing"] is None:
        return
    fencing = target["fencing"]
    runs = f"runs {', '.join(target['runs'])}" if target["runs"] else "runs no group"
    yield f"{name} is {target['state'].replace('_', ' ')} and {runs}."
    again = ", then on again" if (action or fencing["action"]) == "reboot" else ", and left off"
    levels = "; if that fails: ".join(level for level in fencing["levels"] if level != "watchdog")
    yield f"It will be switched off{again}, as if its power failed, by {levels}."
    if target["runs"]:
        yield "These groups stop at once, and start on another node when it is known to be off."
    if fencing["by"]:
        yield f"At the last test of the devices it could be fenced by {', '.join(fencing['by'])}."
    else:
        yield "At the last test of the devices NOBODY could fence it: `hactl fence test`."


def _statuses(backend: Backend, deadline: float) -> Iterator[dict[str, Any]]:
    """The status document, again when there is news, until `deadline`; at least once."""
    mark, left = "", 1.0
    while left > 0:
        left = deadline - time.monotonic()
        document = backend.status(mark, max(0.0, min(NEWS_S, left)))
        mark = document["mark"]
        yield document


def _fence_of(document: dict[str, Any], name: str) -> dict[str, Any] | None:
    return next((fence for fence in document["fences"] if fence["node"] == name), None)


def _watch(backend: Backend, name: str, deadline: float) -> int:
    """Show the phases until the fencing is over; the exit status."""
    shown, began = "", time.monotonic()
    for document in _statuses(backend, deadline):
        if (fence := _fence_of(document, name)) is None:
            continue
        phase = _phase(fence)
        if phase != shown:
            shown = phase
            say(f"{(time.monotonic() - began) * 1000:8.0f} ms  {phase}")
        if fence["state"] == "safe" and fence["power"] != "off":
            if fence["evidence"] == "off":
                return 0
            tell(f"error: {name} was not switched off: its session is over otherwise ({fence['evidence']})")
            return FAILED
    tell(f"error: not in time: {shown or 'nothing was seen of it'}; it goes on: `hactl fence status`")
    return NOT_IN_TIME


def _watch_on(backend: Backend, name: str, deadline: float) -> int:
    """Wait until its devices have switched it on; the exit status."""
    for document in _statuses(backend, deadline):
        fence = _fence_of(document, name)
        if fence is None or fence["power"] != "off":
            say(f"{name} is on; hactl there takes part as soon as it has started")
            return 0
    tell(f"error: not in time: {name} was not switched on; it goes on: `hactl fence history {name}`")
    return NOT_IN_TIME


def _phase(fence: dict[str, Any]) -> str:
    if fence["state"] == "safe":
        on = f"; waiting for {fence['waiting']}" if fence["waiting"] else ""
        return f"safe ({fence['evidence']}, by {fence['by']}){on}"
    failed = f"; so far: {fence['last']}" if fence["last"] else ""
    attempt = f"attempt {fence['attempts']}, " if fence["attempts"] else ""
    return f"{attempt}waiting for {fence['waiting']}{failed}"


def status(as_json: Json = False, config: ConfigOption = None) -> None:
    """Show the dead sessions: whether each is known to be stopped, its fencing so far, and the next step."""
    with closing(Backend(settings(config))) as backend:
        fences = backend.status()["fences"]
    if as_json:
        say(json.dumps(fences, indent=1))
        return
    rows = [_row(fence) for fence in sorted(fences, key=lambda fence: (fence["state"] == "safe", fence["node"]))]
    head = ("NODE", "STATE", "HOW", "FENCED BY", "ATTEMPTS", "LAST", "WAITING FOR")
    say("\n".join(table(head, rows, Style.of(), painted=(1,))) or "no session has died yet")
    for fence in fences:
        if fence["fencing"] and fence["failures"]:
            hint = f"`hactl fence confirm {fence['node']}`"
            say(f"{fence['node']}: fix its devices, or make sure that it is off and say so: {hint}")


def _row(fence: dict[str, Any]) -> tuple[str, ...]:
    reason = f"{fence['evidence']}, by {fence['by']}" if fence["evidence"] else f"deposed by {fence['by']}"
    if fence["wanted"] and fence["state"] != "safe":
        reason = f"{fence['wanted']} asked for by {fence['by']}"
    attempts = str(fence["attempts"] or "-")
    if fence["failures"]:
        attempts = f"{fence['attempts']} ({fence['failures']} rounds failed)"
    cells = (reason, fence["executor"] or "-", attempts, fence["last"] or "-", fence["waiting"] or "-")
    return (fence["node"], fence["state"], *cells)


def history(
    node: Annotated[str, typer.Argument(help="Show only this node. Default: all nodes.", autocompletion=nodes)] = "",
    number: Annotated[int, typer.Option("--number", "-n", min=0, help="How many events to show.")] = 50,
    as_json: JsonLines = False,
    config: ConfigOption = None,
) -> None:
    """Show the history of fencing, from the cluster's events: actions on nodes, and results of the devices."""
    with closing(Backend(settings(config))) as backend:
        events = [event for event in backend.events(ALL)["events"] if _in_story(event, node)]
    style = Style.of()
    for event in events[-number:] if number else ():
        say(json.dumps(event) if as_json else show_event(event, style))
    if not events and not as_json:
        say(f"no event of fencing{f' of {node}' if node else ''} is known")


def _in_story(event: dict[str, Any], node: str) -> bool:
    if not event["event"].startswith("fence_") and event["event"] not in _STORY:
        return False
    about = [named for key in ("node", "on", "target") if (named := event["data"].get(key)) is not None]
    return not node or node in about or (not about and event["node"] == node)


def test(as_json: Json = False, config: ConfigOption = None) -> None:
    """Test every fence device from every node, now: which nodes can be fenced, and by which other nodes?

    It asks for the status only, and switches nothing. Exit status: 0 every device answers every node, 1 a device
    failed, or a node did not answer, 2 bad input.
    """
    with closing(Backend(settings(config))) as backend:
        request = backend.do(FenceTest())
        document, silent = _answers(backend, request)
    reports = [report for report in document["devices"] if report["test"] == request.id]
    well = not silent and all(target["ok"] for report in reports for target in report["targets"])
    nodes = [
        {"name": node["name"], **(node["fencing"] or {"device": False})}
        for node in document["nodes"]
        if node["configured"]
    ]
    well = well and all(node["by"] for node in nodes if node["device"])
    if as_json:
        say(json.dumps({"ok": well, "silent": silent, "nodes": nodes, "devices": reports}, indent=1))
    else:
        for line in _page(nodes, reports, silent, Style.of()):
            say(line)
    raise typer.Exit(0 if well else FAILED)


def _answers(backend: Backend, request: TestRequested) -> tuple[dict[str, Any], list[str]]:
    """The status once all nodes have answered, and the nodes that have not at the deadline."""
    for document in _statuses(backend, time.monotonic() + request.limit_ms / 1000 + SLACK_S):
        shown = {report["node"] for report in document["devices"] if report["test"] == request.id}
        silent = [name for name in request.nodes if name not in shown]
        if not silent:
            break
        if sys.stderr.isatty():
            waiting(f"waiting for {', '.join(silent)}")
    return document, silent


def _page(nodes: list[dict[str, Any]], reports: list[dict[str, Any]], silent: list[str], style: Style) -> Iterator[str]:
    outcomes = {(report["node"], _named(target)): target for report in reports for target in report["targets"]}
    testers = [report["node"] for report in reports]
    named = dict.fromkeys(_named(target) for report in reports for target in report["targets"])
    rows = [(*name, *(_cell(outcomes.get((by, name))) for by in testers)) for name in sorted(named)]
    columns = tuple(range(2, 2 + len(testers)))
    yield from table(("NODE", "DEVICE", *(f"ASKED BY {by}" for by in testers)), rows, style, painted=columns)
    failed: dict[tuple[str, str], list[str]] = {}
    for (by, (_, device)), target in outcomes.items():
        if not target["ok"]:
            failed.setdefault((device, f"{target['detail']} (since {target['since']})"), []).append(by)
    for (device, detail), testers in failed.items():
        yield f"{device} fails when asked by {', '.join(testers)}: {detail}"
    for name in silent:
        yield f"{name} did not answer: it is away, or is fencing a node just now"
    yield from map(_conclusion, nodes)


def _named(target: dict[str, Any]) -> tuple[str, str]:
    return target["node"], f"{target['device']} {target['plug']}".strip()


def _cell(target: dict[str, Any] | None) -> str:
    if target is None:
        return "-"
    return f"{target['power']} {duration(target['seconds'] * 1000)}" if target["ok"] else "failed"


def _conclusion(node: dict[str, Any]) -> str:
    if not node["device"]:
        watchdog = " but its own watchdog" if node.get("levels") else ""
        return f"{node['name']}: nothing can switch it off{watchdog}"
    if node["by"]:
        return f"{node['name']}: can be fenced by {', '.join(node['by'])}"
    return f"{node['name']}: can NOT be fenced by any other node that is alive"
