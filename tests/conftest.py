"""Pure tests (`tests.support.pure`) may not depend on the machine, and are never retried. Tests that depend on real
time get a second try, as the machine may be busy.

Each first failure is shown at the end (RERUN). A broken promise (`tests.support.promises`) is never retried.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.support import examples as _profiles  # noqa: F401
from tests.support.promises import BrokenPromiseError
from tests.support.pure import guarded

_BROKEN = pytest.StashKey[bool]()
_REAL_TIME = [
    Path(__file__).parent / place for place in ("contract", "galera", "integration", "lab", "system", "watchdog")
]


# By default structlog draws a traceback with all local variables, which takes a second.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(autouse=True)
def _umask_stays() -> Iterator[None]:
    """A test that runs the product in this process leaves the others the umask that they had."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def _log_stays() -> Iterator[None]:
    """A command that runs in this process has the log go to its standard error, which pytest closes afterwards."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = pytest.mark.skip(reason="only when asked for: make test-long")
    if "long" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("long") is not None:
                item.add_marker(long)
    for test in items:
        if any(place in test.path.parents for place in _REAL_TIME):
            test.add_marker(_second_try(test))


def _second_try(test: pytest.Item) -> pytest.MarkDecorator:
    def allowed() -> bool:
        return _BROKEN not in test.stash

    return pytest.mark.flaky(reruns=1, condition=allowed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    with guarded(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    with guarded(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    with guarded(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    if call.excinfo is not None and call.excinfo.errisinstance(BrokenPromiseError):
        item.stash[_BROKEN] = True
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"failed at first: {report.nodeid}", sep="_")
        terminalreporter.write_line(report.longreprtext)
