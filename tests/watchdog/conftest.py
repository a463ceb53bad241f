"""Tests against a real driver, in a virtual machine: `make test-watchdog`. Emulation is slow: only when asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from image import Image, build


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="takes minutes: make test-watchdog")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.watchdog)
            item.add_marker(pytest.mark.timeout(900))
            if "watchdog" not in config.option.markexpr:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    assert shutil.which("qemu-system-x86_64"), "needs qemu-system-x86"
    return build(tmp_path_factory.mktemp("image"))
