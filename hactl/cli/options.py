"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
