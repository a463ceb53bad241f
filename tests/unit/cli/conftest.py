"""The command line in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest
import structlog

from hactl.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hactl(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process: exit status, output, errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hactl", *map(str, words)])
        monkeypatch.setattr(os, "environ", dict(os.environ))
        capfd.readouterr()
        logs = structlog.get_config()
        try:
            main.run()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1 if end.code else 0
        finally:
            structlog.configure(**logs)
        return (status, *capfd.readouterr())

    return run
