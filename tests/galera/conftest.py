"""One writer with a real MariaDB and Galera: `make test-galera`. Only when asked for: it installs a database server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hactl.lab.spec import LabSpec
from tests.lab.cluster.keeper import Keeper, cluster, keeping, pytest_runtest_makereport

__all__ = ["cluster", "keeper", "pytest_runtest_makereport"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="needs MariaDB: make test-galera")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.galera)
            item.add_marker(pytest.mark.timeout(300))
            if "galera" not in config.option.markexpr:
                item.add_marker(skip)


@pytest.fixture(scope="package")
def keeper() -> Iterator[Keeper]:
    assert shutil.which("mariadbd"), "needs mariadb-server and galera-4"
    yield from keeping("ga", LabSpec(profile="fast"))
