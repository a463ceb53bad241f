"""`hactl key …`: the cluster's key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hactl.cli.common import say, settings
from hactl.cli.options import ConfigOption

File = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="The file to write. Default: `cluster_key` in node.toml.")
]


def create(file: File = None, config: ConfigOption = None) -> None:
    """Create the cluster's key, once; then copy the file to every node. Refused if the file exists."""
    from hactl.config.cluster_key import create_key  # noqa: PLC0415 - few commands need it

    path = file or Path(settings(config).cluster_key)
    create_key(path)
    say(f"{path} written: copy it to every other node, with mode 0600, and restart hactl there")
    say("then, where the cluster has begun already: `hactl config sign`")
