"""Tests that take a tier of their own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest


def below(folder: Path, tests: Iterable[pytest.Item], mark: str, timeout_s: int, *, unless: str | None = None) -> None:
    """Give those in `folder` the mark and the time limit; skip them when `unless` is an expression (`pytest -m`) that
    does not ask for them."""
    skip = pytest.mark.skip(reason=f"only when asked for: make test-{mark}")
    for test in tests:
        if folder in test.path.parents:
            test.add_marker(mark)
            test.add_marker(pytest.mark.timeout(timeout_s))
            if unless is not None and mark not in unless:
                test.add_marker(skip)
