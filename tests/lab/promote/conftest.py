"""One lab for all tests of promoted instances: its nodes can be fenced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hactl.lab.spec import LabSpec
from tests.lab.cluster.keeper import Keeper, cluster, keeping, pytest_runtest_makereport

__all__ = ["cluster", "keeper", "pytest_runtest_makereport"]


@pytest.fixture(scope="package")
def keeper() -> Iterator[Keeper]:
    yield from keeping("pr", LabSpec(fencing=True))
