"""Tests against a real systemd: `pytest -m system tests/system`, as root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from nspawn import Machine, booted_machine

from tests.support.tiers import below


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    below(Path(__file__).parent, items, "system", 900)


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted_machine(tmp_path_factory.mktemp("machine") / "console") as booted:
        yield booted
