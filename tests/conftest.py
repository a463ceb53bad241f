"""Tests that depend on real time get a second try, as the machine may be busy; pure tests do not.

Each first failure is shown at the end (RERUN). A broken promise (`tests.support.promises`) is never retried.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.promises import BrokenPromiseError

_BROKEN = pytest.StashKey[bool]()
_REAL_TIME = [
    Path(__file__).parent / place for place in ("contract", "galera", "integration", "lab", "system", "watchdog")
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(place in item.path.parents for place in _REAL_TIME):
            item.add_marker(_second_try(item))


def _second_try(item: pytest.Item) -> pytest.MarkDecorator:
    def allowed() -> bool:
        return _BROKEN not in item.stash

    return pytest.mark.flaky(reruns=1, condition=allowed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    if call.excinfo is not None and call.excinfo.errisinstance(BrokenPromiseError):
        item.stash[_BROKEN] = True
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"failed at first: {report.nodeid}", sep="_")
        terminalreporter.write_line(report.longreprtext)
