"""The command line by typer. One file beside this for each family of commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hactl import __version__
from hactl.cli import config, failover, group, importing, init, key, lab, node, preset, service, status
from hactl.cli.common import CONFIG_ENV, say
from hactl.config.node import DEFAULT_PATH

app = typer.Typer(
    name="hactl",
    help="Manage a high-availability cluster. Exit status: 0 done, 1 failed or refused, 2 bad input.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for family in (status, failover, node, group, service, config, importing, preset, init, key, lab):
    family.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"hactl {__version__}")
        raise typer.Exit


@app.callback()
def top(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="NODE_TOML",
            envvar=CONFIG_ENV,
            help=f"The file with this node's settings. Default: {DEFAULT_PATH}. It may also follow the command.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """See `help` of the app."""
    if config is not None:
        os.environ[CONFIG_ENV] = str(config)
