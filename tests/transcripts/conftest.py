"""`pytest tests/transcripts --update` writes what happens now below each command."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="transcripts: write what happens now")
