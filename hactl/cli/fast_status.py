"""`hactl status`, once. Imports nothing that takes long."""

from __future__ import annotations

import json
from pathlib import Path

from hactl.cli.backend import Backend
from hactl.cli.common import say, settings
from hactl.cli.output import Style
from hactl.cli.status_view import render


def show_status(*, as_json: bool, config: Path | None = None) -> None:
    """Ask, and show the answer."""
    source = Backend(settings(config))
    try:
        found = source.status()
    finally:
        source.close()
    say(json.dumps(found, indent=1) if as_json else render(found, Style.of()))
