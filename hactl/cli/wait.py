"""`hactl wait`: until the cluster is as a script needs it."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import Annotated

import typer

from hactl.cli.awaiting import look_for, parsed, until
from hactl.cli.backend import Backend
from hactl.cli.common import NOT_IN_TIME, say, settings, tell, waiting
from hactl.cli.completion import conditions as completed
from hactl.cli.options import ConfigOption, seconds


def wait(
    conditions: Annotated[
        list[str],
        typer.Argument(metavar="CONDITION…", help="What to wait for; all must hold.", autocompletion=completed),
    ],
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long to wait.")] = "60s",
    config: ConfigOption = None,
) -> None:
    """Wait until all conditions hold at one time.

    `settled`: every group runs where it belongs, nothing is on its way, and all nodes use the newest configuration.
    `GROUP=running`, `GROUP=stopped`, `GROUP=unmanaged`. `GROUP@NODE`: it runs on that node. `NODE=online`,
    `NODE=standby` (and no group is left on it), `NODE=dead`. Without an answer of etcd nothing holds.

    Exit status: 0 all hold, 1 failed, 2 bad input, 3 not in time: what is missing is on standard error.
    """
    look, limit_s, began = look_for(parsed(conditions)), seconds(for_), time.monotonic()
    with closing(Backend(settings(config))) as backend:
        missing = until(backend, look, limit_s, _show)
    if sys.stderr.isatty():
        waiting("\n")
    if missing:
        tell("error: not in time: " + "; ".join(missing))
        raise typer.Exit(NOT_IN_TIME)
    say(f"{', '.join(conditions)}: after {time.monotonic() - began:.1f} s")


def _show(words: list[str]) -> None:
    if sys.stderr.isatty() and words:
        waiting(f"waiting: {'; '.join(words)}")
