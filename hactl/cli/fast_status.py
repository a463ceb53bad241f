"""`hactl status`, once. Imports nothing that takes long."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from hactl.cli.backend import Backend
from hactl.cli.common import say, settings
from hactl.cli.output import Style
from hactl.cli.status_view import render


def show_status(*, as_json: bool, config: Path | None = None) -> None:
    """Ask, and show the answer."""
    with closing(Backend(settings(config))) as backend:
        document = backend.status()
    say(json.dumps(document, indent=1) if as_json else render(document, Style.of()))
