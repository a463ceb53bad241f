"""`hactl status` and `hactl status --check`, once. Imports nothing that takes long."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from election.store import StoreError
from hactl.cli.backend import Backend
from hactl.cli.common import CliError, say, settings
from hactl.cli.output import Style
from hactl.cli.status_view import render
from hactl.config.errors import ConfigErrors
from hactl.status.check import UNKNOWN, check
from hactl.status.check import line as line_of


def check_status(config: Path | None = None) -> int:
    """`hactl status --check`: one line; the exit status. Raises nothing: whatever goes wrong is `unknown`."""
    try:
        with closing(Backend(settings(config))) as backend:
            status, line = check(backend.status())
    except (CliError, ConfigErrors, StoreError, OSError) as error:
        status, line = UNKNOWN, line_of(UNKNOWN, str(error))
    say(line)
    return status


def show_status(*, as_json: bool, config: Path | None = None) -> None:
    """Ask, and show the answer."""
    with closing(Backend(settings(config))) as backend:
        document = backend.status()
    say(json.dumps(document, indent=1) if as_json else render(document, Style.of()))
