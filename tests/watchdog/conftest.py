"""Tests against a real driver, in a virtual machine: `make test-watchdog`. Emulation is slow: only when asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from image import Image, build

from tests.support.tiers import below


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    below(Path(__file__).parent, items, "watchdog", 900, unless=config.option.markexpr)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    assert shutil.which("qemu-system-x86_64"), "needs qemu-system-x86"
    return build(tmp_path_factory.mktemp("image"))
