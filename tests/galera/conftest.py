"""One writer with a real MariaDB and Galera: `make test-galera`. Only when asked for: it installs a database server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.lab.spec import LabSpec
from tests.lab.cluster.keeper import Keeper, cluster, keeping, pytest_runtest_makereport
from tests.support.tiers import below

__all__ = ["cluster", "keeper", "pytest_runtest_makereport"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    below(Path(__file__).parent, items, "galera", 300, unless=config.option.markexpr)


@pytest.fixture(scope="package")
def keeper() -> Iterator[Keeper]:
    assert shutil.which("mariadbd"), "needs mariadb-server and galera-4"
    yield from keeping("ga", LabSpec(profile="fast"))
