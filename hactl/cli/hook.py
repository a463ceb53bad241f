"""`hactl hook …`: the commands and webhooks that get events."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Annotated, Any

import typer

from hactl.cli.backend import Backend
from hactl.cli.common import BAD_INPUT, CliError, say, settings
from hactl.cli.completion import hooks
from hactl.cli.options import ConfigOption
from hactl.cli.output import Style, duration, table


def list_hooks(
    as_json: Annotated[bool, typer.Option("--json", help="All that is known, as JSON.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show the hooks, and how they are on this node: what waits, what was delivered, and why one fails.

    The counts begin with this node's daemon. Exit status: 0 done, 1 no daemon here.
    """
    with closing(Backend(settings(config))) as backend:
        document = backend.hooks()
    if as_json:
        say(json.dumps(document, indent=2))
        return
    rows = [_row(hook) for hook in document["hooks"]]
    head = ("HOOK", "STATE", "TO", "EVENTS", "WAITING", "SENT", "FAILED", "DROPPED", "LAST")
    for line in table(head, rows, Style.of(), painted=(1,)):
        say(line)
    if not rows:
        say("the configuration in use has no hooks: docs/hooks.md")


def test(
    hook: Annotated[str, typer.Argument(help="The hook's name.", autocompletion=hooks)],
    config: ConfigOption = None,
) -> None:
    """Deliver the event `hook_test` to a hook, once, from this node; show how that went.

    It is tried at once, beside what waits. Exit status: 0 delivered, 1 not delivered, 2 no such hook.
    """
    with closing(Backend(settings(config))) as backend:
        document = backend.hooks()
        known = {entry["name"]: entry for entry in document["hooks"]}
        if hook not in known:
            raise CliError(f"no hook `{hook}` (hooks: {', '.join(known) or 'there is none'})", BAD_INPUT)
        outcome = backend.test_hook(hook, known[hook]["timeout_ms"] / 1000)
    where = f"{hook}, from {document['node']} to {known[hook]['target']}"
    detail = f": {outcome['detail']}" if outcome["detail"] else ""
    if not outcome["ok"]:
        raise CliError(f"{where}: not delivered{detail}")
    say(f"{where}: delivered in {duration(outcome['ms'])}{detail}")


def _row(hook: dict[str, Any]) -> tuple[str, ...]:
    last = hook["last"]
    about = f"{last['event']} at {last['at']}" if last else "-"
    about += f": {hook['problem'] or last['detail']}" if last and (hook["problem"] or last["detail"]) else ""
    counts = (str(hook[name]) for name in ("waiting", "sent", "failed", "dropped"))
    state = "failed" if hook["problem"] else "ok"
    return (hook["name"], state, hook["target"], " ".join(hook["on"]), *counts, about)
