"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hactl.cli.completion import groups, nodes

Node = Annotated[str, typer.Argument(help="The node's name.", autocompletion=nodes)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Force = Annotated[bool, typer.Option("--yes", "-y", "--force", help="Do not ask: do it even if it hurts what runs.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="The reason, for `hactl status`.")]
For = Annotated[
    str, typer.Option("--for", metavar="DURATION", help="It ends by itself after this time. Default: never.")
]
Timeout = Annotated[str, typer.Option("--timeout", metavar="DURATION", help="How long to wait.")]
Group = Annotated[str, typer.Argument(help="The group's name.", autocompletion=groups)]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done, and show the progress.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="NODE_TOML", help="This node's settings, as for `hactl --config`.", hidden=True),
]


def seconds(text: str) -> float:
    """A duration as in cluster.yaml, in seconds."""
    from hactl.config.fields import duration_ms  # noqa: PLC0415 - a fifth of a second

    try:
        return duration_ms(text) / 1000
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
